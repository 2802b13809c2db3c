// One lane on a canvas: requests come from the left, stand in line, take a slot, and leave to the
// right; below, how many wait and how many are served over the whole run. Everything follows from
// the moment alone, so that one can go back as well as forth.

const HILL = 62; // height of the lower drawing, in pixels
const FINE = 3; // smaller dots than this have no edge and show no progress
const LARGEST = 64; // more slots than this are drawn as a room without seats

const ease = (p) => p * p * (3 - 2 * p);
const between = (p, from, to) => [from[0] + p * (to[0] - from[0]), from[1] + p * (to[1] - from[1])];

/** What the drawing needs to know of a run: the line that each request finds, and the counts. */
export function sceneOf(requests, seconds) {
  const events = requests.flatMap(({ arrival, taken, end }) => {
    const queued = taken > arrival ? [[arrival, 1, 0], [taken, -1, 1]] : [[arrival, 0, 1]];
    return [...queued, [end, 0, -1]];
  });
  events.sort((one, other) => one[0] - other[0]);
  const counts = [[0, 0, 0]];
  for (const [at, more, held] of events) {
    const [, waiting, busy] = counts[counts.length - 1];
    if (at < seconds) counts.push([at, waiting + more, busy + held]);
  }
  const before = requests.map((one, i) => {
    let line = 0;
    for (let j = 0; j < i; j += 1) if (requests[j].taken > one.arrival) line += 1;
    return line;
  });
  const most = (column) => Math.max(...counts.map((row) => row[column]));
  const stacked = Math.max(...counts.map((row) => row[1] + row[2]));
  return { requests, seconds, counts, before, line: most(1), busy: most(2), stacked };
}

/** How many wait, are served and have left at a moment. */
export function countsAt({ requests }, time) {
  const come = requests.filter((one) => one.arrival <= time);
  const done = come.filter((one) => one.end <= time).length;
  const waiting = come.filter((one) => one.taken > time).length;
  return { waiting, done, busy: come.length - done - waiting };
}

/** Where things stand: a line that winds like one at an airport, and slots in columns. */
function places(scene, slots, width, height) {
  const room = { left: 0.62 * width, right: 0.9 * width, top: 8, bottom: height - 8 };
  const seats = slots <= LARGEST ? slots : Math.max(12, scene.busy);
  const [wide, high] = [room.right - room.left, room.bottom - room.top];
  let cell = Math.min(30, high, wide);
  while (Math.floor(high / cell) * Math.floor(wide / cell) < seats && cell > 2) cell -= 0.5;
  const rows = Math.min(seats, Math.max(1, Math.floor(high / cell)));
  const columns = Math.ceil(seats / rows);
  const [x0, y0] = [(room.left + room.right - columns * cell) / 2, (height - rows * cell) / 2];
  const door = 0.56 * width;
  let gap = 14;
  while (Math.floor(door / gap) * Math.floor(high / gap) < scene.line && gap > 2) gap -= 0.5;
  const row = Math.max(1, Math.floor((door - gap / 2) / gap));
  const needed = Math.ceil(Math.max(1, scene.line) / row);
  const spot = (i) => {
    const [turn, step] = [Math.floor(i / row), i % row];
    const x = turn % 2 === 0 ? door - step * gap : door - (row - 1 - step) * gap;
    return [x, height / 2 + ((needed - 1) / 2 - turn) * gap];
  };
  return {
    cell, seats, room,
    radius: Math.max(1.2, Math.min(6, 0.28 * cell, 0.42 * gap)),
    seat: (i) => [x0 + (Math.floor(i / rows) + 0.5) * cell, y0 + ((i % rows) + 0.5) * cell],
    inLine: (i) => between(i - Math.floor(i), spot(Math.floor(i)), spot(Math.ceil(i))),
  };
}

function seats(pen, at, look, { slots, color }) {
  pen.lineWidth = 1.25;
  pen.strokeStyle = look.muted;
  if (slots > LARGEST) {
    pen.setLineDash([3, 4]);
    const { left, right, top, bottom } = at.room;
    pen.strokeRect(left - 4, top - 3, right - left + 8, bottom - top + 6);
    pen.setLineDash([]);
    return;
  }
  const inner = at.cell - Math.min(4, at.cell / 5);
  pen.fillStyle = color;
  for (let i = 0; i < at.seats; i += 1) {
    const [x, y] = at.seat(i);
    pen.globalAlpha = 0.14;
    pen.fillRect(x - inner / 2, y - inner / 2, inner, inner);
    pen.globalAlpha = 1;
    pen.strokeRect(x - inner / 2, y - inner / 2, inner, inner);
  }
}

function disc(pen, [x, y], radius, fill, line) {
  pen.beginPath();
  pen.arc(x, y, radius, 0, 2 * Math.PI);
  if (fill) {
    pen.fillStyle = fill;
    pen.fill();
    if (radius < FINE) return;
  }
  pen.strokeStyle = line;
  pen.stroke();
}

function dots(pen, scene, time, at, look, lane) {
  const { requests, before, seconds } = scene;
  const served = requests.length ? requests[0].end - requests[0].begun : seconds;
  const travel = look.moving ? Math.min(0.02 * seconds, served / 5) : 0;
  const [coming, leaving] = [3 * travel, 1.5 * travel];
  let ahead = 0;
  pen.lineWidth = 1.25;
  requests.forEach((one, i) => {
    if (time < one.arrival - coming || time >= one.end + leaving) return;
    if (time < one.arrival) {
      const tail = at.inLine(before[i]);
      const p = (time - one.arrival + coming) / coming;
      disc(pen, between(p, [-10, tail[1]], tail), at.radius, null, look.muted);
    } else if (time < one.taken) {
      disc(pen, at.inLine(ahead), at.radius, look.waiting, look.muted);
      ahead += 1;
    } else if (time < one.end) {
      const p = time < one.taken + travel ? ease((time - one.taken) / travel) : 1;
      if (one.taken > one.arrival) ahead += 1 - p;
      const place = between(p, at.inLine(0), at.seat(one.slot));
      disc(pen, place, at.radius, time < one.begun ? look.waiting : lane.color, look.edge);
      if (p < 1 || time < one.begun || at.radius < FINE) return;
      progress(pen, place, at.radius, one, time, look);
    } else {
      const p = (time - one.end) / leaving;
      const from = at.seat(one.slot);
      pen.globalAlpha = 1 - p;
      disc(pen, between(p, from, [from[0] + 0.3 * look.width, from[1]]), at.radius, lane.color, look.edge);
      pen.globalAlpha = 1;
    }
  });
}

/** How much of its time a request has had, around it; a core in its middle while it computes. */
function progress(pen, [x, y], radius, one, time, look) {
  pen.beginPath();
  const turn = -Math.PI / 2 + (2 * Math.PI * (time - one.begun)) / (one.end - one.begun);
  pen.arc(x, y, radius * 1.45, -Math.PI / 2, turn);
  pen.strokeStyle = look.text;
  pen.stroke();
  if (time < one.computed) disc(pen, [x, y], radius * 0.35, look.text, look.text);
}

/** The lower drawing for the whole run, once: how many are served, and above them who wait. */
function hill(scene, most, look, color, density) {
  const picture = document.createElement("canvas");
  picture.width = Math.round(look.width * density);
  picture.height = Math.round(HILL * density);
  const pen = picture.getContext("2d");
  pen.scale(density, density);
  const x = (at) => (at / scene.seconds) * look.width;
  const y = (count) => HILL - (count / most) * (HILL - 4);
  for (const [fill, height] of [[look.waiting, (row) => row[1] + row[2]], [color, (row) => row[2]]]) {
    pen.beginPath();
    pen.moveTo(0, HILL);
    let last = HILL;
    for (const row of scene.counts) {
      pen.lineTo(x(row[0]), last);
      last = y(height(row));
      pen.lineTo(x(row[0]), last);
    }
    pen.lineTo(look.width, last);
    pen.lineTo(look.width, HILL);
    pen.fillStyle = fill;
    pen.fill();
  }
  return picture;
}

/** Draw a lane at a moment. `most` is what the height of the lower drawing stands for. */
export function draw(canvas, lane, time, most, look) {
  if (!look.width) return; // not laid out yet
  const density = window.devicePixelRatio || 1;
  const [width, height] = [look.width, canvas.clientHeight];
  if (canvas.width !== Math.round(width * density) || canvas.height !== Math.round(height * density)) {
    canvas.width = Math.round(width * density);
    canvas.height = Math.round(height * density);
  }
  const key = [most, density, ...Object.values(look)].join();
  if (lane.scene.key !== key) {
    const at = places(lane.scene, lane.slots, width, height - HILL - 14);
    Object.assign(lane.scene, { key, at, hill: hill(lane.scene, most, look, lane.color, density) });
  }
  const pen = canvas.getContext("2d");
  pen.setTransform(density, 0, 0, density, 0, 0);
  pen.clearRect(0, 0, width, height);
  seats(pen, lane.scene.at, look, lane);
  dots(pen, lane.scene, time, lane.scene.at, look, lane);
  const [now, top] = [(time / lane.scene.seconds) * width, height - HILL];
  pen.globalAlpha = 0.3;
  pen.drawImage(lane.scene.hill, 0, top, width, HILL);
  pen.globalAlpha = 1;
  pen.save();
  pen.beginPath();
  pen.rect(0, top, now, HILL);
  pen.clip();
  pen.drawImage(lane.scene.hill, 0, top, width, HILL);
  pen.restore();
  pen.fillStyle = look.text;
  pen.fillRect(Math.min(now, width - 1.5), top - 6, 1.5, HILL + 6);
  pen.fillRect(0, height - 1, width, 1);
}

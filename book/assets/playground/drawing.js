// One lane on a canvas: requests come from the left, stand in line, take a slot, and gather on the
// right when they are answered; below, how many wait and how many are served over the whole run. Everything follows from
// the moment alone, so that one can go back as well as forth.

const HILL = 44; // height of the lower drawing, in pixels
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
  const rank = [];
  requests.map(({ end }, i) => [end, i]).sort((one, other) => one[0] - other[0]).forEach(([, i], place) => (rank[i] = place));
  const most = (column) => Math.max(...counts.map((row) => row[column]));
  const stacked = Math.max(...counts.map((row) => row[1] + row[2]));
  return { requests, seconds, counts, before, rank, line: most(1), busy: most(2), stacked };
}

/** How many wait, are served and have left at a moment. */
export function countsAt({ requests }, time) {
  const come = requests.filter((one) => one.arrival <= time);
  const done = come.filter((one) => one.end <= time).length;
  const waiting = come.filter((one) => one.taken > time).length;
  return { waiting, done, busy: come.length - done - waiting };
}

/** The widest distance at which so many dots fit a room. */
function spacing(count, wide, high) {
  let gap = 28;
  while (Math.floor(wide / gap) * Math.floor(high / gap) < count && gap > 2) gap -= 0.5;
  return gap;
}

/** Where things stand: a line that winds like one at an airport, slots in columns, and the answered. */
function places(scene, slots, width, height) {
  const room = { left: 0.44 * width, right: 0.66 * width, top: 4, bottom: height - 4 };
  const seats = slots <= LARGEST ? slots : Math.max(12, scene.busy);
  const [wide, high] = [room.right - room.left, room.bottom - room.top];
  let cell = Math.min(46, high, wide);
  while (Math.floor(high / cell) * Math.floor(wide / cell) < seats && cell > 2) cell -= 0.5;
  const columns = Math.min(seats, Math.max(1, Math.floor(wide / cell)));
  const y0 = (height - Math.ceil(seats / columns) * cell) / 2;
  const door = 0.4 * width;
  const gap = spacing(scene.line, door, high);
  const row = Math.max(1, Math.floor((door - gap / 2) / gap));
  const needed = Math.ceil(Math.max(1, scene.line) / row);
  const spot = (i) => {
    const [turn, step] = [Math.floor(i / row), i % row];
    const x = turn % 2 === 0 ? door - step * gap : door - (row - 1 - step) * gap;
    return [x, height / 2 + ((needed - 1) / 2 - turn) * gap];
  };
  const shelf = 0.7 * width;
  const near = spacing(scene.requests.length, width - shelf, high);
  const column = Math.max(1, Math.floor(high / near));
  const radius = Math.max(1.2, Math.min(11, 0.28 * cell, 0.42 * gap));
  return {
    cell, seats, room, radius,
    small: Math.min(radius, 0.42 * near),
    seat: (i) => [room.left + ((i % columns) + 0.5) * cell, y0 + (Math.floor(i / columns) + 0.5) * cell],
    inLine: (i) => between(i - Math.floor(i), spot(Math.floor(i)), spot(Math.ceil(i))),
    answered: (i) => [shelf + (Math.floor(i / column) + 0.5) * near, height - 4 - ((i % column) + 0.5) * near],
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

/** All that are answered and at rest, as one shape. */
function answered(pen, scene, time, at, lane) {
  pen.beginPath();
  scene.requests.forEach((one, i) => {
    if (time < one.end) return;
    const [x, y] = at.answered(scene.rank[i]);
    pen.moveTo(x + at.small, y);
    pen.arc(x, y, at.small, 0, 2 * Math.PI);
  });
  pen.fillStyle = lane.color;
  pen.globalAlpha = 0.6;
  pen.fill();
  pen.globalAlpha = 1;
}

function dots(pen, scene, time, at, look, lane) {
  const { requests, before, rank, seconds } = scene;
  const served = requests.length ? requests[0].end - requests[0].begun : seconds;
  const travel = look.moving ? Math.min(0.02 * seconds, served / 5) : 0;
  const coming = 3 * travel;
  let ahead = 0;
  answered(pen, scene, time - travel, at, lane);
  pen.lineWidth = 1.25;
  requests.forEach((one, i) => {
    if (time < one.arrival - coming || time >= one.end + travel) return;
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
      const p = ease((time - one.end) / travel);
      disc(pen, between(p, at.seat(one.slot), at.answered(rank[i])), at.small, lane.color, look.edge);
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
    const at = places(lane.scene, lane.slots, width, height - HILL - 8);
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
  pen.fillRect(Math.min(now, width - 1.5), top - 4, 1.5, HILL + 4);
  pen.fillRect(0, height - 1, width, 1);
}

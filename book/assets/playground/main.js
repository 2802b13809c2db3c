// The controls of the playground, its clock, and what it says.
import { read, write } from "./address.js";
import { countsAt, draw, sceneOf } from "./drawing.js";
import { limit, replay, serve, slotsOf, summary } from "./queue.js";
import { arrivals, gaps } from "./random.js";

const LONG_RUN = 4000; // requests behind the numbers under a lane
const MOST = 600; // requests that are drawn
const PLAYING = 14; // seconds of the reader's time that a run takes
const STILL = 600; // the moment at which an experiment is first shown, in thousandths of its run

const milliseconds = (s) => (s < 1 ? `${Number((1000 * s).toPrecision(3))} ms` : `${s.toFixed(2)} s`);
const percent = (share) => (share < 5e-4 ? "hardly any" : `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`);
const same = (one, other) => JSON.stringify(one) === JSON.stringify(other);
const nearest = (list, value) =>
  list.reduce((best, each, i) => (Math.abs(each - value) < Math.abs(list[best] - value) ? i : best), 0);

const WHY = {
  recorded: "Recorded plays a real trial, request by request. Otherwise the model plays the same arrivals.",
  unrecorded: "This experiment was not recorded on this machine.",
  modelled: "This one is the model's alone: no trial of it was recorded.",
  own: "Only the experiments of the book were recorded.",
};

class Playground {
  constructor(root) {
    this.data = JSON.parse(root.querySelector("script[type='application/json']").textContent);
    this.app = root.querySelector(".playground-app");
    this.parts = {};
    for (const part of this.app.querySelectorAll("[data-pg]")) this.parts[part.dataset.pg] = part;
    this.lanes = ["a", "b"].map((key) => ({ key, canvas: this.parts[`canvas-${key}`] }));
    this.calm = window.matchMedia("(prefers-reduced-motion: reduce)");
    this.unit = {};
    this.app.hidden = false;
    root.classList.add("playground-on");
    this.prepare();
    this.listen();
    this.open(window.location.hash);
  }

  // Where it begins

  prepare() {
    const presets = this.app.querySelector(".pg-presets");
    for (const experiment of this.data.experiments) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = experiment.title;
      button.addEventListener("click", () => this.take(experiment));
      presets.append(button);
    }
    for (const name of ["rate", "hold", "compute"]) {
      this.parts[name].max = this.data[`${name}s`].length - 1;
    }
  }

  open(fragment) {
    const state = read(fragment);
    if (!state) return this.take(this.data.experiments[0], false);
    this.set(state, false);
    this.parts.more.open ||= !this.experiment();
    this.app.scrollIntoView({ block: "nearest" });
  }

  take(experiment, told = true) {
    const { rate, hold, compute, seed } = experiment;
    const lanes = experiment.lanes.map(({ kind, slots, cores }) => ({ kind, slots, cores }));
    const recorded = Boolean(this.state?.recorded && experiment.lanes[0].trace);
    this.set({ rate, hold, compute, seed, lanes, moment: STILL, recorded }, told);
  }

  listen() {
    const on = (name, event, act) => this.parts[name].addEventListener(event, act);
    for (const name of ["rate", "hold", "compute"]) {
      on(name, "input", (event) => this.set({ [name]: this.data[`${name}s`][event.target.value] }));
    }
    this.lanes.forEach(({ key, canvas }, i) => {
      for (const name of ["kind", "slots", "cores"]) on(`${name}-${key}`, "change", () => this.choose(i, name));
      canvas.addEventListener("click", () => this.toggle());
    });
    on("recorded", "change", (event) => this.set({ recorded: event.target.checked }));
    on("time", "input", (event) => this.stop() || this.set({ moment: Number(event.target.value) }));
    on("play", "click", () => this.toggle());
    on("step", "click", () => this.step());
    on("restart", "click", () => this.stop() || this.set({ moment: 0 }));
    this.calm.addEventListener("change", () => this.stop() || this.show());
    window.addEventListener("hashchange", () => read(window.location.hash) && this.open(window.location.hash));
    new ResizeObserver(() => this.show()).observe(this.app);
    new MutationObserver(() => this.show()).observe(document.documentElement, {
      attributeFilter: ["data-theme"],
    });
  }

  // What happens

  set(changes, told = true) {
    const state = { ...this.state, ...changes };
    const moved = Object.keys(changes).every((name) => name === "moment");
    this.state = state;
    if (!moved) this.run();
    this.show();
    this.tell(told);
  }

  /** Another kind of server, or another number; what is no number becomes the least one. */
  choose(i, name) {
    const part = this.parts[`${name}-${this.lanes[i].key}`];
    const value = name === "kind" ? part.value : Math.min(part.max, Math.max(1, Math.round(part.value) || 1));
    this.set({ lanes: this.state.lanes.map((lane, j) => (i === j ? { ...lane, [name]: value } : lane)) });
  }

  /** The experiment that the state is, if it is one. */
  experiment() {
    const { rate, hold, compute, seed, lanes } = this.state;
    return this.data.experiments.find(
      (each) =>
        same([each.rate, each.hold, each.compute, each.seed], [rate, hold, compute, seed]) &&
        each.lanes.every(({ kind, slots, cores }, i) => same({ kind, slots, cores }, lanes[i])),
    );
  }

  /** Play the settings through: what becomes of every request is known before one is shown. */
  run() {
    const { rate, seed, lanes } = this.state;
    const [hold, compute] = [this.state.hold / 1000, this.state.compute / 1000];
    this.unit[seed] ??= gaps(seed, LONG_RUN);
    const known = this.experiment();
    const whole = arrivals(this.unit[seed], rate);
    this.seen = null; // a lane may have another server's colour now
    this.seconds = known?.seconds ?? Math.min(MOST / rate, Math.max(18 * (hold + compute), 27 / rate));
    const plan = whole.filter((at) => at < this.seconds);
    const traced = Boolean(known?.lanes[0].trace);
    this.state.recorded &&= traced;
    lanes.forEach((setup, i) => {
      const lane = this.lanes[i];
      const server = { hold, compute, slots: slotsOf(setup), cores: setup.cores };
      const requests = this.state.recorded ? replay(plan, known.lanes[i].trace) : serve(plan, server);
      Object.assign(lane, {
        slots: server.slots,
        property: this.data.colors[setup.kind],
        scene: sceneOf(requests, this.seconds),
        limit: limit(server),
      });
      // A queue that only grows has no median: there is nothing to sum up.
      lane.summary = rate < lane.limit ? summary(serve(whole, server)) : null;
    });
    this.describe(known, traced);
  }

  toggle() {
    if (this.calm.matches) return this.step();
    if (this.frame) return this.stop() || this.set({});
    if (this.state.moment >= 1000) this.state.moment = 0;
    let last = null;
    const tick = (now) => {
      const speed = Number(this.parts.speed.value);
      const passed = last === null ? 0 : Math.min(100, now - last);
      last = now;
      this.state.moment = Math.min(1000, this.state.moment + (passed * speed) / PLAYING);
      this.frame = this.state.moment < 1000 ? requestAnimationFrame(tick) : null;
      this.show();
      if (!this.frame) this.tell(true);
    };
    this.frame = requestAnimationFrame(tick);
    this.show();
  }

  stop() {
    cancelAnimationFrame(this.frame);
    this.frame = null;
  }

  /** On to the next arrival; from the end back to the start. */
  step() {
    this.stop();
    const now = (this.state.moment * this.seconds) / 1000;
    const next = this.lanes[0].scene.requests.find((one) => one.arrival > now + 1e-9);
    const moment = next ? (1000 * next.arrival) / this.seconds : this.state.moment < 1000 ? 1000 : 0;
    this.set({ moment });
  }

  // What it shows

  /** Write a text where it belongs; what it says already is left alone. */
  say(name, text) {
    if (this.parts[name].textContent !== text) this.parts[name].textContent = text;
  }

  /** Everything that depends on the settings, and not on the moment. */
  describe(known, traced) {
    const { rate, hold, compute } = this.state;
    [...this.app.querySelectorAll(".pg-presets button")].forEach((button, i) => {
      button.setAttribute("aria-pressed", String(this.data.experiments[i] === known));
    });
    const whose = traced ? "recorded" : known?.notebook ? "unrecorded" : known ? "modelled" : "own";
    this.say("story", known?.story ?? "Your own set-ups. The buttons above bring back the book's.");
    const each = [hold && `waits ${hold} ms`, compute && `computes ${compute} ms`].filter(Boolean);
    this.say("load", [`${rate} a second`, each.length && `each ${each.join(" and ")}`].filter(Boolean).join(", "));
    this.say("why", WHY[whose]);
    this.say("long", LONG_RUN.toLocaleString("en"));
    this.parts.recorded.disabled = !traced;
    this.parts.recorded.checked = this.state.recorded;
    const words = { rate: `${rate} a second`, hold: `${hold} ms`, compute: `${compute} ms` };
    for (const [name, text] of Object.entries(words)) {
      this.parts[name].value = nearest(this.data[`${name}s`], this.state[name]);
      this.parts[name].setAttribute("aria-valuetext", text);
      this.say(`${name}-said`, text);
    }
    const trials = known?.lanes[0].measured?.trials;
    this.parts.seen.hidden = !known?.notebook;
    this.say("trials", trials ? `Measured, ${trials} trials` : "Not measured on this machine");
    this.lanes.forEach((lane, i) => this.describeLane(lane, this.state.lanes[i], known?.lanes[i]));
  }

  describeLane({ key, summary: found, limit: most }, setup, known) {
    const slots = this.parts[`slots-${key}`];
    this.parts[`kind-${key}`].value = setup.kind;
    this.parts[`cores-${key}`].value = setup.cores;
    slots.disabled = setup.kind !== "threads";
    const each = slotsOf({ ...setup, cores: 1 });
    slots.value = Number.isFinite(each) ? each : "";
    slots.placeholder = "∞"; // a field for numbers shows no other word for no bound
    const name = this.parts[`kind-${key}`].selectedOptions[0].textContent;
    const many = setup.kind === "threads" ? `${setup.slots} ${name}` : name;
    const whole = setup.cores > 1 ? `${many} × ${setup.cores}` : many;
    this.say(`name-${key}`, whole);
    this.say(`lane-${key}`, whole);
    this.say(`waited-${key}`, found ? percent(found.waited) : "nearly all");
    this.say(`p50-${key}`, found ? milliseconds(found.p50) : "ever longer");
    this.say(`p99-${key}`, found ? milliseconds(found.p99) : "ever longer");
    this.say(`limit-${key}`, Number.isFinite(most) ? `${Number(most.toPrecision(3))} a second` : "never");
    for (const fact of ["waited", "p50", "p99"]) this.parts[`${fact}-${key}`].classList.toggle("pg-over", !found);
    const { median, model } = known?.measured ?? {};
    const off = `${median < model ? "−" : "+"}${Math.abs((100 * (median - model)) / model).toFixed(1)} %`;
    const by = median ? ", measured" : " by the model";
    const half = median ? median / 1000 : found?.p50;
    this.say(`key-${key}`, half === undefined ? "answers take ever longer" : `half answered within ${milliseconds(half)}${by}`);
    this.say(`measured-${key}`, median ? `${milliseconds(median / 1000)} (${off})` : "–");
    this.say(`model-${key}`, median ? milliseconds(model / 1000) : "–");
  }

  look() {
    const style = getComputedStyle(this.app);
    const color = (name) => style.getPropertyValue(name).trim();
    for (const lane of this.lanes) lane.color = color(lane.property);
    return {
      text: color("--pst-color-text-base"),
      muted: color("--pst-color-text-muted"),
      waiting: color("--book-waiting"),
      edge: color("--pg-edge"),
      moving: !this.calm.matches,
      width: this.lanes[0].canvas.clientWidth,
    };
  }

  /** Everything that depends on the moment. */
  show() {
    const { moment } = this.state;
    const time = (moment * this.seconds) / 1000;
    const most = Math.max(4, ...this.lanes.map((lane) => lane.scene.stacked));
    const look = this.frame && this.seen ? this.seen : (this.seen = this.look());
    for (const lane of this.lanes) {
      draw(lane.canvas, lane, time, most, look);
      for (const [name, count] of Object.entries(countsAt(lane.scene, time))) {
        this.say(`${name}-${lane.key}`, String(count));
      }
    }
    this.parts.time.value = moment;
    this.say("clock", `${time.toFixed(3)} s of ${Number(this.seconds.toPrecision(3))} s`);
    const ended = moment >= 1000;
    this.say("play", this.frame ? "Pause" : ended ? "Play again" : "Play");
    this.parts.play.classList.toggle("pg-playing", Boolean(this.frame));
    this.parts.play.hidden = this.calm.matches;
  }

  /** After something that the reader did: say where things stand, and keep it in the address. */
  tell(told) {
    const time = ((this.state.moment * this.seconds) / 1000).toFixed(3);
    const sentences = this.lanes.map((lane, i) => {
      const { waiting, busy, done } = countsAt(lane.scene, (this.state.moment * this.seconds) / 1000);
      const text = `${waiting} in line, ${busy} in slots, ${done} answered`;
      lane.canvas.setAttribute("aria-label", `${i ? "Second" : "First"} set-up after ${time} s: ${text}`);
      return `${i ? "second" : "first"} set-up: ${text}`;
    });
    this.parts.time.setAttribute("aria-valuetext", `${time} s`);
    if (this.frame || !told) return;
    this.say("status", `After ${time} seconds, ${sentences.join("; ")}.`);
    window.history.replaceState(null, "", `#${write(this.state)}`);
  }
}

document.addEventListener("DOMContentLoaded", () => {
  for (const root of document.querySelectorAll(".playground-stage")) new Playground(root);
});

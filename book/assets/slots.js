// How many slots a load needs: the form above the table of "Which should you use?".
// The formula is Erlang's, as in gatewaylab/model/queueing.py; a test holds both against each other.

/** The fewest slots with which at most `share` of the requests finds all of them busy. */
function slotsNeeded(offered, share) {
  let blocked = 1; // Erlang B for no slot at all
  for (let slots = 1; ; slots += 1) {
    blocked = (offered * blocked) / (slots + offered * blocked);
    if (slots <= offered) continue; // the queue would only grow
    const waits = blocked / (1 - (offered / slots) * (1 - blocked));
    if (waits <= share) return slots;
  }
}

/** Everything that the form shows, from arrivals per second and times in milliseconds. */
function plan(rate, holdMs, computeMs, share) {
  const busy = (rate * holdMs) / 1000;
  const cores = (rate * Math.min(computeMs, holdMs)) / 1000;
  const slots = slotsNeeded(busy, share);
  // One process computes on one core; a full core would make requests wait for it without end.
  return { busy, cores, slots, processes: Math.floor(cores) + 1 };
}

function many(n, word, plural) {
  return `${n} ${n === 1 ? word : plural}`;
}

function sayings({ busy, cores, slots, processes }) {
  const shown = (x) => (x >= 100 ? x.toFixed(0) : String(Number(x.toPrecision(3))));
  const each = Math.ceil(slots / processes);
  const within = processes === 1 ? "in one process" : `in each of ${processes} processes`;
  return {
    busy: shown(busy),
    slots: String(slots),
    cores: shown(cores),
    processes: `${many(Math.max(slots, processes), "process", "processes")}, each with a copy of your project`,
    threads: `${many(each, "thread", "threads")} ${within}`,
    loop: `${many(processes, "event loop", "event loops")}, if nothing blocks`,
  };
}

function start(form) {
  const show = () => {
    const [rate, hold, compute] = ["rate", "hold", "compute"].map((name) => Number(form.elements[name].value));
    const fits = form.checkValidity() && (rate * hold) / 1000 <= 1e6;
    const found = fits ? sayings(plan(rate, hold, compute, Number(form.elements.share.value))) : {};
    for (const output of form.querySelectorAll("[data-slots-output]")) {
      output.textContent = found[output.dataset.slotsOutput] ?? "–";
    }
  };
  form.addEventListener("input", show);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  show();
}

if (typeof document !== "undefined") {
  document.addEventListener("DOMContentLoaded", () => {
    for (const form of document.querySelectorAll("form.slots-form")) start(form);
  });
}
if (typeof module !== "undefined") module.exports = { slotsNeeded, plan, sayings };

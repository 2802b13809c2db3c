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

/** Everything that the form shows: arrivals per second, times in milliseconds, fast and slow. */
function plan({ rate, hold, slowrate, slowhold, workers, share }) {
  const busy = (rate * hold + slowrate * slowhold) / 1000;
  // A threaded worker accepts more than it has threads: what it took waits for it, even if another
  // worker has a free thread. So each worker is a pool of its own, with its part of the load.
  return { busy, slots: slotsNeeded(busy, share), threads: slotsNeeded(busy / workers, share), workers };
}

function many(n, word, plural) {
  return `${n} ${n === 1 ? word : plural}`;
}

function sayings({ busy, slots, threads, workers }) {
  const shown = (x) => (x >= 100 ? x.toFixed(0) : String(Number(x.toPrecision(3))));
  const within = workers === 1 ? "in one worker" : `in each of ${workers} workers`;
  return {
    busy: shown(busy),
    processes: `${many(slots, "process", "processes")}, each with a copy of your project`,
    threads: `${many(threads, "thread", "threads")} ${within}`,
    options: `--threads ${threads} --workers ${workers}`,
    loop: `${many(workers, "event loop", "event loops")}, if nothing blocks`,
  };
}

/** Whether a field says what the page came with; the chooser asks this, too. */
function isUntouched(field) {
  return field.options ? field.selectedOptions[0].defaultSelected : field.value === field.defaultValue;
}

function start(form) {
  const show = () => {
    const names = ["rate", "hold", "slowrate", "slowhold", "workers", "share"];
    const given = Object.fromEntries(names.map((name) => [name, Number(form.elements[name].value)]));
    const busy = (given.rate * given.hold + given.slowrate * given.slowhold) / 1000;
    const found = form.checkValidity() && busy <= 1e6 ? sayings(plan(given)) : {};
    const own = [...form.elements].some((field) => !isUntouched(field));
    for (const part of document.querySelectorAll("[data-slots-changed]")) part.hidden = !own;
    for (const output of document.querySelectorAll("[data-slots-output]")) {
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

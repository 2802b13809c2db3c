// How many slots a load needs: the form above the table of "Which should you use?", and the commands
// of the paths below it. The formula is Erlang's, as in gatewaylab/model/queueing.py; the sentences are
// those of bookext/loads.py. Tests hold both against each other.

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

function busySlots({ rate, hold, slowrate, slowhold, streams }) {
  return (rate * hold + slowrate * slowhold) / 1000 + streams;
}

/** Everything that the form shows: arrivals per second, times in milliseconds, fast and slow. */
function plan(load) {
  const busy = busySlots(load);
  // A threaded worker accepts more than it has threads: what it took waits for it, even if another
  // worker has a free thread. So each worker is a pool of its own, with its part of the load.
  return {
    busy,
    slots: slotsNeeded(busy, load.share),
    threads: slotsNeeded(busy / load.cores, load.share),
    workers: load.cores,
    computing: ((load.rate + load.slowrate) * load.compute) / 1000,
  };
}

function many(n, word, plural = `${word}s`) {
  return `${Number(n.toPrecision(6))} ${n === 1 ? word : plural}`;
}

function sayings({ busy, slots, threads, workers, computing }) {
  const shown = (x) => (x >= 100 ? x.toFixed(0) : String(Number(x.toPrecision(3))));
  const within = workers === 1 ? "in one worker" : `in each of ${workers} workers`;
  return {
    busy: shown(busy),
    computing: `${shown(computing)} of ${workers}${computing >= workers ? ": take more cores" : ""}`,
    processes: `${many(slots, "process", "processes")}, each with a copy of your project`,
    threads: `${many(threads, "thread")} ${within}`,
    loop: `${many(workers, "event loop")}, if nothing blocks`,
  };
}

/** A path's command for a load: its numbers by option, and the sentence below it. */
function fit(load, command) {
  // With uvicorn beside gunicorn, that one has the streams.
  const { threads, workers, computing } = plan(command.includes("uvicorn") ? { ...load, streams: 0 } : load);
  const onThreads = command.includes("--threads");
  const time = (ms) => (ms >= 1000 ? `${Number((ms / 1000).toPrecision(6))}\u00a0s` : `${Number(ms.toPrecision(6))}\u00a0ms`);
  const parts = [
    load.rate && `${many(load.rate, "request")} a second of ${time(load.hold)}`,
    load.slowrate && `${many(load.slowrate, "slow one")} a second of ${time(load.slowhold)}`,
    load.streams && many(load.streams, "open stream"),
    many(load.cores, "core"),
    onThreads && `at most 1 in ${Number((1 / load.share).toPrecision(6))} waiting`,
  ];
  const says = [`For ${parts.filter(Boolean).join(", ")}.`];
  if (computing >= load.cores) says.push("The computing alone keeps all cores busy: take more.");
  if (command.includes("gunicorn")) {
    const slots = workers * (onThreads ? threads : 1);
    says.push(
      `gunicorn opens at most ${many(slots, "database connection")}, and up to ${2 * slots} while a reload replaces its workers.`,
    );
  }
  return { threads, workers, says: says.join(" ") };
}

/** What a reader can fill in; the elements of a form include its outputs. */
function fieldsOf(form) {
  return form ? [...form.querySelectorAll("input, select")] : [];
}

/** Whether a field says what the page came with; the chooser asks this, too. */
function isUntouched(field) {
  return field.options ? field.selectedOptions[0].defaultSelected : field.value === field.defaultValue;
}

/** Put a path's example into the form; what a reader has typed stays. */
function suggest(form, load) {
  const others = fieldsOf(form).filter((field) => !field.options && field.defaultValue !== String(load[field.name]));
  for (const field of others) field.defaultValue = load[field.name];
  if (others.length) form.dispatchEvent(new Event("input"));
}

/** Write the numbers of the options into a command that is on the page, colours and all. */
function write(command, numbers) {
  const texts = document.createTreeWalker(command, NodeFilter.SHOW_TEXT);
  for (let before = ""; texts.nextNode(); before += texts.currentNode.data) {
    const option = before.match(/--(threads|workers)\s$/)?.[1];
    if (option) texts.currentNode.data = numbers[option];
  }
}

function start(form) {
  const valueOf = (field) => [field.name, Number(field.value)];
  const show = () => {
    const fields = fieldsOf(form);
    const given = Object.fromEntries(fields.map(valueOf));
    const good = form.checkValidity() && busySlots(given) <= 1e6;
    const found = good ? sayings(plan(given)) : {};
    for (const output of form.querySelectorAll("[data-slots-output]")) {
      output.textContent = found[output.dataset.slotsOutput] ?? "–";
    }
    const own = good ? Object.fromEntries(fields.filter((field) => !isUntouched(field)).map(valueOf)) : {};
    for (const part of document.querySelectorAll("[data-load]")) {
      const command = part.closest(".choice").querySelector("pre");
      const fitted = fit({ ...JSON.parse(part.dataset.load), ...own }, command.textContent);
      write(command, fitted);
      part.querySelector("p").textContent = fitted.says;
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
if (typeof module !== "undefined") module.exports = { slotsNeeded, plan, sayings, fit };

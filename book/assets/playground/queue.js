// The discrete-event model: `slots_and_cores` of gatewaylab/model/queueing.py, request by request.
// Times are seconds. A server without a bound on its slots has `slots: Infinity`.

/** How many slots a server has, from its kind, its slots in a process and its processes. */
export function slotsOf({ kind, slots, cores }) {
  return { worker: 1, threads: slots, loop: Infinity, blocking: 1, greenlets: 1000 }[kind] * cores;
}

/** The index of what is free first; for a slot, the first of those that are free by `time`. */
function earliest(free, time, most) {
  let best = 0;
  for (let i = 0; i < free.length; i += 1) {
    if (free[i] <= time) return i;
    if (free[i] < free[best]) best = i;
  }
  return free.length < most ? free.push(-Infinity) - 1 : best;
}

/**
 * What becomes of each request: it arrives, takes a slot, begins on a core, ends.
 *
 * A request takes a slot, and in it the core that is free first; it computes, then it waits for
 * something else. Both lines are served in the order of arrival.
 */
export function serve(arrivals, { hold, compute, slots, cores }) {
  const slotFree = [];
  const coreFree = [];
  return Array.from(arrivals, (arrival) => {
    const slot = earliest(slotFree, arrival, slots);
    const taken = Math.max(arrival, slotFree[slot]);
    const core = earliest(coreFree, taken, cores);
    const begun = Math.max(taken, coreFree[core]);
    const end = begun + compute + hold;
    coreFree[core] = begun + compute;
    slotFree[slot] = end;
    return { arrival, taken, begun, computed: begun + compute, end, slot };
  });
}

/** The same of a recorded trial: waits and times inside the application, in tenths of a ms. */
export function replay(arrivals, { waits, inside }) {
  const requests = waits.map((wait, i) => {
    const taken = arrivals[i] + wait / 1e4;
    return { arrival: arrivals[i], taken, begun: taken, computed: taken, end: taken + inside[i] / 1e4 };
  });
  const free = [];
  for (const request of [...requests].sort((a, b) => a.taken - b.taken)) {
    request.slot = earliest(free, request.taken + 3e-4, Infinity); // what the rounding may overlap
    free[request.slot] = request.end;
  }
  return requests;
}

/** The arrivals a second from which on a line grows without end. */
export function limit({ hold, compute, slots, cores }) {
  return Math.min(slots / (hold + compute), cores / compute);
}

/** Latency at level `p`: the smallest that at least this share does not exceed. */
export function quantile(sorted, p) {
  return sorted[Math.max(0, Math.ceil(p * sorted.length - 1e-9) - 1)];
}

/** Median, 99th percentile, and the share that had to wait, over all of `requests`. */
export function summary(requests) {
  const sorted = Float64Array.from(requests, (one) => one.end - one.arrival).sort();
  const waited = requests.filter((one) => one.begun - one.arrival > 1e-9).length;
  return { p50: quantile(sorted, 0.5), p99: quantile(sorted, 0.99), waited: waited / requests.length };
}

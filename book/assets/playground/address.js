// The state of the playground as the address's fragment. Only letters, digits, - and _ are used, so
// that it is a name for everyone who reads fragments: the theme looks for an element of that id.

const KINDS = ["worker", "threads", "greenlets", "loop", "blocking"];

const lane = ({ kind, slots, cores }) => `${kind}-${slots}-${cores}`;

/** A state as a fragment without its #. */
export function write(state) {
  const { rate, hold, compute, seed, moment, recorded } = state;
  const [a, b] = state.lanes.map(lane);
  const real = recorded ? "_recorded" : "";
  return `playground_r${rate}_w${hold}_c${compute}_a-${a}_b-${b}_s${seed}_t${Math.round(moment)}${real}`;
}

/** The state that a fragment names, held within what the playground can do; null for any other. */
export function read(fragment) {
  const setup = "(\\w+)-(\\d+)-(\\d+)";
  const form = `^#?playground_r(\\d+)_w(\\d+)_c(\\d+)_a-${setup}_b-${setup}_s(\\d+)_t(\\d+)(_recorded)?$`;
  const found = new RegExp(form).exec(fragment);
  if (!found || !KINDS.includes(found[4]) || !KINDS.includes(found[7])) return null;
  const within = (i, least, most) => Math.min(most, Math.max(least, Number(found[i])));
  const setupAt = (i) => ({ kind: found[i], slots: within(i + 1, 1, 64), cores: within(i + 2, 1, 16) });
  return {
    rate: within(1, 1, 500),
    hold: within(2, 0, 5000),
    compute: within(3, 0, 500),
    lanes: [setupAt(4), setupAt(7)],
    seed: within(10, 0, Number.MAX_SAFE_INTEGER),
    moment: within(11, 0, 1000),
    recorded: found[12] !== undefined,
  };
}

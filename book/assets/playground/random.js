// The arrivals of `gatewaylab.model.arrivals.Poisson`, gap for gap: NumPy's SeedSequence and PCG64.
// Source: M. E. O'Neill, "PCG: A family of simple fast space-efficient statistically good
// algorithms for random number generation", 2014; numpy/random/bit_generator.pyx.

const MULTIPLIER = 0x2360ed051fc65da44385df649fccf645n;
const WORD = 2n ** 64n - 1n;
const STATE = 2n ** 128n - 1n;

/** Four 64-bit words out of a whole number of at most 2^53, as SeedSequence makes them. */
function words(seed) {
  let constant = 0x43b0d7e5;
  const hash = (value) => {
    const mixed = Math.imul(value ^ constant, (constant = Math.imul(constant, 0x931e8875)));
    return (mixed ^ (mixed >>> 16)) >>> 0;
  };
  const mix = (x, y) => {
    const mixed = Math.imul(x, 0xca01f9dd) - Math.imul(y, 0x4973f715);
    return (mixed ^ (mixed >>> 16)) >>> 0;
  };
  const entropy = [seed >>> 0, Math.floor(seed / 2 ** 32)];
  const pool = [0, 1, 2, 3].map((i) => hash(entropy[i] ?? 0));
  for (let from = 0; from < 4; from += 1)
    for (let to = 0; to < 4; to += 1) if (from !== to) pool[to] = mix(pool[to], hash(pool[from]));
  let output = 0x8b51f9dd;
  const halves = Array.from({ length: 8 }, (_, i) => {
    const value = pool[i % 4] ^ output;
    output = Math.imul(output, 0x58f38ded);
    const mixed = Math.imul(value, output);
    return BigInt((mixed ^ (mixed >>> 16)) >>> 0);
  });
  return [0, 2, 4, 6].map((i) => halves[i] | (halves[i + 1] << 32n));
}

/** The first `count` gaps of a seed at one request a second: exponential, of mean 1. */
export function gaps(seed, count) {
  const [high, low, streamHigh, streamLow] = words(seed);
  const increment = ((((streamHigh << 64n) | streamLow) << 1n) | 1n) & STATE;
  const step = (state) => (state * MULTIPLIER + increment) & STATE;
  let state = step((increment + ((high << 64n) | low)) & STATE);
  return Float64Array.from({ length: count }, () => {
    state = step(state);
    const folded = (state >> 64n) ^ (state & WORD);
    const turn = state >> 122n;
    const raw = ((folded >> turn) | (folded << (64n - turn))) & WORD;
    return -Math.log1p(-Number(raw >> 11n) * 2 ** -53);
  });
}

/** When requests come, in seconds: the running sum of the gaps at `rate` a second. */
export function arrivals(unit, rate) {
  let last = 0;
  return unit.map((gap) => (last += gap / rate));
}

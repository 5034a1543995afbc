// What was compared: see analogue.comparison.explorer_page. A feature that fires is known by its row, a pair by its number.

const SIDES = ["a", "b"], OTHER = { a: "b", b: "a" };
const FULL_SCALE = 32767, EVERY = 2 ** 32 - 1;
const INK = "#1c2330";

const byId = id => document.getElementById(id);
const digits = (value, n = 3) => value === null || Number.isNaN(value) ? "–"
  : value !== 0 && Math.abs(value) < 10 ** -n ? value.toExponential(1) : value.toFixed(n);
const signed = value => value.toPrecision(3);

// Characters that nobody would see, as signs; those that turn the direction of what follows, by their numbers.
const visible = text => text === "" ? "∅" : text
  .replace(/[\u0000-\u001f]/g, c => ({ "\n": "↵", "\t": "⇥" })[c] ?? String.fromCharCode(0x2400 + c.charCodeAt(0)))
  .replace(/[\u007f\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/g, c => `<U+${c.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}>`);

// A JSON header behind its length, and arrays behind it: see analogue.reporting.explorer.packed_arrays.
async function unpack(id) {
  const content = await inflated(id).arrayBuffer();
  const length = new DataView(content).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(content, 8, length)));
  const kinds = { int32: Int32Array, int16: Int16Array, uint32: Uint32Array, uint8: Uint8Array,
    float32: Float32Array, float64: Float64Array };
  const found = { facts: header.facts };
  for (const [name, [dtype, shape, start]] of Object.entries(header.arrays)) {
    found[name] = new kinds[dtype](content, 8 + length + start, shape.reduce((a, b) => a * b, 1));
    found[name].width = shape[1] ?? 1;
  }
  return found;
}

// The numbers by which samples of activations are drawn: see analogue.features.examples.shuffled_order.
function shuffledOrder(position) {
  let mixed = position;
  for (const [shift, factor] of [[16, 0x85ebca6b], [13, 0xc2b2ae35]]) mixed = Math.imul(mixed ^ (mixed >>> shift), factor);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}

class Spaces {
  static async open() {
    return new Spaces(await unpack("index"));
  }

  constructor(index) {
    Object.assign(this, { index, facts: index.facts, strings: index.facts.strings });
    this.nPairs = index.pair_a.length;
    this.nUnits = index.units.length;
    this.ends = index.lengths.slice();
    for (let i = 1; i < this.ends.length; i++) this.ends[i] += this.ends[i - 1];
    this.rowOf = { a: new Map(), b: new Map() };
    for (const side of SIDES) this.of("feature", side).forEach((feature, row) => this.rowOf[side].set(feature, row));
    this.pairOf = this.bestPairs();
    this.concepts = { a: new Map(), b: new Map() };
    for (const side of SIDES) {
      const members = this.of("concept", side);
      for (let i = 0; i < members.length; i += 2) {
        const row = members[i];
        if (!this.concepts[side].has(row)) this.concepts[side].set(row, []);
        this.concepts[side].get(row).push(members[i + 1]);
      }
    }
    this.chunks = new Map();
  }

  // The pair of every feature: the one that is kept, or else the one of highest correlation; -1 for none.
  bestPairs() {
    const { correlation, dropped } = this.index, found = {};
    const rank = pair => (dropped[pair] ? 0 : 2) + correlation[pair];
    for (const side of SIDES) {
      const rows = this.of("pair", side), best = found[side] = new Int32Array(this.size(side)).fill(-1);
      for (let pair = 0; pair < rows.length; pair++)
        if (best[rows[pair]] < 0 || rank(pair) > rank(best[rows[pair]])) best[rows[pair]] = pair;
    }
    return found;
  }

  of(name, side) { return this.index[`${name}_${side}`]; }
  size(side) { return this.of("feature", side).length; }
  feature(side, row) { return this.of("feature", side)[row]; }

  isKept(side, row) {
    const pair = this.pairOf[side][row];
    return pair >= 0 && !this.index.dropped[pair];
  }

  partnerOf(side, row) {
    const pair = this.pairOf[side][row];
    return pair >= 0 ? this.of("pair", OTHER[side])[pair] : this.of("best", side)[row];
  }

  pairNumber(a, b) {
    const { pair_a, pair_b } = this.index;
    return pair_a.findIndex((row, pair) => row === a && pair_b[pair] === b);
  }

  topTokens(side, row) {
    const top = this.of("top", side);
    return [...top.subarray(row * top.width, (row + 1) * top.width)].filter(place => place >= 0);
  }

  chip(place, shared = false) {
    return element("span", { className: shared ? "token shared" : "token", dir: "auto" }, visible(this.strings[place]));
  }

  // A feature's top tokens, each once, with how often it is among them.
  chips(side, row, others = []) {
    const counts = new Map();
    for (const place of this.topTokens(side, row)) counts.set(place, (counts.get(place) ?? 0) + 1);
    return [...counts].flatMap(([place, n]) => [this.chip(place, others.includes(place)),
      ...(n > 1 ? [element("span", { className: "times" }, `×${n} `)] : [])]);
  }

  // First unit and end of the sequence that a position lies in.
  bounds(position) {
    let low = 0, high = this.ends.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.ends[middle] > position) high = middle; else low = middle + 1;
    }
    return [low ? this.ends[low - 1] : 0, this.ends[low]];
  }

  // Positions of the text about one.
  around(position, reach) {
    const [first, end] = this.bounds(position);
    return [Math.max(first, position - reach), Math.min(end, position + reach + 1)];
  }

  unit(position) { return this.strings[this.index.units[position]]; }

  text(position, reach) {
    const [first, end] = this.around(position, reach);
    let found = "";
    for (let at = first; at < end; at++) found += this.unit(at);
    return found;
  }

  // What a feature shows when it is chosen; features are unpacked some at a time.
  async details(side, row) {
    const id = `${side}-${Math.floor(row / this.facts.chunk)}`;
    if (!this.chunks.has(id)) this.chunks.set(id, parsed(id).then(() => unpack(id)));
    return new Details(this, side, row, await this.chunks.get(id), row % this.facts.chunk);
  }
}

// The end of the page may still be on its way.
const parsed = id => byId(id) || document.readyState !== "loading" ? Promise.resolve()
  : new Promise(resolve => document.addEventListener("DOMContentLoaded", resolve, { once: true }));

class Details {
  constructor(spaces, side, row, chunk, at) {
    const some = name => chunk[name] ? [...chunk[name].subarray(at * chunk[name].width, (at + 1) * chunk[name].width)] : null;
    const ragged = (name, indptr) => chunk[name].subarray(chunk[indptr][at], chunk[indptr][at + 1]);
    Object.assign(this, { side, row, scale: spaces.of("scale", side)[row], limit: chunk.limit[at], reach: chunk.reach[at],
      histogram: some("histogram"), range: some("range"), partners: some("partners"), correlations: some("partner_correlations"),
      nearest: some("nearest"), cosines: some("cosines"), promoted: some("promoted"), suppressed: some("suppressed"),
      raises: some("raises"), lowers: some("lowers"), examples: some("examples").filter(each => each >= 0) });
    this.beside = new Set(ragged("beside", "beside_indptr"));
    this.shares = new Map();
    const steps = ragged("steps", "indptr"), shares = ragged("shares", "indptr");
    for (let entry = 0, position = 0; entry < steps.length; entry++) this.shares.set(position += steps[entry], shares[entry] / FULL_SCALE);
  }

  value(position) { return (this.shares.get(position) ?? 0) * this.scale; }

  // How far from an example of a feature this one's activations are on the page; -1 for not at all.
  reachBeside(example) {
    if (this.limit === EVERY) return Infinity;
    return example === this || this.beside.has(example.row) ? this.reach : -1;
  }
}

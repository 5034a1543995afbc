(async () => {
  const ROW = 30, FULL = 32767, EVERY = 2 ** 32 - 1, SIDES = ["a", "b"], OTHER = { a: "b", b: "a" };
  const INK = "#1c2330", NOBODY = "#a9adb5", SHADES = { a: "214,110,0", b: "30,95,170" };
  const CATEGORIES = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8c6d31", "#6a51a3"];
  const SYMBOLS = ["circle", "square", "diamond", "triangle-up", "star", "pentagon", "hexagon", "triangle-down"];

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

  function drawn(tag, attributes, ...children) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  }

  const byId = id => document.getElementById(id);
  const table = (headings, rows, numeric = []) => {
    const cell = (tag, value, i) => element(tag, { className: numeric.includes(i) ? "number" : "" }, value ?? "–");
    return element("table", {},
      element("thead", {}, element("tr", {}, ...headings.map((text, i) => cell("th", text, i)))),
      element("tbody", {}, ...rows.map(row => element("tr", {}, ...row.map((value, i) => cell("td", value, i))))));
  };
  // Characters that nobody would see, as signs; those that turn the direction of what follows, by their numbers.
  const visible = text => text === "" ? "∅" : text
    .replace(/[\u0000-\u001f]/g, c => ({ "\n": "↵", "\t": "⇥" })[c] ?? String.fromCharCode(0x2400 + c.charCodeAt(0)))
    .replace(/[\u007f\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/g, c => `<U+${c.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}>`);
  const digits = (value, n = 3) => value === null || Number.isNaN(value) ? "–"
    : value !== 0 && Math.abs(value) < 10 ** -n ? value.toExponential(1) : value.toFixed(n);
  const signed = value => value.toPrecision(3);

  const index = await unpack("index"), facts = index.facts, strings = facts.strings;
  const of = (name, side) => index[`${name}_${side}`];
  const nPairs = index.pair_a.length, nUnits = index.units.length;
  const ends = index.lengths.slice();
  for (let i = 1; i < ends.length; i++) ends[i] += ends[i - 1];
  const rowOf = { a: new Map(), b: new Map() };
  for (const side of SIDES) of("feature", side).forEach((feature, row) => rowOf[side].set(feature, row));
  // The pair of a feature: the one that is kept, or else the one of highest correlation.
  const pairOf = { a: new Int32Array(of("feature", "a").length).fill(-1), b: new Int32Array(of("feature", "b").length).fill(-1) };
  for (let pair = 0; pair < nPairs; pair++)
    for (const side of SIDES) {
      const row = of("pair", side)[pair], known = pairOf[side][row];
      const rank = each => (index.dropped[each] ? 0 : 2) + index.correlation[each];
      if (known < 0 || rank(pair) > rank(known)) pairOf[side][row] = pair;
    }
  const isKept = (side, row) => pairOf[side][row] >= 0 && !index.dropped[pairOf[side][row]];
  const partnerOf = (side, row) =>
    pairOf[side][row] >= 0 ? of("pair", OTHER[side])[pairOf[side][row]] : of("best", side)[row];
  const topTokens = (side, row) => {
    const top = of("top", side);
    return [...top.subarray(row * top.width, (row + 1) * top.width)].filter(place => place >= 0);
  };
  const chip = (place, shared = false) => element("span", { className: shared ? "token shared" : "token", dir: "auto" }, visible(strings[place]));
  const chips = (side, row, others = []) => topTokens(side, row).map(place => chip(place, others.includes(place)));
  const bounds = position => {
    let low = 0, high = ends.length - 1;
    while (low < high) { const middle = (low + high) >> 1; if (ends[middle] > position) high = middle; else low = middle + 1; }
    return [low ? ends[low - 1] : 0, ends[low]];
  };
  const text = (position, reach) => {
    const [first, last] = bounds(position);
    let found = "";
    for (let at = Math.max(first, position - reach); at < Math.min(last, position + reach + 1); at++) found += strings[index.units[at]];
    return found;
  };
  const concepts = { a: new Map(), b: new Map() };
  for (const side of SIDES)
    for (let i = 0; i < of("concept", side).length; i += 2) {
      const [row, concept] = of("concept", side).subarray(i, i + 2);
      if (!concepts[side].has(row)) concepts[side].set(row, []);
      concepts[side].get(row).push(concept);
    }

  // What is chosen: a row of each side, or -1.
  const chosen = { a: -1, b: -1 };
  let lasso = null;  // rows of one side: { side, rows }

  // The header

  function about() {
    const names = ["model", "layer", "SAE", "features", "live features", "L0", "explained variance"];
    const scores = facts.scores.map(([label, score, mean, sd, z, p, n, reason]) => score === null
      ? [label, reason, "", "", "", ""] : [label, digits(score, 4), mean === null ? "–" : `${digits(mean, 4)} ± ${digits(sd, 4)}`, z === null ? "–" : z.toFixed(1), p === null ? "–" : p.toPrecision(2), String(n)]);
    document.title = `Features of ${facts.title}`;
    byId("about").append(
      element("h1", {}, facts.title), element("p", { className: "quiet" }, facts.protocol),
      element("details", {}, element("summary", {}, "How to read this"), element("p", {},
        "Every point and every row is a feature of a sparse autoencoder, or a pair of them: a feature of A and the feature of B whose activations on the same text correlate most with its own. " +
        "Pairs that pass all filters are kept, and scored; the list shows the others too, and which filter dropped them. " +
        "In an example, the darker a token's background, the more the feature fires on it; the bar below a token shows the same for the other side's feature. Each is a share of the feature's own highest activation. " +
        "The maps are UMAPs of the decoder rows (cosine distance, fixed seed, dead features left out): neighbours are alike, but distances between far groups, and places in one map and the other, mean nothing. " +
        "Promoted and suppressed tokens are what a decoder row does to the logits when it is sent through the model's final norm and unembedding alone, without the blocks between. A high correlation is no proof: with thousands of candidates some correlate by chance. Read the q-value where there is one, and the examples.")),
      element("details", {}, element("summary", {}, "What was compared"), element("div", { className: "columns" },
        table(["", "A", "B"], names.map((name, i) => [name, facts.sides[0][i], facts.sides[1][i]])),
        table(["pairs after", ""], facts.funnel.map(([name, n]) => [name, String(n)]), [1]),
        table(["score", "of the pairs", "null", "z", "p", "pairs"], scores, [1, 2, 3, 4, 5])),
        ...facts.warnings.map(warning => element("p", { className: "quiet" }, `! ${warning}`))));
  }

  // The list

  const COLUMNS = {
    feature: side => ({ head: side.toUpperCase(), width: "2.9rem", number: true, value: row => of("feature", side)[row] }),
    fires: side => ({ head: `fires ${side.toUpperCase()}`, width: "3rem", number: true, spare: true, value: row => of("n_active", side)[row] }),
    tokens: side => ({ head: `top tokens ${side.toUpperCase()}`, width: "minmax(0, 1fr)", value: row => visible(strings[topTokens(side, row)[0]] ?? "") }),
  };
  const onPair = (column, side, show) => ({ ...column, value: pair => column.value(of("pair", side)[pair]), show });
  const perPair = (name, head, show) => index[name] ? [{ head, width: "2.9rem", number: true, spare: name !== "correlation", value: pair => index[name][pair], show: pair => [show(index[name][pair])] }] : [];
  const shared = (side, pair) => chips(side, of("pair", side)[pair], topTokens(OTHER[side], of("pair", OTHER[side])[pair]));
  const VIEWS = {
    pairs: { name: `pairs (${nPairs})`, items: () => nPairs, rows: pair => ({ a: index.pair_a[pair], b: index.pair_b[pair] }),
      columns: [onPair(COLUMNS.feature("a"), "a"), onPair(COLUMNS.feature("b"), "b"),
        ...perPair("correlation", "r", value => value.toFixed(3)), ...perPair("cosine", "cosine", value => value.toFixed(2)),
        ...perPair("q_value", "q", value => digits(value)),
        onPair(COLUMNS.fires("a"), "a"), onPair(COLUMNS.fires("b"), "b"),
        { head: "dropped by", width: "4.6rem", spare: true, value: pair => facts.filters[index.dropped[pair]], show: pair => [facts.filters[index.dropped[pair]].replaceAll("_", " ") || "kept"] },
        onPair(COLUMNS.tokens("a"), "a", pair => shared("a", pair)), onPair(COLUMNS.tokens("b"), "b", pair => shared("b", pair))],
      sort: { column: 2, falling: true } },
  };
  for (const side of SIDES) {
    const alone = [...of("feature", side).keys()].filter(row => !isKept(side, row));
    VIEWS[side] = { name: `${side.toUpperCase()} without a partner (${alone.length})`, items: () => alone.length,
      rows: i => ({ [side]: alone[i], [OTHER[side]]: partnerOf(side, alone[i]) }),
      columns: [["feature"], ["fires"], ["tokens", i => chips(side, alone[i])]].map(([name, show]) => {
        const column = COLUMNS[name](side);
        return { ...column, spare: false, value: i => column.value(alone[i]), show };
      }), sort: { column: 1, falling: true } };
    VIEWS[side].columns.splice(2, 0, { head: "best r", width: "4rem", number: true, value: i => of("best_correlation", side)[alone[i]], show: i => [digits(of("best_correlation", side)[alone[i]])] });
  }
  let view = "pairs", order = new Int32Array(0);
  const texts = { a: [], b: [] };  // what is searched, in lower case, once it is needed
  const searched = (side, row) => texts[side][row] ??=
    [...topTokens(side, row).map(place => strings[place]), text(of("top_at", side)[row], 8)].join("\n").toLowerCase();

  const fields = {};
  function filterForm() {
    const field = (name, label, properties) => {
      fields[name] = element("input", { name, ...properties, oninput: () => list() });
      return element("label", {}, `${label} `, fields[name]);
    };
    const select = (name, label, options) => {
      fields[name] = element("select", { name, onchange: () => list() }, ...options.map(([value, shown]) => element("option", { value }, shown)));
      return element("label", {}, `${label} `, fields[name]);
    };
    byId("filters").append(
      field("text", "Search", { type: "search", placeholder: "token or text" }),
      field("feature", "feature", { type: "number", min: 0 }),
      select("kept", "show", [["", "all"], ["kept", "kept"], ["dropped", "dropped"], ...facts.filters.slice(1).map(name => [`by ${name}`, `dropped by ${name.replaceAll("_", " ")}`])]),
      ...(facts.concepts.length ? [select("concept", "concept", [["", "any"], ...facts.concepts.map((name, i) => [String(i), name])])] : []),
      field("least", "r from", { type: "number", step: 0.05, min: -1, max: 1 }), field("most", "to", { type: "number", step: 0.05, min: -1, max: 1 }),
      field("fires", "fires from", { type: "number", min: 0 }));
    fields.kept.value = index.dropped.includes(0) ? "kept" : "";
    byId("filters").onsubmit = event => event.preventDefault();
  }

  function passing() {
    const wanted = fields.text.value.toLowerCase(), feature = fields.feature.value, kept = fields.kept.value;
    const concept = fields.concept?.value ?? "", number = name => fields[name].value === "" ? null : Number(fields[name].value);
    const [least, most, fires] = ["least", "most", "fires"].map(number), { rows, items } = VIEWS[view], found = [];
    const tests = [];
    if (lasso) tests.push(each => lasso.rows.has(each[lasso.side]));
    if (feature !== "") tests.push(each => SIDES.some(side => each[side] >= 0 && of("feature", side)[each[side]] === Number(feature)));
    if (fires !== null) tests.push(each => SIDES.every(side => each[side] < 0 || of("n_active", side)[each[side]] >= fires));
    if (concept !== "") tests.push(each => SIDES.some(side => concepts[side].get(each[side])?.includes(Number(concept))));
    if (view === "pairs" && kept) tests.push((_, pair) => kept === "kept" ? !index.dropped[pair]
      : kept === "dropped" ? index.dropped[pair] > 0 : facts.filters[index.dropped[pair]] === kept.slice(3));
    const correlation = (each, item) => view === "pairs" ? index.correlation[item] : of("best_correlation", view)[each[view]];
    if (least !== null) tests.push((each, item) => correlation(each, item) >= least);
    if (most !== null) tests.push((each, item) => correlation(each, item) <= most);
    // The side that a list is about is searched, in pairs either.
    if (wanted) tests.push(each => (view === "pairs" ? SIDES : [view]).some(side => searched(side, each[side]).includes(wanted)));
    for (let item = 0; item < items(); item++) {
      const each = rows(item);
      if (tests.every(test => test(each, item))) found.push(item);
    }
    return found;
  }

  function list() {
    const { columns, sort, items } = VIEWS[view], { value, number } = columns[sort.column], sign = sort.falling ? -1 : 1;
    const keys = passing().map(item => [value(item), item]), missing = key => number && Number.isNaN(key);
    keys.sort(([a, i], [b, j]) => missing(a) || missing(b) ? missing(a) - missing(b) || i - j
      : sign * (a < b ? -1 : a > b ? 1 : 0) || i - j);
    order = keys.map(([, item]) => item);
    byId("count").textContent = `${order.length} of ${items()}`;
    byId("browse").style.setProperty("--columns", columns.filter(each => !(each.spare && narrow())).map(each => each.width).join(" "));
    byId("heads").replaceChildren(...columns.map((column, i) => element("button", {
      type: "button", className: (column.number ? "number" : "") + (column.spare ? " spare" : ""),
      aria: { "aria-pressed": String(i === sort.column), "aria-label": `sort by ${column.head}` },
      onclick: () => { Object.assign(sort, { column: i, falling: i === sort.column ? !sort.falling : Boolean(column.number) && i > 1 }); list(); },
    }, column.head + (i === sort.column ? (sort.falling ? " ↓" : " ↑") : ""))));
    byId("rows").style.height = `${order.length * ROW}px`;
    rowsInView();
  }
  const narrow = () => window.matchMedia("(max-width: 900px)").matches;

  function rowsInView() {
    const place = byId("list"), { columns, rows } = VIEWS[view];
    const first = Math.max(0, Math.floor(place.scrollTop / ROW) - 5);
    const last = Math.min(order.length, Math.ceil((place.scrollTop + place.clientHeight) / ROW) + 5);
    const made = [];
    for (let at = first; at < last; at++) {
      const item = order[at], is = isChosen(rows(item));
      const row = element("div", { className: "row", id: `row-${at}`, style: { top: `${at * ROW}px` },
        aria: { role: "option", "aria-selected": String(is), "aria-posinset": at + 1, "aria-setsize": order.length }, onclick: () => { choose(rows(item)); place.focus({ preventScroll: true }); } },
        ...columns.map(column => element("span", { className: (column.number ? "number" : "") + (column.spare ? " spare" : "") },
          ...(column.show ? column.show(item) : [String(column.value(item))]))));
      made.push(row);
    }
    byId("rows").replaceChildren(...made);
    const active = made.find(row => row.getAttribute("aria-selected") === "true");
    if (active) place.setAttribute("aria-activedescendant", active.id); else place.removeAttribute("aria-activedescendant");
  }
  const isChosen = rows => SIDES.every(side => (rows[side] ?? -1) === chosen[side]);

  function moveBy(step) {
    const { rows } = VIEWS[view], at = order.findIndex(item => isChosen(rows(item)));
    if (order.length) choose(rows(order[Math.min(order.length - 1, Math.max(0, at < 0 ? 0 : at + step))]));
    scrollToChosen();
  }
  function scrollToChosen() {
    const { rows } = VIEWS[view], at = order.findIndex(item => isChosen(rows(item))), place = byId("list");
    if (at < 0) return;
    if (at * ROW < place.scrollTop) place.scrollTop = at * ROW;
    else if ((at + 1) * ROW > place.scrollTop + place.clientHeight) place.scrollTop = (at + 1) * ROW - place.clientHeight;
    rowsInView();
  }
  function showView(name) {
    view = name;
    for (const button of byId("views").children) button.setAttribute("aria-selected", String(button.dataset.view === name));
    byId("list").scrollTop = 0;
    list();
  }

  // The pair

  const unpacked = new Map();
  async function details(side, row) {
    const id = `${side}-${Math.floor(row / facts.chunk)}`, at = row % facts.chunk;
    if (!unpacked.has(id)) unpacked.set(id, unpack(id));
    const chunk = await unpacked.get(id), [start, stop] = [chunk.indptr[at], chunk.indptr[at + 1]];
    const some = name => chunk[name] ? [...chunk[name].subarray(at * chunk[name].width, (at + 1) * chunk[name].width)] : null;
    const shares = new Map();
    for (let entry = start, position = 0; entry < stop; entry++) shares.set(position += chunk.steps[entry], chunk.shares[entry] / FULL);
    const scale = of("scale", side)[row];
    return { side, row, shares, scale, limit: chunk.limit[at], examples: some("examples").filter(each => each >= 0),
      histogram: some("histogram"), range: some("range"), partners: some("partners"), correlations: some("partner_correlations"),
      nearest: some("nearest"), cosines: some("cosines"), promoted: some("promoted"), suppressed: some("suppressed"),
      raises: some("raises"), lowers: some("lowers"), value: position => (shares.get(position) ?? 0) * scale };
  }

  // The numbers by which samples of activations are drawn: see analogue.features.examples.shuffled_order.
  function shuffledOrder(position) {
    let mixed = position;
    for (const [shift, factor] of [[16, 0x85ebca6b], [13, 0xc2b2ae35]]) mixed = Math.imul(mixed ^ (mixed >>> shift), factor);
    return (mixed ^ (mixed >>> 16)) >>> 0;
  }

  function example(own, other, position) {
    const [first, last] = bounds(position), shade = (side, share) => `rgba(${SHADES[side]},${Math.min(1, Math.abs(share) ** 0.7 * 0.85)})`;
    const line = element("div", { className: "example", dir: "auto" });
    line.append(element("span", { className: "number quiet" }, signed(own.value(position)), other ? ` · ${signed(other.value(position))}` : ""));
    for (let at = Math.max(first, position - facts.reach); at < Math.min(last, position + facts.reach + 1); at++) {
      const share = own.shares.get(at) ?? 0, below = other?.shares.get(at) ?? 0;
      const says = [own, other].filter(Boolean).map(each => `${each.side.toUpperCase()} ${signed(each.value(at))}`).join(", ");
      line.append(element("span", { className: at === position ? "unit at" : "unit", title: `${visible(strings[index.units[at]])}: ${says}`, data: { at },
        style: { ...(share ? { background: shade(own.side, share) } : {}), ...(share && Math.abs(share) > 0.75 ? { color: "#000" } : {}),
          ...(below ? { borderBottomColor: shade(other.side, below) } : {}) } }, visible(strings[index.units[at]])));
    }
    return line;
  }

  function histogram(own) {
    const [low, high] = own.range, most = Math.max(...own.histogram), width = 240 / own.histogram.length;
    const bars = own.histogram.map((n, i) => drawn("rect", { x: 30 + i * width, width: width - 1, y: 78 - 70 * Math.log1p(n) / Math.log1p(most),
      height: 70 * Math.log1p(n) / Math.log1p(most), fill: `rgb(${SHADES[own.side]})` }, drawn("title", {}, `${n} tokens`)));
    const label = `activations from ${signed(low)} to ${signed(high)} on ${of("n_active", own.side)[own.row]} tokens`;
    return drawn("svg", { viewBox: "0 0 280 96", width: 280, height: 96, role: "img", "aria-label": `Histogram: ${label}` }, ...bars,
      drawn("text", { x: 30, y: 92 }, signed(low)), drawn("text", { x: 270, y: 92, "text-anchor": "end" }, signed(high)),
      drawn("text", { x: 26, y: 16, "text-anchor": "end" }, String(most)), drawn("line", { x1: 30, x2: 270, y1: 78, y2: 78, stroke: INK }));
  }

  function scatter(a, b) {
    const limit = Math.min(a.limit, b.limit), positions = [...new Set([...a.shares.keys(), ...b.shares.keys()])].filter(at => shuffledOrder(at) <= limit);
    const [x, y] = [a, b].map(each => ({ low: Math.min(0, each.range[0]), high: each.range[1] || 1 }));
    const place = (value, { low, high }, from, to) => from + (to - from) * (value - low) / (high - low || 1);
    const dots = positions.map(at => drawn("circle", { cx: place(a.value(at), x, 34, 270), cy: place(b.value(at), y, 210, 10), r: 2.5, fill: INK, "fill-opacity": 0.45 },
      drawn("title", {}, `${visible(strings[index.units[at]])}: A ${signed(a.value(at))}, B ${signed(b.value(at))}`)));
    const all = limit === EVERY, says = `${positions.length} tokens on which either fires${all ? "" : ", drawn at random from all of them"}`;
    return [drawn("svg", { viewBox: "0 0 280 230", width: 280, height: 230, role: "img", id: "scatter", "aria-label": `Activation of A against activation of B, ${says}` },
      drawn("path", { d: "M34 10V210H270", fill: "none", stroke: INK }), ...dots, drawn("text", { x: 270, y: 225, "text-anchor": "end" }, `A, up to ${signed(x.high)}`),
      drawn("text", { x: 38, y: 12 }, `B, up to ${signed(y.high)}`)), element("p", { className: "quiet" }, says)];
  }

  const followed = (side, row, number, rows) => element("button", { type: "button", data: { feature: of("feature", side)[row] }, onclick: () => choose(rows) },
    element("b", {}, `${side.toUpperCase()} ${of("feature", side)[row]}`), element("span", { className: "number" }, number), element("span", {}, ...chips(side, row)));

  function featureOf(own, other) {
    const { side, row } = own, feature = of("feature", side)[row], n = of("n_active", side)[row], id = facts.neuronpedia[SIDES.indexOf(side)];
    const otherTop = other ? topTokens(other.side, other.row) : [];
    const lens = (places, values) => table(["token", "logit"], places.map((place, i) => [chip(place), values[i].toFixed(2)]), [1]);
    const reason = facts.lens[SIDES.indexOf(side)];
    const runnersUp = own.partners.map((partner, i) => [partner, own.correlations[i]]).filter(([partner]) => partner >= 0 && partner !== other?.row);
    return element("div", { className: "side", id: `side-${side}` },
      element("h2", {}, `Feature ${feature} of ${side.toUpperCase()}`),
      element("p", {}, ...chips(side, row, otherTop)),
      element("p", { className: "quiet" }, `fires on ${n} of ${nUnits} tokens (${(100 * n / nUnits).toPrecision(2)} %)`,
        ...(concepts[side].has(row) ? [` · ${concepts[side].get(row).map(i => facts.concepts[i]).join(", ")}`] : []),
        ...(id ? [" · ", element("a", { href: `https://www.neuronpedia.org/${encodeURI(id)}/${feature}`, rel: "noreferrer" }, "Neuronpedia")] : [])),
      histogram(own),
      element("h3", {}, `Examples, highest first: ${side.toUpperCase()}${other ? ` (background) and ${other.side.toUpperCase()} (bar below)` : ""}`),
      ...own.examples.map(position => example(own, other, position)),
      element("h3", {}, "Tokens that the decoder row promotes and suppresses"),
      own.promoted ? element("div", { className: "promoted" }, lens(own.promoted, own.raises), lens(own.suppressed, own.lowers))
        : element("p", { className: "quiet" }, `not known: ${reason}`),
      element("h3", {}, `Others of ${OTHER[side].toUpperCase()} that correlate with it`),
      element("div", { className: "others runners-up" }, ...runnersUp.map(([partner, r]) => followed(OTHER[side], partner, digits(r), { [side]: row, [OTHER[side]]: partner }))),
      element("h3", {}, `Nearest features of ${side.toUpperCase()}, by the cosine of decoder rows`),
      element("div", { className: "others nearest" }, ...own.nearest.map((near, i) => [near, own.cosines[i]]).filter(([near]) => near >= 0)
        .map(([near, cosine]) => followed(side, near, digits(cosine), { [side]: near, [OTHER[side]]: partnerOf(side, near) }))));
  }

  function aboutPair(a, b) {
    let pair = -1;
    for (let each = 0; each < nPairs; each++) if (index.pair_a[each] === a.row && index.pair_b[each] === b.row) pair = each;
    const listed = [[a, b], [b, a]].map(([own, other]) => own.correlations[own.partners.indexOf(other.row)]).find(Number.isFinite);
    const r = pair >= 0 ? index.correlation[pair] : listed;
    const facts_ = [`correlation ${r === undefined ? "not on this page" : r.toFixed(4)}`];
    if (pair < 0) facts_.push("not a pair of this comparison");
    else {
      facts_.push(index.dropped[pair] ? `dropped by ${facts.filters[index.dropped[pair]]}` : "kept");
      if (index.cosine) facts_.push(`decoder cosine ${index.cosine[pair].toFixed(4)}`);
      if (index.q_value) facts_.push(`p ${digits(index.p_value[pair], 4)}, q ${digits(index.q_value[pair], 4)}`);
    }
    if (r === undefined && Math.min(a.limit, b.limit) !== EVERY) facts_.push("activations of the other side are a sample");
    return element("p", { id: "pair-facts" }, facts_.join(" · "));
  }

  async function showPair() {
    const wanted = { ...chosen }, place = byId("pair");
    const found = await Promise.all(SIDES.map(side => wanted[side] >= 0 ? details(side, wanted[side]) : null));
    if (SIDES.some(side => wanted[side] !== chosen[side])) return;  // another was chosen meanwhile
    const [a, b] = found, both = a && b;
    place.replaceChildren(
      element("h2", {}, both ? `A ${of("feature", "a")[a.row]} and B ${of("feature", "b")[b.row]}` : "One feature"),
      ...(both ? [aboutPair(a, b), ...scatter(a, b)] : []),
      element("div", { className: "sides" }, ...found.map((own, i) => own && featureOf(own, found[1 - i])).filter(Boolean)));
    place.dataset.shown = location.hash;
  }

  function choose(rows) {
    for (const side of SIDES) chosen[side] = rows[side] ?? -1;
    const hash = `#${SIDES.filter(side => chosen[side] >= 0).map(side => `${side}=${of("feature", side)[chosen[side]]}`).join("&")}`;
    if (location.hash !== hash) history.replaceState(null, "", hash);
    rowsInView();
    mark();
    return showPair();
  }

  function followHash() {
    const asked = new URLSearchParams(location.hash.slice(1)), rows = {};
    for (const side of SIDES) if (asked.has(side)) rows[side] = rowOf[side].get(Number(asked.get(side))) ?? -1;
    for (const side of SIDES) if ((rows[side] ?? -1) >= 0 && !asked.has(OTHER[side])) rows[OTHER[side]] = partnerOf(side, rows[side]);
    if (!SIDES.some(side => (rows[side] ?? -1) >= 0)) {
      if (asked.has("a") || asked.has("b")) return byId("pair").replaceChildren(element("p", {}, `No feature that fires is called ${location.hash}`));
      return order.length ? choose(VIEWS[view].rows(order[0])) : undefined;
    }
    choose(rows);
    scrollToChosen();
  }

  // The maps

  const webgl = (() => { try { return Boolean(document.createElement("canvas").getContext("webgl")); } catch { return false; } })();
  const KIND = webgl ? "scattergl" : "scatter";
  const points = (side, rows, more) => ({ type: KIND, mode: "markers", x: rows.map(row => of("map", side)[2 * row]), y: rows.map(row => of("map", side)[2 * row + 1]),
    customdata: rows, hoverinfo: "none", ...more });

  function traces(side) {
    const rows = [...of("feature", side).keys()], kept = rows.filter(row => isKept(side, row)), alone = rows.filter(row => !isKept(side, row));
    const groups = [points(side, alone, { name: "no partner", marker: { color: NOBODY, size: 4, symbol: "x" } })];
    if (byId("colour").value === "concept") {
      const plain = kept.filter(row => !concepts[side].has(row));
      groups.push(points(side, plain, { name: "no concept", marker: { color: "#dde0e5", size: 5 } }));
      facts.concepts.forEach((name, i) => groups.push(points(side, rows.filter(row => concepts[side].get(row)?.[0] === i),
        { name, marker: { color: CATEGORIES[i % 8], symbol: SYMBOLS[(i + Math.floor(i / 8)) % 8], size: 8 } })));
    } else groups.push(points(side, kept, { name: "pairs", marker: { color: kept.map(row => index.correlation[pairOf[side][row]]), colorscale: "Viridis", reversescale: true,
      cmin: 0, cmax: 1, size: 6, showscale: side === "b", colorbar: { thickness: 10, title: { text: "r" } } } }));
    // Two that change: partners of a lasso, and what is chosen.
    return [...groups, points(side, [], { name: "partners", marker: { symbol: "circle-open", size: 11, color: "#b5261e", line: { width: 2 } } }),
      points(side, [], { name: "chosen", marker: { symbol: "circle-open", size: 16, color: INK, line: { width: 3 } } })];
  }

  async function maps() {
    if (!window.Plotly) {  // its megabytes wait until there is something to see
      const script = element("script", { textContent: byId("plotly").textContent });
      document.head.append(script);
    }
    for (const side of SIDES) {
      const place = byId(`map-${side}`), hidden = { visible: false, fixedrange: false }, byConcept = byId("colour").value === "concept";
      place.setAttribute("aria-label", `UMAP of the decoder rows of ${side.toUpperCase()}; the list holds the same features`);
      const layout = { margin: { l: 8, r: 8, t: 28, b: 8 }, showlegend: byConcept && side === "b", dragmode: "pan", hovermode: "closest", xaxis: hidden, yaxis: hidden,
        title: { text: `${side.toUpperCase()}: UMAP of decoder rows, cosine`, x: 0.02, font: { size: 13 } }, legend: { font: { size: 10 } } };
      await Plotly.react(place, traces(side), layout, { responsive: true, displaylogo: false, scrollZoom: true, displayModeBar: true, modeBarButtonsToRemove: ["toImage"] });
      if (place.dataset.drawn) continue;
      place.dataset.drawn = "true";
      place.on("plotly_click", event => { const row = event.points[0].customdata; choose({ [side]: row, [OTHER[side]]: partnerOf(side, row) }); scrollToChosen(); });
      place.on("plotly_hover", event => tip(side, event.points[0].customdata, event.event));
      place.on("plotly_unhover", () => { byId("tip").hidden = true; });
      place.on("plotly_selected", event => event?.points && choosePoints(side, event.points.map(point => point.customdata)));
      place.on("plotly_deselect", () => choosePoints(side, null));
      place.on("plotly_relayout", join);
      place.on("plotly_relayouting", join);
    }
    mark();
  }

  function tip(side, row, event) {
    byId("tip").replaceChildren(element("b", {}, `${side.toUpperCase()} ${of("feature", side)[row]} `), ...chips(side, row));
    byId("tip").hidden = false;
    Object.assign(byId("tip").style, { left: `${Math.min(event.clientX + 12, innerWidth - 260)}px`, top: `${event.clientY + 12}px` });
  }

  const put = (side, fromLast, rows) => {
    const place = byId(`map-${side}`), { x, y } = points(side, rows);
    if (place.data) return window.Plotly.restyle(place, { x: [x], y: [y], customdata: [rows] }, [place.data.length - fromLast]);
  };
  function choosePoints(side, rows) {
    lasso = rows?.length ? { side, rows: new Set(rows) } : null;
    const partners = lasso ? [...new Set(rows.filter(row => isKept(side, row)).map(row => partnerOf(side, row)))] : [];
    put(OTHER[side], 2, partners);
    put(side, 2, []);
    byId("lassoed").textContent = lasso ? `${lasso.rows.size} features of ${side.toUpperCase()} chosen, ${partners.length} partners of ${OTHER[side].toUpperCase()} are ringed; the list shows these` : "";
    byId("unlasso").hidden = !lasso;
    list();
  }
  async function mark() {
    await Promise.all(SIDES.map(side => put(side, 1, chosen[side] >= 0 ? [chosen[side]] : [])));
    join();
  }

  // A line from the chosen point of one map to that of the other.
  function join() {
    const svg = byId("join"), origin = svg.getBoundingClientRect(), ends = [];
    for (const side of SIDES) {
      const place = byId(`map-${side}`), layout = place._fullLayout;
      if (!layout || chosen[side] < 0) return svg.replaceChildren();
      const { left, top } = place.getBoundingClientRect(), { xaxis, yaxis } = layout, row = chosen[side];
      const [x, y] = [xaxis.d2p(of("map", side)[2 * row]), yaxis.d2p(of("map", side)[2 * row + 1])];
      if (x < 0 || y < 0 || x > xaxis._length || y > yaxis._length) return svg.replaceChildren();
      ends.push([left - origin.left + xaxis._offset + x, top - origin.top + yaxis._offset + y]);
    }
    const [[x1, y1], [x2, y2]] = ends;
    svg.replaceChildren(drawn("line", { x1, y1, x2, y2, stroke: INK, "stroke-width": 1.5, "stroke-dasharray": "5 3" }));
  }

  about();
  filterForm();
  for (const [name, each] of Object.entries(VIEWS))
    byId("views").append(element("button", { type: "button", data: { view: name }, aria: { role: "tab" }, onclick: () => showView(name) }, each.name));
  byId("colour").append(element("option", { value: "correlation" }, "correlation"), ...(facts.concepts.length ? [element("option", { value: "concept" }, "concept")] : []));
  byId("colour").onchange = maps;
  byId("unlasso").onclick = () => {
    for (const side of SIDES) Plotly.restyle(byId(`map-${side}`), { selectedpoints: [null] });
    choosePoints("a", null);
    put("a", 2, []);
    for (const side of SIDES) Plotly.relayout(byId(`map-${side}`), { selections: [] });
  };
  byId("list").addEventListener("scroll", rowsInView);
  byId("list").addEventListener("keydown", event => {
    const page = Math.floor(byId("list").clientHeight / ROW) - 1;
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -order.length, End: order.length }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    moveBy(step);
  });
  window.addEventListener("hashchange", followHash);
  window.addEventListener("resize", () => { list(); join(); });
  showView("pairs");
  followHash();
  document.body.dataset.ready = "true";
  await new Promise(resolve => setTimeout(resolve, 50));  // what is there is painted first
  await maps();
  document.body.dataset.drawn = "true";
})();

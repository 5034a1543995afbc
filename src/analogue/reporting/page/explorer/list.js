// The list of pairs, and of features without a partner; only the rows in view are in the document.

const ROW = 30;  // pixels
const narrow = () => window.matchMedia("(max-width: 900px)").matches;

class FeatureList {
  // `choose` is called with the rows of either side that a row of the list is about.
  constructor(spaces, choose) {
    Object.assign(this, { spaces, choose, order: [], chosen: { a: -1, b: -1 }, lasso: null, fields: {} });
    this.texts = { a: [], b: [] };  // what is searched, in lower case, once it is needed
    this.views = listViews(spaces);
    this.filterForm();
    for (const [name, each] of Object.entries(this.views))
      byId("views").append(element("button", { type: "button", data: { view: name }, onclick: () => this.showView(name) }, each.name));
    byId("list").addEventListener("scroll", () => this.rowsInView());
    byId("list").addEventListener("keydown", event => this.key(event));
    this.showView("pairs");
  }

  filterForm() {
    const { facts, index } = this.spaces;
    const field = (name, label, properties) => {
      this.fields[name] = element("input", { name, ...properties, oninput: () => this.fill() });
      return element("label", {}, `${label} `, this.fields[name]);
    };
    const select = (name, label, options) => {
      this.fields[name] = element("select", { name, onchange: () => this.fill() }, ...options.map(([value, shown]) => element("option", { value }, shown)));
      return element("label", {}, `${label} `, this.fields[name]);
    };
    byId("filters").append(
      field("text", "Search", { type: "search", placeholder: "token or text" }),
      field("feature", "feature", { type: "number", min: 0 }),
      select("kept", "show", [["", "all"], ["kept", "kept"], ["dropped", "dropped"], ...facts.filters.slice(1).map(name => [`by ${name}`, `dropped by ${name.replaceAll("_", " ")}`])]),
      ...(facts.concepts.length ? [select("concept", "concept", [["", "any"], ...facts.concepts.map((name, i) => [String(i), name])])] : []),
      element("span", { className: "range" }, field("least", "r from", { type: "number", step: 0.05, min: -1, max: 1 }),
        field("most", "to", { type: "number", step: 0.05, min: -1, max: 1 })),
      field("fires", "fires from", { type: "number", min: 0 }));
    this.fields.kept.value = index.dropped.includes(0) ? "kept" : "";
    byId("filters").onsubmit = event => event.preventDefault();
  }

  searched(side, row) {
    const { spaces, texts } = this;
    return texts[side][row] ??= [...spaces.topTokens(side, row).map(place => spaces.strings[place]),
      spaces.text(spaces.of("top_at", side)[row], 8)].join("\n").toLowerCase();
  }

  passing() {
    const { spaces, fields, lasso, view } = this, { index, facts, concepts } = spaces;
    const wanted = fields.text.value.toLowerCase(), feature = fields.feature.value, kept = fields.kept.value;
    const concept = fields.concept?.value ?? "", number = name => fields[name].value === "" ? null : Number(fields[name].value);
    const [least, most, fires] = ["least", "most", "fires"].map(number), { rows, items } = this.views[view], found = [];
    const tests = [];
    if (lasso) tests.push(each => lasso.rows.has(each[lasso.side]));
    if (feature !== "") tests.push(each => SIDES.some(side => each[side] >= 0 && spaces.feature(side, each[side]) === Number(feature)));
    if (fires !== null) tests.push(each => SIDES.every(side => each[side] < 0 || spaces.of("n_active", side)[each[side]] >= fires));
    if (concept !== "") tests.push(each => SIDES.some(side => concepts[side].get(each[side])?.includes(Number(concept))));
    if (view === "pairs" && kept) tests.push((_, pair) => kept === "kept" ? !index.dropped[pair]
      : kept === "dropped" ? index.dropped[pair] > 0 : facts.filters[index.dropped[pair]] === kept.slice(3));
    const correlation = (each, item) => view === "pairs" ? index.correlation[item] : spaces.of("best_correlation", view)[each[view]];
    if (least !== null) tests.push((each, item) => correlation(each, item) >= least);
    if (most !== null) tests.push((each, item) => correlation(each, item) <= most);
    // The side that a list is about is searched, in pairs either.
    if (wanted) tests.push(each => (view === "pairs" ? SIDES : [view]).some(side => this.searched(side, each[side]).includes(wanted)));
    for (let item = 0; item < items; item++) {
      const each = rows(item);
      if (tests.every(test => test(each, item))) found.push(item);
    }
    return found;
  }

  fill() {
    const { sort, items } = this.views[this.view], { value, number } = sort.column, sign = sort.falling ? -1 : 1, columns = this.columns();
    const found = this.passing(), keys = new Array(items), missing = key => number && Number.isNaN(key);
    for (const item of found) keys[item] = value(item);
    this.order = found.sort((i, j) => {
      const a = keys[i], b = keys[j];
      if (missing(a) || missing(b)) return missing(a) - missing(b) || i - j;
      return sign * (a < b ? -1 : a > b ? 1 : 0) || i - j;
    });
    byId("count").textContent = `${this.order.length} of ${items}`;
    byId("browse").style.setProperty("--columns", columns.map(each => each.width).join(" "));
    byId("heads").replaceChildren(...columns.map((column, i) => element("button", {
      type: "button", className: column.number ? "number" : "",
      aria: { "aria-pressed": String(column === sort.column), "aria-label": `sort by ${column.head}${column === sort.column ? (sort.falling ? ", falling" : ", rising") : ""}` },
      onclick: () => {
        Object.assign(sort, { column, falling: column === sort.column ? !sort.falling : Boolean(column.falls) });
        this.fill();
        byId("heads").children[i].focus();
      },
    }, column.head + (column === sort.column ? (sort.falling ? " ↓" : " ↑") : ""))));
    byId("rows").style.height = `${this.order.length * ROW}px`;
    this.rowsInView();
  }

  // Those that have room and something to tell.
  columns() {
    const only = this.view === "pairs" && this.fields.kept.value === "kept";
    return this.views[this.view].columns.filter(({ spare, tells }) => !(spare && narrow()) && !(only && tells === "dropped"));
  }

  rowsInView() {
    const place = byId("list"), { rows } = this.views[this.view], columns = this.columns();
    const first = Math.max(0, Math.floor(place.scrollTop / ROW) - 5);
    const last = Math.min(this.order.length, Math.ceil((place.scrollTop + place.clientHeight) / ROW) + 5);
    const made = [];
    for (let at = first; at < last; at++) {
      const item = this.order[at], aria = { role: "option", "aria-selected": String(this.isChosen(rows(item))), "aria-posinset": at + 1, "aria-setsize": this.order.length };
      made.push(element("div", { className: "row", id: `row-${at}`, style: { top: `${at * ROW}px` }, aria,
        onclick: () => { this.choose(rows(item)); place.focus({ preventScroll: true }); } },
        ...columns.map(column => element("span", { className: column.number ? "number" : "" },
          ...(column.show ? column.show(item) : [String(column.value(item))])))));
    }
    byId("rows").replaceChildren(...made);
    const active = made.find(row => row.getAttribute("aria-selected") === "true");
    if (active) place.setAttribute("aria-activedescendant", active.id); else place.removeAttribute("aria-activedescendant");
  }

  isChosen(rows) { return SIDES.every(side => (rows[side] ?? -1) === this.chosen[side]); }

  mark(chosen) {
    this.chosen = { ...chosen };
    this.rowsInView();
  }

  only(lasso) {
    this.lasso = lasso;
    this.fill();
  }

  first() { return this.order.length ? this.views[this.view].rows(this.order[0]) : null; }

  key(event) {
    if (event.key === "Enter") return byId("pair").focus();
    const page = Math.floor(byId("list").clientHeight / ROW) - 1, n = this.order.length;
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -n, End: n }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const { rows } = this.views[this.view], at = this.order.findIndex(item => this.isChosen(rows(item)));
    if (n) this.choose(rows(this.order[Math.min(n - 1, Math.max(0, at < 0 ? 0 : at + step))]));
    this.scrollToChosen();
  }

  scrollToChosen() {
    const { rows } = this.views[this.view], at = this.order.findIndex(item => this.isChosen(rows(item))), place = byId("list");
    if (at < 0) return;
    if (at * ROW < place.scrollTop) place.scrollTop = at * ROW;
    else if ((at + 1) * ROW > place.scrollTop + place.clientHeight) place.scrollTop = (at + 1) * ROW - place.clientHeight;
    this.rowsInView();
  }

  showView(name) {
    this.view = name;
    for (const button of byId("views").children) button.setAttribute("aria-pressed", String(button.dataset.view === name));
    byId("list").scrollTop = 0;
    this.fill();
  }
}

// What there is to list: its columns, and the rows of either side that each item is about.
function listViews(spaces) {
  const { index, facts } = spaces;
  const feature = side => ({ head: side.toUpperCase(), width: "2.9rem", number: true, value: row => spaces.feature(side, row) });
  const fires = side => ({ head: `fires ${side.toUpperCase()}`, width: "3rem", number: true, falls: true, spare: true, value: row => spaces.of("n_active", side)[row] });
  const tokens = side => ({ head: `top tokens ${side.toUpperCase()}`, width: "minmax(0, 1fr)", value: row => visible(spaces.strings[spaces.topTokens(side, row)[0]] ?? "") });
  const onPair = (column, side, show) => ({ ...column, value: pair => column.value(spaces.of("pair", side)[pair]), show });
  const perPair = (name, head, show) => index[name] ? [{ head, width: "2.9rem", number: true, falls: true, spare: name !== "correlation", value: pair => index[name][pair], show: pair => [show(index[name][pair])] }] : [];
  const shared = (side, pair) => spaces.chips(side, spaces.of("pair", side)[pair], spaces.topTokens(OTHER[side], spaces.of("pair", OTHER[side])[pair]));
  const dropped = pair => facts.filters[index.dropped[pair]];
  const views = {
    pairs: { name: `pairs (${spaces.nPairs})`, items: spaces.nPairs, rows: pair => ({ a: index.pair_a[pair], b: index.pair_b[pair] }),
      columns: [onPair(feature("a"), "a"), onPair(feature("b"), "b"),
        ...perPair("correlation", "r", value => value.toFixed(3)), ...perPair("cosine", "cosine", value => value.toFixed(2)),
        ...perPair("q_value", "q", value => digits(value)),
        onPair(fires("a"), "a"), onPair(fires("b"), "b"),
        { head: "dropped by", width: "4.6rem", spare: true, tells: "dropped", value: dropped, show: pair => [dropped(pair).replaceAll("_", " ") || "kept"] },
        onPair(tokens("a"), "a", pair => shared("a", pair)), onPair(tokens("b"), "b", pair => shared("b", pair))] },
  };
  views.pairs.sort = { column: views.pairs.columns[2], falling: true };
  for (const side of SIDES) {
    const alone = [...spaces.of("feature", side).keys()].filter(row => !spaces.isKept(side, row));
    const about = (column, show) => ({ ...column, spare: false, value: i => column.value(alone[i]), show });
    const best = i => spaces.of("best_correlation", side)[alone[i]];
    views[side] = { name: `${side.toUpperCase()} without a partner (${alone.length})`, items: alone.length,
      rows: i => ({ [side]: alone[i], [OTHER[side]]: spaces.partnerOf(side, alone[i]) }),
      columns: [about(feature(side)), about(fires(side)), { head: "best r", width: "4rem", number: true, falls: true, value: best, show: i => [digits(best(i))] },
        about(tokens(side), i => spaces.chips(side, alone[i]))] };
    views[side].sort = { column: views[side].columns[1], falling: true };
  }
  return views;
}

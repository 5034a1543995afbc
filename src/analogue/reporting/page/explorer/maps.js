// Both spaces as maps of their decoder rows, beside each other: what is chosen in one lights up in the other.

// Without its brightest end, which would hardly stand out from white.
const VIRIDIS = ["#b5de2b", "#6ece58", "#35b779", "#1f9e89", "#26828e", "#31688e", "#3e4989", "#482878", "#440154"];
const CATEGORIES = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8c6d31", "#6a51a3"];
const CATEGORY_SHAPES = ["circle", "square", "diamond", "up", "down", "plus", "bar"];
const OUTLINES = { circle: "M8 2a6 6 0 1 0 .01 0Z", square: "M3 3H13V13H3Z", diamond: "M8 1L15 8L8 15L1 8Z", up: "M8 1L15 14H1Z", down: "M8 15L15 2H1Z",
  plus: "M6 1H10V6H15V10H10V15H6V10H1V6H6Z", bar: "M1 5H15V11H1Z", cross: "M2 4L4 2L8 6L12 2L14 4L10 8L14 12L12 14L8 10L4 14L2 12L6 8Z" };
const rgb = colour => [1, 3, 5].map(at => parseInt(colour.slice(at, at + 2), 16));
const NOBODY = "#9096a0", PLAIN = "#c9cdd4", RINGS = "#b5261e";

class FeatureMaps {
  // `choose` is called with rows, `only` with a lasso's side and rows, or null.
  constructor(spaces, choose, only) {
    Object.assign(this, { spaces, choose, only, maps: {}, chosen: { a: -1, b: -1 }, partners: { a: [], b: [] } });
    this.gradient = Array.from({ length: 64 }, (_, i) => {
      const at = i / 63 * (VIRIDIS.length - 1), low = Math.min(VIRIDIS.length - 2, Math.floor(at)), share = at - low;
      return rgb(VIRIDIS[low]).map((value, part) => value + share * (rgb(VIRIDIS[low + 1])[part] - value));
    });
    byId("colour").append(element("option", { value: "correlation" }, "correlation"), ...(spaces.facts.concepts.length ? [element("option", { value: "concept" }, "concept")] : []));
    byId("colour").onchange = () => this.paint();
    byId("unlasso").onclick = () => this.lasso("a", []);
    for (const side of SIDES) this.frame(side);
    this.paint();
  }

  frame(side) {
    const name = side.toUpperCase(), { spaces } = this;
    const map = this.maps[side] = new PointMap(byId(`map-${side}`), spaces.of("map", side), {
      point: (row, x, y) => this.tip(side, row, x, y),
      leave: () => { byId("tip").hidden = true; },
      choose: row => this.choose({ [side]: row, [OTHER[side]]: spaces.partnerOf(side, row) }),
      lasso: rows => this.lasso(side, rows),
      moved: () => this.join(),
    });
    map.canvas.setAttribute("role", "application");
    map.canvas.setAttribute("aria-label", `UMAP of the decoder rows of ${name}, ${map.n} features; arrow keys move it, + and - zoom, 0 shows all; the list holds the same features`);
    const tool = (text, label, onclick) => element("button", { type: "button", onclick, title: label, aria: { "aria-label": `${label}, map of ${name}` } }, text);
    const lasso = tool("lasso", "choose many by drawing a line around them", () => {
      map.lassoing = !map.lassoing;
      lasso.setAttribute("aria-pressed", String(map.lassoing));
    });
    lasso.setAttribute("aria-pressed", "false");
    byId(`tools-${side}`).append(element("b", {}, `${name}: UMAP of decoder rows, cosine`), element("span", { className: "gap" }), lasso,
      tool("−", "zoom out", () => map.zoomBy(1 / 1.5)), tool("+", "zoom in", () => map.zoomBy(1.5)), tool("all", "show all", () => map.whole()));
  }

  groups(side) {
    const { spaces } = this, { correlation } = spaces.index, kept = [], alone = [];
    for (let row = 0; row < spaces.size(side); row++) (spaces.isKept(side, row) ? kept : alone).push(row);
    const nobody = { rows: alone, colour: rgb(NOBODY), size: 6, shape: "cross" };
    if (byId("colour").value !== "concept") {
      const colour = row => this.gradient[Math.round(63 * Math.min(1, Math.max(0, correlation[spaces.pairOf[side][row]])))];
      return [nobody, { rows: kept, colour, size: 6, shape: "circle" }];
    }
    const { concepts } = spaces, members = spaces.facts.concepts.map(() => []);
    for (const [row, [first]] of concepts[side]) members[first].push(row);
    return [nobody, { rows: kept.filter(row => !concepts[side].has(row)), colour: rgb(PLAIN), size: 5, shape: "circle" },
      ...members.map((rows, i) => ({ rows, colour: rgb(CATEGORIES[i % 8]), size: 10, shape: CATEGORY_SHAPES[i % 7] }))];
  }

  paint() {
    for (const side of SIDES) this.maps[side].paint(this.groups(side));
    this.legend();
    this.mark(this.chosen);
  }

  legend() {
    const sign = (shape, colour, text) => element("span", { className: "sign" }, drawn("svg", { viewBox: "0 0 16 16", width: 11, height: 11, "aria-hidden": "true" },
      drawn("path", { d: OUTLINES[shape], fill: colour })), ` ${text}`);
    byId("legend").replaceChildren(...(byId("colour").value === "concept"
      ? this.spaces.facts.concepts.map((name, i) => sign(CATEGORY_SHAPES[i % 7], CATEGORIES[i % 8], name))
      : [element("span", { className: "sign" }, "r 0 ", element("span", { className: "scale", style: { background: `linear-gradient(90deg, ${VIRIDIS.join(", ")})` } }), " 1")]),
    sign("cross", NOBODY, "no partner"));
  }

  mark(chosen) {
    this.chosen = { ...chosen };
    for (const side of SIDES)
      this.maps[side].mark([{ rows: this.partners[side], colour: rgb(RINGS), size: 12, shape: "ring" },
        ...[["#ffffff", 24], [INK, 18]].map(([colour, size]) => ({ rows: chosen[side] >= 0 ? [chosen[side]] : [], colour: rgb(colour), size, shape: "ring" }))]);
    this.join();
  }

  lasso(side, rows) {
    const { spaces } = this, other = OTHER[side];
    const found = [...new Set(rows.filter(row => spaces.isKept(side, row)).map(row => spaces.partnerOf(side, row)))];
    this.partners = { [side]: rows, [other]: found };
    byId("lassoed").textContent = rows.length ? `${rows.length} features of ${side.toUpperCase()} chosen, ${found.length} partners of ${other.toUpperCase()} are ringed; the list shows these` : "";
    byId("unlasso").hidden = !rows.length;
    this.mark(this.chosen);
    this.only(rows.length ? { side, rows: new Set(rows) } : null);
  }

  tip(side, row, x, y) {
    const { spaces } = this;
    byId("tip").replaceChildren(element("b", {}, `${side.toUpperCase()} ${spaces.feature(side, row)} `), ...spaces.chips(side, row));
    byId("tip").hidden = false;
    Object.assign(byId("tip").style, { left: `${Math.max(0, Math.min(x + 12, innerWidth - byId("tip").offsetWidth - 8))}px`, top: `${y + 12}px` });
  }

  // A line from the chosen point of one map to that of the other.
  join() {
    const svg = byId("join"), origin = svg.getBoundingClientRect(), ends = [];
    for (const side of SIDES) {
      const map = this.maps[side], row = this.chosen[side];
      if (!map?.width || row < 0) return svg.replaceChildren();
      const [x, y] = map.position(row), { left, top } = map.canvas.getBoundingClientRect();
      if (x < 0 || y < 0 || x > map.width || y > map.height) return svg.replaceChildren();
      ends.push([left - origin.left + x, top - origin.top + y]);
    }
    const [[x1, y1], [x2, y2]] = ends;
    svg.replaceChildren(drawn("line", { x1, y1, x2, y2, stroke: INK, "stroke-width": 1.5, "stroke-dasharray": "5 3" }));
  }
}

// The chosen pair: what is known of it, both activations on the same tokens, and its two features.

class PairView {
  // `choose` is called with the rows of another pair, when a feature beside it is followed.
  constructor(spaces, choose) {
    Object.assign(this, { spaces, choose, wanted: null });
    byId("pair").addEventListener("keydown", event => event.key === "Escape" && byId("list").focus());
  }

  async show(chosen) {
    const { spaces } = this, wanted = this.wanted = { ...chosen };
    const found = await Promise.all(SIDES.map(side => wanted[side] >= 0 ? spaces.details(side, wanted[side]) : null));
    if (this.wanted !== wanted) return;  // another was chosen meanwhile
    const [a, b] = found, both = a && b;
    byId("pair").replaceChildren(
      element("div", { aria: { role: "status" } },
        element("h2", {}, both ? `A ${spaces.feature("a", a.row)} and B ${spaces.feature("b", b.row)}` : "One feature"),
        ...(both ? [this.about(a, b)] : [])),
      ...(both ? this.scatter(a, b) : []),
      element("div", { className: "sides" }, ...found.map((own, i) => own && featureSection(spaces, own, found[1 - i], this.choose)).filter(Boolean)));
    byId("pair").dataset.shown = location.hash;
  }

  say(text) {
    this.wanted = null;
    byId("pair").replaceChildren(element("p", {}, text));
  }

  about(a, b) {
    const { index, facts } = this.spaces, pair = this.spaces.pairNumber(a.row, b.row);
    const listed = [[a, b], [b, a]].map(([own, other]) => own.correlations[own.partners.indexOf(other.row)]).find(Number.isFinite);
    const r = pair >= 0 ? index.correlation[pair] : listed;
    const says = [`correlation ${r === undefined ? "not on this page" : r.toFixed(4)}`];
    if (pair < 0) says.push("not a pair of this comparison");
    else {
      says.push(index.dropped[pair] ? `dropped by ${facts.filters[index.dropped[pair]].replaceAll("_", " ")}` : "kept");
      if (index.cosine) says.push(`decoder cosine ${index.cosine[pair].toFixed(4)}`);
      if (index.q_value) says.push(`p ${digits(index.p_value[pair], 4)}, q ${digits(index.q_value[pair], 4)}`);
    }
    return element("p", { id: "pair-facts" }, says.join(" · "));
  }

  scatter(a, b) {
    const limit = Math.min(a.limit, b.limit), positions = [...new Set([...a.shares.keys(), ...b.shares.keys()])].filter(at => shuffledOrder(at) <= limit);
    const [x, y] = [a, b].map(each => ({ low: Math.min(0, each.range[0]), high: each.range[1] || 1 }));
    const place = (value, { low, high }, from, to) => from + (to - from) * (value - low) / (high - low || 1);
    const dots = positions.map(at => drawn("circle", { cx: place(a.value(at), x, 34, 270), cy: place(b.value(at), y, 210, 10), r: 2.5, fill: INK, "fill-opacity": 0.45 },
      drawn("title", {}, `${visible(this.spaces.unit(at))}: A ${signed(a.value(at))}, B ${signed(b.value(at))}`)));
    const all = limit === EVERY, says = `${positions.length} tokens on which either fires${all ? "" : ", drawn at random from all of them"}`;
    return [drawn("svg", { viewBox: "0 0 280 230", width: 280, height: 230, role: "img", id: "scatter", "aria-label": `Activation of A against activation of B, ${says}` },
      drawn("path", { d: "M34 10V210H270", fill: "none", stroke: INK }), ...dots, drawn("text", { x: 270, y: 225, "text-anchor": "end" }, `A, up to ${signed(x.high)}`),
      drawn("text", { x: 38, y: 12 }, `B, up to ${signed(y.high)}`)), element("p", { className: "quiet" }, says)];
  }
}

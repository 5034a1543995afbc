// One feature: where it fires, what it promotes, what lies near it.

const SHADES = { a: "214,110,0", b: "30,95,170" };

function drawn(tag, attributes, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

// Text about a position: the background of a token is the feature's activation, the bar below it the other's.
function example(spaces, own, other, position) {
  const [first, end] = spaces.around(position, spaces.facts.reach);
  const shade = (side, share) => `rgba(${SHADES[side]},${Math.min(1, Math.abs(share) ** 0.7 * 0.85)})`;
  const line = element("div", { className: "example", dir: "auto", tabIndex: 0, aria: { role: "group",
    "aria-label": `Example: ${visible(spaces.unit(position))}, ${signed(own.value(position))}; arrow keys go from token to token` } });
  line.append(element("span", { className: "number quiet" }, signed(own.value(position)), other ? ` · ${signed(other.value(position))}` : ""));
  const known = [own, other].filter(Boolean).map(each => [each, each.reachBeside(own)]);
  for (let at = first; at < end; at++) {
    const far = Math.abs(at - position), share = own.shares.get(at) ?? 0, below = other?.shares.get(at) ?? 0;
    const says = known.map(([each, reach]) => `${each.side.toUpperCase()} ${far <= reach || each.shares.has(at) ? signed(each.value(at)) : "not on this page"}`).join(", ");
    line.append(element("span", { className: at === position ? "unit at" : "unit", title: `${visible(spaces.unit(at))}: ${says}`, data: { at },
      style: { ...(share ? { background: shade(own.side, share) } : {}), ...(share && Math.abs(share) > 0.75 ? { color: "#000" } : {}),
        ...(below ? { borderBottomColor: shade(other.side, below) } : {}) } }, visible(spaces.unit(at))));
  }
  line.addEventListener("click", event => event.target.matches(".unit") && readOut(line, event.target));
  line.addEventListener("keydown", event => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key], units = [...line.querySelectorAll(".unit")];
    if (!step) return;
    event.preventDefault();
    const at = units.findIndex(unit => unit.matches(".read"));
    readOut(line, units[at < 0 ? units.findIndex(unit => unit.matches(".at")) : Math.min(units.length - 1, Math.max(0, at + step))]);
  });
  return line;
}

// A token's activations in words, for those who have no pointer to hold over it.
function readOut(line, unit) {
  for (const each of document.querySelectorAll(".unit.read, .read-out")) each.matches(".unit") ? each.classList.remove("read") : each.remove();
  unit.classList.add("read");
  line.append(element("div", { className: "read-out quiet", aria: { role: "status" } }, unit.title));
}

// What the page does not hold about examples, in a sentence; empty if nothing is missing.
function missing(spaces, own, other) {
  const says = [];
  for (const each of [own, other].filter(Boolean)) {
    const reach = each.reachBeside(own), name = each.side.toUpperCase();
    if (reach < 0) says.push(`Activations of ${name} beside these examples are not on this page, but for a sample.`);
    else if (reach < spaces.facts.reach) says.push(`Activations of ${name} are shown up to ${reach} tokens from the one in the frame.`);
  }
  return says.join(" ");
}

function histogram(spaces, own) {
  const [low, high] = own.range, most = Math.max(...own.histogram), width = 240 / own.histogram.length;
  const bars = own.histogram.map((n, i) => drawn("rect", { x: 30 + i * width, width: width - 1, y: 78 - 70 * Math.log1p(n) / Math.log1p(most),
    height: 70 * Math.log1p(n) / Math.log1p(most), fill: `rgb(${SHADES[own.side]})` }, drawn("title", {}, `${n} tokens`)));
  const label = `activations from ${signed(low)} to ${signed(high)} on ${spaces.of("n_active", own.side)[own.row]} tokens`;
  return drawn("svg", { viewBox: "0 0 280 96", width: 280, height: 96, role: "img", "aria-label": `Histogram: ${label}` }, ...bars,
    drawn("text", { x: 30, y: 92 }, signed(low)), drawn("text", { x: 270, y: 92, "text-anchor": "end" }, signed(high)),
    drawn("text", { x: 26, y: 16, "text-anchor": "end" }, String(most)), drawn("line", { x1: 30, x2: 270, y1: 78, y2: 78, stroke: INK }));
}

function featureSection(spaces, own, other, choose) {
  const { side, row } = own, { facts } = spaces, far = OTHER[side], place = SIDES.indexOf(side);
  const feature = spaces.feature(side, row), n = spaces.of("n_active", side)[row], id = facts.neuronpedia[place];
  const otherTop = other ? spaces.topTokens(other.side, other.row) : [], left = missing(spaces, own, other);
  const lens = (places, values) => table(["token", "logit"], places.map((each, i) => [spaces.chip(each), values[i].toFixed(2)]), [1]);
  const runnersUp = own.partners.map((partner, i) => [partner, own.correlations[i]]).filter(([partner]) => partner >= 0 && partner !== other?.row);
  const followed = (on, each, number, rows) => element("button", { type: "button", data: { feature: spaces.feature(on, each) }, onclick: () => choose(rows) },
    element("b", {}, `${on.toUpperCase()} ${spaces.feature(on, each)}`), element("span", { className: "number" }, number), element("span", {}, ...spaces.chips(on, each)));
  return element("div", { className: "side", id: `side-${side}` },
    element("h2", {}, `Feature ${feature} of ${side.toUpperCase()}`),
    element("p", {}, ...spaces.chips(side, row, otherTop)),
    element("p", { className: "quiet" }, `fires on ${n} of ${spaces.nUnits} tokens (${(100 * n / spaces.nUnits).toPrecision(2)} %)`,
      ...(spaces.concepts[side].has(row) ? [` · ${spaces.concepts[side].get(row).map(i => facts.concepts[i]).join(", ")}`] : []),
      ...(id ? [" · ", element("a", { href: `https://www.neuronpedia.org/${encodeURI(id)}/${feature}`, rel: "noreferrer" }, "Neuronpedia")] : [])),
    histogram(spaces, own),
    element("h3", {}, `Examples, highest first: ${side.toUpperCase()}${other ? ` (background) and ${other.side.toUpperCase()} (bar below)` : ""}`),
    ...(left ? [element("p", { className: "quiet missing" }, left)] : []),
    ...own.examples.map(position => example(spaces, own, other, position)),
    element("h3", {}, "Tokens that the decoder row promotes and suppresses"),
    own.promoted ? element("div", { className: "promoted" }, lens(own.promoted, own.raises), lens(own.suppressed, own.lowers))
      : element("p", { className: "quiet" }, `not known: ${facts.lens[place]}`),
    element("h3", {}, `Others of ${far.toUpperCase()} that correlate with it`),
    element("div", { className: "others runners-up" }, ...runnersUp.map(([partner, r]) => followed(far, partner, digits(r), { [side]: row, [far]: partner }))),
    element("h3", {}, `Nearest features of ${side.toUpperCase()}, by the cosine of decoder rows`),
    element("div", { className: "others nearest" }, ...own.nearest.map((near, i) => [near, own.cosines[i]]).filter(([near]) => near >= 0)
      .map(([near, cosine]) => followed(side, near, digits(cosine), { [side]: near, [far]: spaces.partnerOf(side, near) }))));
}

// The header: what was compared, and how to read the page.

const HOW_TO_READ = `Every point and every row is a feature of a sparse autoencoder, or a pair of them: a feature of A and the
feature of B whose activations on the same text correlate most with its own. Pairs that pass all filters are kept, and scored;
the list shows the others too, and which filter dropped them. In an example, the darker a token's background, the more the
feature fires on it; the bar below a token shows the same for the other side's feature. Each is a share of the feature's own
highest activation. The maps are UMAPs of the decoder rows (cosine distance, fixed seed, dead features left out): neighbours are
alike, but distances between far groups, and places in one map and the other, mean nothing. Promoted and suppressed tokens are
what a decoder row does to the logits when it is sent through the model's final norm and unembedding alone, without the blocks
between. A high correlation is no proof: with thousands of candidates some correlate by chance. Read the q-value where there is
one, and the examples.`;
const KEYS = `Tab goes from part to part. In the list the arrow keys, Page Up, Page Down, Home and End move, and Enter goes to the
pair; Escape comes back. In an example the left and right arrow keys go from token to token. On a map the arrow keys move it,
+ and - zoom, and 0 shows all of it.`;

const table = (headings, rows, numeric = []) => {
  const cell = (tag, value, i) => element(tag, { className: numeric.includes(i) ? "number" : "" }, value ?? "–");
  return element("table", {},
    element("thead", {}, element("tr", {}, ...headings.map((text, i) => cell("th", text, i)))),
    element("tbody", {}, ...rows.map(row => element("tr", {}, ...row.map((value, i) => cell("td", value, i))))));
};

function showAbout(facts) {
  const names = ["model", "layer", "SAE", "features", "live features", "L0", "explained variance"];
  const scores = facts.scores.map(([label, score, mean, sd, z, p, n, reason]) => score === null
    ? [label, reason, "", "", "", ""] : [label, digits(score, 4), mean === null ? "–" : `${digits(mean, 4)} ± ${digits(sd, 4)}`,
      z === null ? "–" : z.toFixed(1), p === null ? "–" : p.toPrecision(2), String(n)]);
  document.title = `Features of ${facts.title}`;
  byId("about").append(
    element("h1", {}, facts.title), element("p", { className: "quiet" }, facts.protocol),
    element("details", {}, element("summary", {}, "How to read this"), element("p", {}, HOW_TO_READ), element("p", {}, KEYS)),
    element("details", {}, element("summary", {}, "What was compared"), element("div", { className: "columns" },
      table(["", "A", "B"], names.map((name, i) => [name, facts.sides[0][i], facts.sides[1][i]])),
      table(["pairs after", ""], facts.funnel.map(([name, n]) => [name, String(n)]), [1]),
      table(["score", "of the pairs", "null", "z", "p", "pairs"], scores, [1, 2, 3, 4, 5])),
      ...facts.warnings.map(warning => element("p", { className: "quiet" }, `! ${warning}`))));
}

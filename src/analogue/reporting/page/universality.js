(async () => {
  const OTHER = "#b8b4d8", FLOW = { stays: "#31688e99", splits: "#35b77999", merges: "#e0902f99", gone: "#d5d8dd" };
  const AT_ONCE = 20;

  function table(headings, rows) {
    const cell = (tag, value, column) => element(tag, { className: column ? "number" : "" }, value);
    return element("table", {},
      element("thead", {}, element("tr", {}, ...headings.map((text, i) => cell("th", text, i)))),
      element("tbody", {}, ...rows.map(row => element("tr", {}, ...row.map((value, i) => cell("td", String(value), i))))));
  }

  const visible = text => text.replaceAll("\n", "↵");
  const data = await inflated("data").json();
  const study = document.getElementById("study"), n = data.names.length;
  const title = text => ({ text, x: 0.02, font: { size: 14 } });

  function plot(parent, traces, layout) {
    const place = element("div", { className: "panel" });
    parent.append(place);
    Plotly.newPlot(place, traces, { ...LAYOUT, ...layout }, CONFIG);
    return place;
  }

  function spectrum(parent) {
    const sizes = data.names.map((_, i) => String(i + 1));
    const traces = data.names.map((name, s) => ({ type: "bar", x: sizes, y: data.spectrum[s], name, legendgroup: "found" }));
    if (data.by_chance) {
      const mean = sizes.map((_, k) => data.by_chance.mean.reduce((sum, row) => sum + row[k], 0) / n);
      traces.push({ type: "scatter", mode: "lines+markers", x: sizes, y: mean, name: "sequences permuted", line: { color: "#b5261e" } });
    }
    plot(parent, traces, { height: 380, barmode: "group", colorway: ["#31688e", "#35b779", "#e0902f", "#8c5fa8", "#5c6b80", "#c0504d"],
      title: title("Live features of each space by the number of spaces that they are in"), margin: { l: 60, r: 10, t: 40, b: 50 },
      xaxis: { title: { text: "spaces" }, type: "category" }, yaxis: { title: { text: "features" } } });
  }

  function matrix(parent, name, values) {
    const shown = n <= 14 ? "%{text}" : "";
    plot(parent, [{ type: "heatmap", z: values, x: data.names, y: data.names, colorscale: "Viridis", xgap: 1, ygap: 1,
      text: values.map(row => row.map(value => value === null ? "" : value.toFixed(2))), texttemplate: shown,
      hovertemplate: `%{y}, %{x}<br>${name}: %{z:.4f}<extra></extra>`, hoverongaps: false, colorbar: { thickness: 12 } }],
      { height: 130 + 34 * Math.max(5, n), title: title(name), plot_bgcolor: "#d9d9d9", margin: { l: 110, r: 10, t: 40, b: 90 },
        xaxis: { type: "category", showgrid: false }, yaxis: { type: "category", autorange: "reversed", showgrid: false } });
  }

  function tree(parent) {
    plot(parent, data.branches.brackets.map(([x, y]) => ({ type: "scatter", mode: "lines", x, y, line: { color: FILL }, hoverinfo: "x" })),
      { height: 130 + 26 * Math.max(6, n), showlegend: false, title: title("Tree of spaces (average linkage)"), margin: { l: 120, r: 10, t: 40, b: 50 },
        xaxis: { title: { text: "1 − share of features matched" }, rangemode: "tozero" },
        yaxis: { tickvals: data.branches.leaves.map((_, i) => i), ticktext: data.branches.leaves.map(leaf => data.names[leaf]), showgrid: false } });
  }

  function map(parent) {
    plot(parent, [{ type: "scatter", mode: "markers+text", x: data.places.map(p => p[0]), y: data.places.map(p => p[1]), text: data.names,
      textposition: "top center", marker: { color: FILL, size: 10 } }], { height: 130 + 26 * Math.max(6, n), margin: { l: 50, r: 20, t: 40, b: 40 },
      title: title(`Map of spaces: ${Math.round(100 * data.shown)} % of the squared distances`), yaxis: { scaleanchor: "x" } });
  }

  function flow(parent) {
    const label = [...data.names], source = [], target = [], value = [], color = [], customdata = [];
    const link = (from, to, count, kind, text) => { if (count) { source.push(from); target.push(to); value.push(count); color.push(FLOW[kind]); customdata.push(text); } };
    data.changes.forEach((change, t) => {
      link(t, t + 1, change.stays, "stays", `${change.stays} stay`);
      link(t, t + 1, change.splits.length, "splits", `${change.splits.length} split in two`);
      link(t, t + 1, 2 * change.merges.length, "merges", `${2 * change.merges.length} merge in pairs`);
      link(t, label.push("gone") - 1, change.disappears, "gone", `${change.disappears} disappear`);
      link(label.push("new") - 1, t + 1, change.appears, "gone", `${change.appears} appear`);
    });
    plot(parent, [{ type: "sankey", arrangement: "snap", node: { label, pad: 14, thickness: 12, color: label.map((_, i) => i < n ? "#1c2330" : "#b9bec7") },
      link: { source, target, value, color, customdata, hovertemplate: "%{customdata}<extra></extra>" } }],
      { height: 480, title: title("Features from each space to the next: blue stays, green splits, orange merges"), margin: { l: 20, r: 20, t: 50, b: 20 } });
  }

  function member([space, feature, correlation, fires, tokens, contexts], others) {
    const shown = tokens.map(text => element("span", { className: others.has(text) ? "token shared" : "token" }, visible(text)));
    const lines = contexts.map(text => {
      const [before, token, after] = visible(text).split(/«|»/);
      return element("div", { className: "context" }, before ?? "", element("b", {}, token ?? ""), after ?? "");
    });
    return element("div", {}, element("h4", {}, `${data.names[space]} · ${feature}`),
      element("div", { className: "note" }, `r ${correlation.toFixed(2)}, fires ${fires}`), element("div", {}, ...shown), ...lines);
  }

  function cluster([number, size, strength, stability, low, high, members]) {
    const counts = new globalThis.Map();
    for (const each of members) for (const token of new Set(each[4])) counts.set(token, (counts.get(token) ?? 0) + 1);
    const common = new Set([...counts].filter(([, count]) => count > 1).map(([token]) => token));
    const firm = stability === null ? "" : ` · stability ${stability.toFixed(2)}, in ${low} to ${high} spaces when resampled`;
    return element("div", { className: "cluster" },
      element("p", {}, element("b", {}, `Cluster ${number}: in ${size} of ${n} spaces`), ` · strength ${strength.toFixed(2)}${firm}`),
      element("div", { className: "members" }, ...members.map(each => member(each, common))));
  }

  function clusters(parent) {
    const texts = data.clusters.map(each => each[6].flatMap(m => [...m[4], ...m[5].map(c => c.replace(/[«»]/g, ""))]).join("\n").toLowerCase());
    const words = element("input", { type: "search", placeholder: "a token, a word, a piece of text, or the number of a feature" });
    const size = element("select", {}, element("option", { value: "" }, "any size"),
      ...data.names.map((_, i) => n - i).filter(k => k > 1).map(k => element("option", { value: String(k) }, `in ${k} spaces`)));
    const count = element("span", { className: "note", id: "found" }), list = element("div", { id: "clusters" });
    const more = element("button", { className: "more", type: "button" }, "more");
    let found = [], shown = 0;
    const show = () => { list.append(...found.slice(shown, shown + AT_ONCE).map(cluster)); shown += AT_ONCE; more.hidden = shown >= found.length; };
    const search = () => {
      const wanted = words.value.trim().toLowerCase();
      found = data.clusters.filter((each, i) => (!size.value || String(each[1]) === size.value) &&
        (!wanted || texts[i].includes(wanted) || each[6].some(m => String(m[1]) === wanted)));
      count.textContent = `${found.length} of ${data.n_clusters} clusters`;
      list.replaceChildren();
      shown = 0;
      show();
    };
    words.addEventListener("input", search);
    size.addEventListener("change", search);
    more.addEventListener("click", show);
    parent.append(element("div", { className: "search" }, words, size, count), list, more);
    search();
  }

  study.append(element("p", { className: "protocol" }, `${n} spaces: ${data.names.join(", ")}. ${data.corpus}.`),
    ...data.warnings.map(text => element("p", { className: "warning" }, `! ${text}`)));
  spectrum(study);
  const kinds = Object.keys(data.kinds[0]);
  study.append(element("p", { className: "note" }, "Shared: in a cluster. Related: in none, although something elsewhere correlates. Exclusive: nothing elsewhere does, and a partner would have been found. Undetermined: fires too rarely to tell."),
    table(["space", ...kinds], data.names.map((name, s) => [name, ...kinds.map(kind => data.kinds[s][kind])])));
  if (data.changes.length) flow(study);
  study.append(element("h2", {}, "Spaces among each other"));
  const panels = element("div", { className: "panels" });
  study.append(panels);
  tree(panels);
  map(panels);
  for (const [name, values] of Object.entries(data.matrices)) matrix(panels, name, values);
  for (const each of panels.children) Plotly.Plots.resize(each);  // drawn before they had a width
  study.append(element("h2", {}, "Clusters"));
  clusters(study);
  if (data.n_exclusive) {
    study.append(element("h2", {}, `Exclusive features (${Math.min(data.exclusive.length, 100)} of ${data.n_exclusive})`),
      table(["space", "feature", "fires", "top tokens"], data.exclusive.slice(0, 100).map(([s, f, fires, tokens]) => [data.names[s], f, fires, tokens.map(visible).join(" | ")])));
  }
  document.body.dataset.ready = "true";
})();

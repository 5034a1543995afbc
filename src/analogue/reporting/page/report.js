(async () => {
  const OTHER = "#b8b4d8";
  const visible = text => text.replaceAll("\n", "↵");

  const rounded = (value, digits) => (Number(value.toFixed(digits)) + 0).toFixed(digits);  // no -0.00

  const data = await inflated("data").json();
  const sweep = document.getElementById("sweep"), panelOfJob = document.getElementById("job");

  // Pixels; panels stand two in a row where there is room, beside axis and colour bar.
  const cellWidth = grid => (sweep.clientWidth / (sweep.clientWidth >= 1130 ? 2 : 1) - 130) / grid.columns.length;

  function heatmap(grid, panel) {
    const place = element("div", { className: "panel" });
    const [low, high] = panel.limits;
    const texts = panel.values.map((row, i) => row.map((value, j) =>
      value === null ? "" : rounded(value, panel.digits) + (panel.marked?.[i][j] ? "?" : "")));
    const trace = {
      type: "heatmap", z: panel.values, x: grid.columns.map(String), y: grid.rows.map(String), customdata: grid.jobs,
      text: texts, texttemplate: grid.columns.length * grid.rows.length <= 150 && cellWidth(grid) >= 32 ? "%{text}" : "",
      colorscale: "Viridis", reversescale: panel.descending, zmin: low, zmax: high, xgap: 1, ygap: 1,
      hoverongaps: false, colorbar: { thickness: 12 },
      hovertemplate: `layer_a %{y}, layer_b %{x}<br>${panel.title}: %{z}<extra></extra>`,
    };
    const layout = { ...LAYOUT, height: 120 + 40 * Math.max(4.5, grid.rows.length), margin: { l: 60, r: 10, t: 40, b: 60 },
      title: { text: panel.title, x: 0.02, font: { size: 14 } }, plot_bgcolor: "#d9d9d9",
      xaxis: { title: { text: grid.axes[1], standoff: 10 }, type: "category", showgrid: false },
      yaxis: { title: { text: grid.axes[0] }, type: "category", autorange: "reversed", showgrid: false } };
    Plotly.newPlot(place, [trace], layout, CONFIG).then(() => place.on("plotly_click", event => {
      const number = event.points[0].customdata;
      if (number !== null && number !== undefined) location.hash = hashOf(data.jobs[number]);
    }));
    return place;
  }

  function showGrid(grid) {
    const panels = element("div", { className: "panels" }), line = element("p", { className: "line" });
    const tabs = element("div", { className: "tabs", aria: { role: "group", "aria-label": "What the maps show" } });
    const choose = name => {
      for (const button of tabs.children) button.setAttribute("aria-pressed", button.textContent === name);
      line.textContent = grid.lines[name] ?? "";
      for (const old of panels.children) Plotly.purge(old);
      panels.replaceChildren(...grid.groups[name].map(panel => heatmap(grid, panel)));
      for (const each of panels.children) Plotly.Plots.resize(each);  // drawn before they had a width
    };
    for (const name of Object.keys(grid.groups))
      tabs.append(element("button", { type: "button", onclick: () => choose(name) }, name));
    sweep.append(element("h2", {}, grid.title), element("p", { className: "protocol" }, grid.protocol), tabs, line, panels);
    choose(Object.keys(grid.groups)[0]);
  }

  function nullPlot(entry) {
    const place = element("div"), { counts, start, end } = entry.histogram ?? { counts: [], start: 0, end: 0 };
    const width = (end - start) / (counts.length || 1), spread = 2 * (entry.null_sd ?? 0);
    const around = counts.length ? [start, end] : [entry.null_mean - spread, entry.null_mean + spread];
    const low = Math.min(entry.score, around[0]), high = Math.max(entry.score, around[1]), space = 0.04 * (high - low) || 0.01;
    const leftmost = entry.score < (low + high) / 2;  // the line's name has room on its other side
    const layout = { ...LAYOUT, height: 230, margin: { l: 50, r: 10, t: 34, b: 40 }, showlegend: false, bargap: 0,
      title: { text: `${entry.label}: ${entry.score.toFixed(4)}, ${entry.null_mean === null ? "" : `${rounded(entry.score - entry.null_mean, 4)} above the null, `}${entry.p_value === null ? "no test" : `p = ${entry.p_value.toPrecision(2)}`}`, x: 0.02, font: { size: 13 } },
      xaxis: { title: { text: `${entry.metric} score` }, range: [low - space, high + space] },
      yaxis: { title: { text: `draws of ${entry.n_null}` }, rangemode: "tozero", showticklabels: counts.length > 0 },
      shapes: [{ type: "line", x0: entry.score, x1: entry.score, y0: 0, y1: 1, yref: "paper", line: { color: "#b5261e", width: 3 } }],
      annotations: [{ x: entry.score, y: 1, yref: "paper", text: "paired", showarrow: false,
        xanchor: leftmost ? "left" : "right", xshift: leftmost ? 4 : -4 }] };
    const bars = { type: "bar", x: counts.map((_, i) => start + (i + 0.5) * width), y: counts, width, marker: { color: FILL },
      hovertemplate: "%{x:.4f}: %{y} draws<extra></extra>" };
    // Without the draws, the null's mean and standard deviation have to do.
    const summary = { type: "scatter", mode: "markers", x: [entry.null_mean], y: [0.5], marker: { color: FILL, size: 9 },
      error_x: { type: "constant", value: spread, color: FILL },
      hovertemplate: "null mean %{x:.4f} ± 2 sd<extra></extra>" };
    Plotly.newPlot(place, [counts.length ? bars : summary], layout, CONFIG);
    return place;
  }

  function firingPlot(firing) {
    const place = element("div");
    const names = firing.a.map((_, i) => i === 0 ? "1" : `${2 ** i}–${2 ** (i + 1) - 1}`);
    const bars = (name, y, color) => ({ type: "bar", name, x: names, y, marker: { color } });
    Plotly.newPlot(place, [bars("A", firing.a, FILL), bars("B", firing.b, OTHER)], { ...LAYOUT, height: 260,
      margin: { l: 50, r: 10, t: 34, b: 60 }, title: { text: "Firing counts of paired features", x: 0.02, font: { size: 13 } },
      xaxis: { title: { text: "tokens that the feature fires on" }, type: "category" }, yaxis: { title: { text: "features" } } }, CONFIG);
    return place;
  }

  function funnelPlot(funnel) {
    const place = element("div"), steps = [...funnel].reverse();
    Plotly.newPlot(place, [{ type: "bar", orientation: "h", y: steps.map(s => s[0]), x: steps.map(s => s[1]),
      text: steps.map(s => String(s[1])), marker: { color: FILL } }], { ...LAYOUT, height: 90 + 30 * funnel.length,
      margin: { l: 150, r: 10, t: 34, b: 40 }, title: { text: "Feature pairs after each filter", x: 0.02, font: { size: 13 } },
      xaxis: { title: { text: "pairs" } } }, CONFIG);
    return place;
  }

  function pairsTable(rows) {
    const tokens = (own, other) => own.map(text =>
      element("span", { className: other.includes(text) ? "token shared" : "token" }, visible(text)));
    // The top token of all, where it stands in the text.
    const context = text => {
      const [before, token, after] = visible(text ?? "").split(/«|»/);
      return [element("div", { className: "context" }, before ?? "", element("b", {}, token ?? ""), after ?? "")];
    };
    const tested = rows.some(row => (row[9] ?? null) !== null), digits = value => value === null ? "–" : value.toPrecision(2);
    const cells = rows.map(([a, b, r, nA, nB, topA, topB, inA, inB, p, q]) =>
      [a, b, r.toFixed(3), ...(tested ? [digits(p), digits(q)] : []), nA, nB, [...tokens(topA, topB), ...context(inA)], [...tokens(topB, topA), ...context(inB)]]
        .map(value => Array.isArray(value) ? value : String(value)));
    return element("div", { className: "wide pairs" }, table(
      ["feature A", "feature B", "correlation", ...(tested ? ["p", "q"] : []), "fires A", "fires B", "top tokens A", "top tokens B"],
      cells, tested ? [0, 1, 2, 3, 4, 5, 6] : [0, 1, 2, 3, 4]));
  }

  function evidenceTable(evidence) {
    const about = `${evidence.n_null} draws of permuted sequences${evidence.pooled ? ", pooled" : ""}`;
    return element("div", {}, element("h3", {}, `A partner beyond chance at q ≤ ${evidence.q} (${about})`),
      table(["", "tested", "beyond chance"], [["features of A", evidence.a.n_tested, evidence.a.n_beyond_chance],
        ["features of B", evidence.b.n_tested, evidence.b.n_beyond_chance],
        ["pairs kept", evidence.n_kept, evidence.n_kept_beyond_chance]].map(row => row.map(String)), [1, 2]));
  }

  // Dose curves, and a point per pair: do pairs that fire alike act alike?
  function transferPlots(transfer) {
    const doses = transfer.doses.map(point => point.dose), curves = element("div"), scatter = element("div");
    const line = (name, of, color) => ({ type: "scatter", mode: "lines+markers", name, x: doses, y: transfer.doses.map(of), line: { color } });
    Plotly.newPlot(curves, [line("partner", p => p.partner.correlation, FILL), line("mapped row", p => p.mapped.correlation, "#35b779"),
      line("random direction", p => p.random.correlation, OTHER)], { ...LAYOUT, height: 300, margin: { l: 60, r: 10, t: 34, b: 50 },
      title: { text: "Correlation of effects in A and B, by dose", x: 0.02, font: { size: 13 } }, legend: { orientation: "h", y: 1.08, x: 0.4 },
      xaxis: { title: { text: "multiples of a feature's mean activation" }, rangemode: "tozero" }, yaxis: { title: { text: "correlation of effects" } } }, CONFIG);
    const points = (name, of, color) => ({ type: "scatter", mode: "markers", name, x: transfer.points.map(p => p.correlation), y: transfer.points.map(of),
      text: transfer.points.map(p => `${p.feature_a} and ${p.feature_b}`), marker: { color }, hovertemplate: "%{text}: %{x:.3f}, %{y:.3f}" });
    Plotly.newPlot(scatter, [points("partner", p => p.steering_partner, FILL), points("mapped row", p => p.steering_mapped, "#35b779")],
      { ...LAYOUT, height: 300, margin: { l: 60, r: 10, t: 34, b: 50 }, legend: { orientation: "h", y: 1.08, x: 0.5 },
      title: { text: "Do pairs that fire alike act alike?", x: 0.02, font: { size: 13 } },
      xaxis: { title: { text: "correlation of activations" } }, yaxis: { title: { text: "correlation of effects" } } }, CONFIG);
    return element("div", { className: "columns" }, curves, scatter);
  }

  function transferSection(transfer) {
    const tables = transfer.tables.map(({ title, headings, rows }) => element("div", { className: "wide" }, element("h4", {}, title),
      table(headings, rows, headings.map((_, i) => i).filter(i => headings[i] && !["in B", "beside"].includes(headings[i])))));
    return element("div", { id: "transfer" }, element("h3", {}, "Features used in the other model"), ...tables,
      ...(transfer.points.length ? [transferPlots(transfer)] : []));
  }

  function conceptsTable(concepts) {
    const number = value => value === null ? "–" : value.toFixed(3);
    const rows = concepts.flatMap(([name, nA, nB, nPairs, tests]) => tests.map(([label, score, mean, p], i) =>
      [i ? "" : name, ...(i ? ["", "", ""] : [nA, nB, nPairs].map(String)), label, number(score), number(mean), number(p)]));
    return element("div", { className: "wide" }, table(
      ["concept", "features A", "features B", "pairs", "score and null", "score", "null mean", "p"], rows, [1, 2, 3, 5, 6, 7]));
  }

  function showJob(number) {
    const job = data.jobs[number];
    panelOfJob.hidden = !job;
    if (!job) return;
    const names = ["model", "layer", "SAE", "features", "live features", "L0", "explained variance"];
    const scored = job.similarity.filter(entry => entry.score !== null)
      .sort((one, other) => data.metrics.indexOf(one.label) - data.metrics.indexOf(other.label));
    const reasons = job.similarity.filter(entry => entry.score === null).map(entry => `${entry.metric}: no score, ${entry.reason}`);
    panelOfJob.replaceChildren(
      element("h2", { tabIndex: -1 }, `Job ${job.name}: ${job.title}`),
      element("p", { className: "protocol" }, `${job.setting ? `${job.setting} · ` : ""}${job.protocol}`),
      element("p", {}, ...(job.explorer ? [element("a", { href: job.explorer, className: "explorer" }, "look at its features"), " · "] : []),
        element("a", { href: "#" }, "back to the sweep")),
      ...[...reasons, ...job.warnings].map(text => element("p", { className: "warning" }, `! ${text}`)),
      element("div", { className: "columns" },
        element("div", {}, table(["", "A", "B"], names.map((name, i) => [name, job.sides[0][i], job.sides[1][i]]))),
        funnelPlot(job.funnel)),
      ...(job.evidence ? [evidenceTable(job.evidence)] : []),
      element("h3", {}, "Scores against their null"),
      element("div", { className: "columns" }, ...scored.map(nullPlot)),
      ...(job.transfer ? [transferSection(job.transfer)] : []),
      ...(job.concepts.length ? [element("h3", {}, "Semantic subspaces"), conceptsTable(job.concepts)] : []),
      ...(job.published.length ? [element("h3", {}, "Published"), table(["space", "quantity", "value", "where"],
        job.published.map(row => row.map(String)), [2])] : []),
      element("h3", {}, "Pairs with the highest activation correlation"), pairsTable(job.best),
      element("h3", {}, "Pairs with the lowest, of those kept"), pairsTable(job.worst),
      firingPlot(job.firing));
    panelOfJob.append(element("p", {}, element("a", { href: "#" }, "back to the sweep")));
    panelOfJob.scrollIntoView({ behavior: "instant", block: "start" });
    panelOfJob.querySelector("h2").focus({ preventScroll: true });
    window.dispatchEvent(new Event("resize"));  // plots were drawn before they had a width
  }

  if (data.controls) {
    const { title, headings, rows, jobs } = data.controls, numeric = headings.map((_, column) => column).slice(1);
    const linked = rows.map(([name, ...cells], i) => [element("a", { href: hashOf(data.jobs[jobs[i]]) }, name), ...cells]);
    sweep.append(element("h2", {}, "Controls"), element("p", { className: "protocol" }, title), table(headings, linked, numeric));
  }
  if (data.failures.length) sweep.append(element("h2", {}, `${data.failures.length} failed job${data.failures.length > 1 ? "s" : ""}`),
    element("ul", { className: "failures" }, ...data.failures.map(([name, error]) => element("li", {}, `${name}: ${error}`))));
  const toTable = element("button", { type: "button", className: "plain", onclick: () => document.getElementById("jobs").scrollIntoView() }, "All jobs in one table");
  sweep.append(element("p", { className: "note" },
    `${data.jobs.length} comparison${data.jobs.length === 1 ? "" : "s"}. Hover over a cell for its value, click it for its job; ? marks p ≥ 0.05, grey cells have no number. `,
    ...(data.grids.length ? [toTable] : [])));
  data.grids.forEach(showGrid);
  if (data.jobs.length) sweep.append(jobsTable(data));
  const followHash = () => {
    showJob(data.jobs.findIndex(job => hashOf(job) === location.hash));
    if (panelOfJob.hidden) window.scrollTo(0, 0);
  };
  window.addEventListener("hashchange", followHash);
  followHash();
  document.body.dataset.ready = "true";
})();

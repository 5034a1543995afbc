// All jobs of a sweep in one table, whatever their settings; a click on a heading sorts it.

const hashOf = job => `#job-${encodeURIComponent(job.name)}`;

function table(headings, rows, numeric = []) {
  const cell = (tag, value, column) =>
    element(tag, { className: numeric.includes(column) ? "number" : "" }, ...(Array.isArray(value) ? value : [value ?? "–"]));
  return element("table", {},
    element("thead", {}, element("tr", {}, ...headings.map((text, i) => cell("th", text, i)))),
    element("tbody", {}, ...rows.map(row => element("tr", {}, ...row.map((value, i) => cell("td", value, i))))));
}

function jobsTable(data) {
  const columns = jobColumns(data), places = new Map(data.jobs.map((job, i) => [job, i]));
  const made = element("table", { className: "jobs" }), head = element("tr"), body = element("tbody");
  made.append(element("thead", {}, head), body);
  const rows = new Map(data.jobs.map(job => [job, element("tr", {}, ...columns.map(({ show, kind }) =>
    element("td", { className: kind ?? "" }, show(job))))]));
  let sorted = null, falling = false;
  const order = column => {
    falling = column === sorted ? !falling : Boolean(column.falls);
    sorted = column;
    const absent = value => value === null || value === undefined;
    const jobs = [...data.jobs].sort((one, other) => {
      const a = column.value(one), b = column.value(other);
      if (absent(a) || absent(b)) return absent(a) - absent(b) || places.get(one) - places.get(other);
      return (falling ? -1 : 1) * (a < b ? -1 : a > b ? 1 : 0) || places.get(one) - places.get(other);
    });
    body.replaceChildren(...jobs.map(job => rows.get(job)));
    for (const [i, th] of [...head.children].entries()) {
      th.setAttribute("aria-sort", columns[i] !== sorted ? "none" : falling ? "descending" : "ascending");
      th.firstChild.lastChild.textContent = columns[i] !== sorted ? "" : falling ? " ↓" : " ↑";
    }
  };
  head.append(...columns.map(column => element("th", { className: column.kind ?? "", scope: "col" },
    element("button", { type: "button", onclick: () => order(column) }, column.head, element("span", {})))));
  order(columns[0]);
  return element("section", { id: "jobs" }, element("h2", {}, "All jobs"),
    element("p", { className: "protocol" }, "A score is shown as its distance from the mean of its null, z as that distance in standard deviations of the null. Click a heading to sort."),
    element("div", { className: "wide", tabIndex: 0, aria: { role: "region", "aria-label": "Table of all jobs" } }, made));
}

function jobColumns(data) {
  const differ = of => new Set(data.jobs.map(of)).size > 1;
  const places = new Map(data.jobs.map((job, i) => [job, i]));
  const text = (head, value) => ({ head, value, kind: "text", show: job => value(job) });
  const number = (head, value, digits, falls = true) => ({ head, value, kind: "number", falls,
    show: job => value(job) === null || value(job) === undefined ? "–" : Number(value(job).toFixed(digits)) === 0 ? (0).toFixed(digits) : value(job).toFixed(digits) });
  const models = job => job.title.split(", layers ")[0];
  const score = (label, read) => job => {
    const entry = job.similarity.find(each => each.label === label);
    return !entry || entry.score === null || entry.null_mean === null ? null : read(entry);
  };
  const columns = [
    { head: "job", value: job => places.get(job), show: job => element("a", { href: hashOf(job) }, job.name) },
    ...(data.jobs.some(job => job.explorer) ? [{ head: "features", value: job => (job.explorer ? 0 : 1),
      show: job => job.explorer ? element("a", { href: job.explorer }, "explorer") : "" }] : []),
    ...(differ(models) ? [text("models", models)] : []),
    ...(differ(job => job.setting) ? [text("setting", job => job.setting)] : []),
    number("layer A", job => job.layers[0], 0, false), number("layer B", job => job.layers[1], 0, false),
    number("pairs", job => job.funnel.at(-1)[1], 0), number("mean r", job => job.correlation, 2),
    ...(data.jobs.some(job => job.evidence) ? [number("q ≤ 0.05", job => job.evidence?.n_kept_beyond_chance, 0)] : []),
  ];
  for (const label of data.metrics)
    columns.push(number(`${label} above null`, score(label, entry => entry.score - entry.null_mean), 3), number("z", score(label, entry => entry.z), 1),
      number("p", score(label, entry => entry.p_value), 4, false));
  return columns;
}

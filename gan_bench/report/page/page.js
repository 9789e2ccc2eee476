"use strict";
const read = id => JSON.parse(document.getElementById(id).textContent);
const data = read("data"), frames = read("frames"), curves = read("curves");
const make = (tag, text) => { const e = document.createElement(tag); if (text !== undefined) e.textContent = text; return e; };
const number = v => v === null || v === undefined ? "" : Math.abs(v) >= 1e6 || (v && Math.abs(v) < 1e-4) ? v.toExponential(2) : String(Number(v.toPrecision(4)));

// samples by epoch
for (const slider of document.querySelectorAll("[data-samples]")) {
  slider.addEventListener("input", () => {
    const epochs = new Set();
    for (const image of document.querySelector(`[data-of="${slider.dataset.samples}"]`).querySelectorAll("img")) {
      const strip = frames[image.dataset.strip];
      const [epoch, uri] = strip[Math.round((strip.length - 1) * slider.value / 100)];
      image.src = uri;
      image.alt = image.alt.replace(/epoch \d+$/, `epoch ${epoch}`);
      image.closest("figure").querySelector("[data-epoch]").textContent = `epoch ${epoch}`;
      epochs.add(epoch);
    }
    const all = [...epochs].sort((a, b) => a - b);
    document.querySelector(`[data-epochs="${slider.dataset.samples}"]`).textContent = `epoch ${all.join(", ")}`;
  });
}

// curves
const colour = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
function axis(label, extra) {
  const ink = colour("--ink"), line = colour("--line");
  return Object.assign({label, stroke: ink, grid: {stroke: line, width: 1}, ticks: {stroke: line, width: 1}, labelSize: 22, size: 56}, extra);
}
function chart(target, settings, series, options) {
  // series: [setting, xs, means, lows, highs]; one x axis for all of them
  const xs = [...new Set(series.flatMap(s => s[1]))].sort((a, b) => a - b), at = new Map(xs.map((x, i) => [x, i]));
  const columns = [xs], drawn = [{}], bands = [];
  const column = (places, values) => { const c = new Array(xs.length).fill(null); places.forEach((x, i) => { c[at.get(x)] = values[i]; }); return c; };
  for (const [setting, places, means, lows, highs] of series) {
    const s = settings[setting], spread = highs && highs.some((h, i) => h !== lows[i]);
    drawn.push({label: s.label, stroke: s.colour, width: 2, dash: s.dash, spanGaps: true, points: {show: places.length < 13, size: 6, fill: s.colour}, setting});
    columns.push(column(places, means));
    if (spread) {
      for (const values of [highs, lows]) { drawn.push({stroke: "transparent", width: 0, spanGaps: true, points: {show: false}, band: true}); columns.push(column(places, values)); }
      bands.push({series: [drawn.length - 2, drawn.length - 1], fill: s.colour + "26"});
    }
  }
  const y = options.log ? {distr: 3} : {};
  const plain = (u, ticks) => ticks.map(v => v === null ? "" : options.log && !/^[125]/.test(v.toExponential()) ? "" : number(v));
  return new uPlot({
    width: Math.max(260, target.clientWidth), height: options.height || 330, bands, legend: {show: false}, series: drawn,
    scales: {x: {time: false}, y}, cursor: {y: false, focus: {prox: 30}},
    axes: [axis(options.x, {size: 40}), axis(options.y, {size: 62, values: plain, filter: options.log ? (u, s) => s : undefined})],
    hooks: options.hooks || {},
  }, columns, target);
}
function explorer(place) {
  const study = curves[place.dataset.explorer];
  if (!study || !study.measures.length) { place.remove(); return; }
  const controls = make("div"), holder = make("div"), list = make("fieldset"), where = make("output");
  controls.className = "controls"; holder.className = "chart"; holder.setAttribute("role", "img");
  const select = (title, options) => {
    const label = make("label", `${title} `), s = make("select");
    for (const [value, text] of options) { const o = make("option", text); o.value = value; s.append(o); }
    label.append(s); controls.append(label); return s;
  };
  const measure = select("Measure", study.measures.map(m => [m.key, m.title])), x = select("over", [["1", "epochs"], ["2", "seconds of training"]]);
  const logLabel = make("label"), log = make("input");
  log.type = "checkbox"; logLabel.append(log, " logarithmic axis"); controls.append(logLabel);
  for (const [text, wanted] of [["All settings", () => true], ["Best six", i => i < 6], ["None", () => false]]) {
    const b = make("button", text); b.type = "button"; b.className = "plain";
    b.addEventListener("click", () => { boxes.forEach((box, i) => { box.checked = wanted(i); }); draw(); });
    controls.append(b);
  }
  controls.append(where);
  list.append(make("legend", "Settings, the best first; values under the pointer"));
  const outputs = [], boxes = study.settings.map((s, i) => {
    const label = make("label"), box = make("input"), swatch = make("span"), out = make("output");
    box.type = "checkbox"; box.checked = i < 6; swatch.className = "swatch"; swatch.style.borderColor = s.colour;
    if (s.dash.length) swatch.style.borderTopStyle = s.dash[0] < 4 ? "dotted" : "dashed";
    box.addEventListener("change", draw);
    const name = make("bdi", s.label);
    label.append(box, swatch, name, out); list.append(label); outputs.push(out);
    return box;
  });
  let shown;
  function draw() {
    const m = study.measures.find(each => each.key === measure.value), by = Number(x.value);
    const series = study.curves[m.key].filter(c => boxes[c[0]].checked && c[by].every(v => v !== null)).map(c => [c[0], c[by], c[3], c[4], c[5]]);
    const positive = series.every(c => c[3].every(v => v === null || v > 0));
    shown?.destroy();
    outputs.forEach(o => { o.textContent = ""; });
    holder.setAttribute("aria-label", `${m.title} over ${x.selectedOptions[0].text} of ${series.map(c => study.settings[c[0]].label).join("; ")}; means over seeds, bands their range. The tables hold the values.`);
    shown = series.length ? chart(holder, study.settings, series, {log: log.checked && positive, x: x.selectedOptions[0].text, y: m.title, hooks: {setCursor: [u => {
      const i = u.cursor.idx;
      where.textContent = i === null || i === undefined ? "" : `${x.selectedOptions[0].text}: ${number(u.data[0][i])}`;
      u.series.forEach((s, j) => {
        if (s.setting === undefined) return;
        if (i === null || i === undefined) { outputs[s.setting].textContent = ""; return; }
        const values = u.data[j], there = v => v !== null, value = values.slice(0, i + 1).findLast(there);
        const ended = !values.slice(i).some(there);  // between two looks the last one counts, beyond the end none
        outputs[s.setting].textContent = value === undefined || ended ? "\u2013" : number(value);
      });
    }]}}) : undefined;
  }
  measure.addEventListener("change", () => { log.checked = study.measures.find(m => m.key === measure.value).log; draw(); });
  x.addEventListener("change", draw); log.addEventListener("change", draw);
  place.append(controls, holder, list);
  log.checked = study.measures[0].log;
  new ResizeObserver(() => { if (shown && holder.clientWidth > 100 && Math.abs(shown.width - holder.clientWidth) > 8) draw(); }).observe(holder);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  draw();
}
document.querySelectorAll("[data-explorer]").forEach(explorer);

// a plot in large
const large = document.getElementById("large");
for (const button of document.querySelectorAll("[data-enlarge]")) {
  button.addEventListener("click", () => {
    const figure = button.closest("figure");
    document.getElementById("large-name").textContent = figure.querySelector("h4").textContent;
    document.getElementById("large-body").replaceChildren(figure.querySelector("svg").cloneNode(true));
    large.showModal();
  });
}

// details of a trial
function listing(title, rows, heads) {
  const section = make("section"), table = make("table"), body = table.createTBody();
  section.append(make("h3", title), table);
  if (heads) { const row = table.createTHead().insertRow(); for (const text of heads) { const h = make("th", text); h.scope = "col"; row.append(h); } }
  for (const [name, ...values] of rows) {
    const row = body.insertRow(), head = make("th", name);
    head.scope = "row"; row.append(head);
    for (const value of values) row.append(make("td", value === null || value === undefined ? "" : typeof value === "number" ? number(value) : Array.isArray(value) ? value.join(", ") : typeof value === "object" ? Object.entries(value).map(([k, v]) => `${k} ${v}`).join(", ") : String(value)));
  }
  return section;
}
function grids(trial) {
  const section = make("section"), holder = make("div"), own = frames[trial.strip];
  holder.className = "grids";
  section.append(make("h3", "Samples of the same noise"), holder);
  const files = trial.place ? data.shared[trial.epochs].map(e => [e, `${trial.place}/samples/epoch-${String(e).padStart(4, "0")}.png`]) : [];
  for (const [epoch, source] of own || files) {
    const figure = make("figure"), image = make("img");
    image.alt = `Images after epoch ${epoch}`; image.src = source;
    image.addEventListener("error", () => figure.remove());  // the page was moved away from its results
    figure.append(image, make("figcaption", `epoch ${epoch}`)); holder.append(figure);
  }
  return (own || files).length ? section : null;
}
function drawTrial(trial, body) {
  for (const [title, names] of [["Losses", ["loss D", "loss G"]], ["Outputs of D", ["D(real)", "D(fake)"]]]) {
    const series = names.map((name, i) => [i, trial.curve.epoch, trial.curve[name]]).filter(s => s[2]);
    if (!trial.curve.epoch.length) continue;
    const holder = make("div");
    holder.setAttribute("role", "img"); holder.setAttribute("aria-label", `${title} of the trial over epochs`);
    body.append(make("h3", title + ": " + names.join(" (solid), ") + " (dashed)"), holder);
    chart(holder, names.map((label, i) => ({label, colour: ["#0072B2", "#D55E00"][i], dash: i ? [8, 4] : []})), series, {x: "epoch", y: "", height: 200});
  }
}
const dialog = document.getElementById("detail");
function open() {
  const trial = data.trials[decodeURIComponent(location.hash).replace(/^#trial-/, "")];
  if (!location.hash.startsWith("#trial-") || !trial) return;
  const body = document.getElementById("detail-body"), pairs = value => Object.entries(value || {});
  document.getElementById("detail-name").textContent = trial.name;
  const environment = Object.assign({started: trial.started}, data.shared[trial.environment]);
  body.replaceChildren(make("p", `${trial.status}. Record: ${trial.folder}`));
  if (!dialog.open) dialog.showModal();
  body.append(...[
    trial.scores.length ? listing("Final scores", trial.scores.map((s, i) => [...data.shared[trial.scored][i], ...s]), ["score", "protocol", "value", "sd of repeated scoring", "note"]) : null,
    grids(trial)].filter(Boolean));
  drawTrial(trial, body);
  body.append(listing("End", pairs(trial.record)),
    listing("Config, with where each value comes from", pairs(Object.assign({seed: trial.seed}, data.shared[trial.config])).map(([k, v]) => [k, v, data.shared[trial.provenance][k]])),
    listing("Environment", pairs(environment)));
}
addEventListener("hashchange", open);
dialog.addEventListener("close", () => history.replaceState(null, "", location.pathname + location.search));
for (const link of document.querySelectorAll('a[href^="#trial-"]')) link.addEventListener("click", () => setTimeout(open));
addEventListener("hashchange", () => { const part = document.getElementById(decodeURIComponent(location.hash.slice(1))); if (part?.tagName === "DETAILS") part.open = true; });
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach(d => { d.open = true; }));
open();

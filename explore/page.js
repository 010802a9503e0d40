/* explore/page.js -- draws the charts of a page, each with its table, from the JSON in the page.
 * It loads nothing. Data reaches the page as text and as attributes only, never as markup. */
"use strict";
{
const data = JSON.parse(document.getElementById("data").textContent);
const SVG = "http://www.w3.org/2000/svg", WIDTH = 360, SERIES = 8;

/* ---- elements ---- */

function add(parent, name, attributes = {}, text = null) {
  const drawn = name === "svg" || parent.namespaceURI === SVG;
  const element = drawn ? document.createElementNS(SVG, name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes))
    element.setAttribute(key, typeof value === "number" ? +value.toFixed(2) : value);
  if (text !== null)
    element.textContent = text;
  parent.append(element);
  return element;
}

function section(title, paragraph) {
  const element = add(document.getElementById("charts"), "section");
  add(element, "h2", {}, title);
  if (paragraph)
    add(element, "p", {}, paragraph);
  return element;
}

/* Figures stand side by side, as many as there is room for. */
const figuresIn = element => add(element, "div", {class: "figures"});

function figure(figures, caption) {
  const element = add(figures, "figure");
  add(element, "figcaption", {}, caption);
  return element;
}

/* Rows are arrays of texts, the first of which names the row; `miss` marks a row. */
function table(parent, summary, caption, heads, rows, open = false) {
  const details = add(parent, "details", open ? {open: ""} : {});
  add(details, "summary", {}, summary);
  const region = {class: "scroll", role: "region", tabindex: "0", "aria-label": caption};
  const element = add(add(details, "div", region), "table");
  add(element, "caption", {}, caption);
  const top = add(add(element, "thead"), "tr"), body = add(element, "tbody");
  for (const head of heads)
    add(top, "th", {scope: "col"}, head);
  for (const row of rows) {
    const line = add(body, "tr", row.miss ? {class: "miss"} : {});
    row.forEach((cell, i) => i === 0 ? add(line, "th", {scope: "row"}, cell)
                                     : add(line, "td", cell.length > 40 ? {class: "text"} : {}, cell));
  }
}

/* ---- numbers ---- */

const digits = (x, n) => String(Number(x.toPrecision(n)));
const percent = x => `${(100 * x).toFixed(1)} %`;
const most = list => Math.max(0, ...list.filter(Number.isFinite));
const least = list => Math.min(Infinity, ...list.filter(Number.isFinite));
const ascending = list => [...new Set(list)].sort((a, b) => a - b);

/* 4739, 12.3k, 1.05M */
function short(x) {
  const units = [[1e9, 1e9, "G"], [1e6, 1e6, "M"], [1e4, 1e3, "k"]];
  const [, unit, letter] = units.find(([from]) => Math.abs(x) >= from) ?? [0, 1, ""];
  const n = x / unit;
  return (Math.abs(n) >= 1000 || Number.isInteger(n) ? n.toFixed(0) : digits(n, 3)) + letter;
}

/* Sizes are multiples of 1024 more often than of 1000. */
const size = x => x === 0 || x % 1024 ? short(x) : x % 2 ** 20 ? `${x / 1024}K` : `${x / 2 ** 20}M`;

/* What a state size is called; a model may have no SSD. */
const stateName = n => n > 0 ? `N=${n}` : "no SSD";

/* ---- axes: {label, low, high, ticks, text of a tick, share of a value} ---- */

function linear(label, high) {
  const top = high > 0 ? high : 1, rough = top / 5, power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5].find(n => rough / power <= n) ?? 10);
  const count = Math.ceil(top / step), end = count * step;
  const ticks = Array.from({length: count + 1}, (_, i) => i * step);
  return {label, low: 0, high: end, ticks, text: short, share: x => Math.min(Math.max(x / end, 0), 1)};
}

const logShare = (low, high) => x =>
  Math.log(Math.min(Math.max(x, low), high) / low) / Math.log(high / low);

/* 1, 2 and 5 of each power of ten; the powers alone where that is many, all digits where few. */
function log(label, from, to) {
  const low = Math.min(Math.max(from, 1e-12), 1e18), high = Math.max(Math.min(to, 1e18), 2 * low);
  const ticksOf = multiples => {
    const ticks = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++)
      ticks.push(...multiples.map(n => n * 10 ** power));
    return ticks.filter(x => x >= low && x <= high);
  };
  let ticks = ticksOf([1, 2, 5]);
  if (ticks.length > 10)
    ticks = ticksOf([1]);
  else if (ticks.length < 3)
    ticks = ticksOf([1, 2, 3, 4, 5, 6, 7, 8, 9]);
  return {label, low, high, ticks, text: short, share: logShare(low, high)};
}

function values(label, ticks) {
  const low = Math.max(ticks[0], 1) / 1.15, high = Math.max(ticks.at(-1), 1) * 1.15;
  return {label, low, high, ticks, text: size, share: logShare(low, high)};
}

/* ---- charts ---- */

let pictures = 0;

/* Screen readers say the title and the description; the numbers are in the figure's table. */
function picture(parent, title, desc, height) {
  const id = `f${++pictures}`;
  const svg = add(parent, "svg", {viewBox: `0 0 ${WIDTH} ${height}`, role: "img",
                                  "aria-labelledby": `${id}-t ${id}-d`});
  add(svg, "title", {id: `${id}-t`}, title);
  add(svg, "desc", {id: `${id}-d`}, desc);
  return svg;
}

const label = (svg, x, y, anchor, text, kind = "") =>
  add(svg, "text", {class: kind, x, y, "text-anchor": anchor}, text);
const line = (svg, kind, x1, y1, x2, y2) => add(svg, "line", {class: kind, x1, y1, x2, y2});

/* An empty plot: its picture, and where a value is in it. */
function chart(parent, title, desc, x, y, height = 250) {
  const left = 46, top = 22, right = WIDTH - 18, bottom = height - 36, room = 26;
  const svg = picture(parent, title, desc, height);
  const c = {svg, xAxis: x, yAxis: y, x: v => left + (right - left) * x.share(v),
             y: v => bottom - (bottom - top) * y.share(v)};
  let before = -Infinity;
  for (const tick of x.ticks) {
    const at = c.x(tick);
    line(svg, "grid", at, top, at, bottom);
    if (at - before >= room) {
      label(svg, at, bottom + 14, "middle", x.text(tick));
      before = at;
    }
  }
  for (const tick of y.ticks) {
    line(svg, "grid", left, c.y(tick), right, c.y(tick));
    label(svg, left - 5, c.y(tick) + 4, "end", y.text(tick));
  }
  label(svg, (left + right) / 2, height - 5, "middle", x.label, "axis");
  label(svg, 4, 12, "start", y.label, "axis");
  return c;
}

const rule = (c, x0, y0, x1, y1) => line(c.svg, "rule", c.x(x0), c.y(y0), c.x(x1), c.y(y1));

/* Shapes differ where colours look alike: disc, square, triangle, diamond. */
function mark(svg, series, shape, x, y, title) {
  const kind = `mark c${series % SERIES}`;
  const at = (dx, dy) => `M${(x + dx).toFixed(1)} ${(y + dy).toFixed(1)}`;
  const element = [
    () => add(svg, "circle", {class: kind, cx: x, cy: y, r: 3.6}),
    () => add(svg, "rect", {class: kind, x: x - 3.3, y: y - 3.3, width: 6.6, height: 6.6}),
    () => add(svg, "path", {class: kind, d: `${at(0, -4.6)}l4.2 7.4h-8.4z`}),
    () => add(svg, "path", {class: kind, d: `${at(0, -4.6)}l4.6 4.6l-4.6 4.6l-4.6 -4.6z`}),
  ][shape % 4]();
  if (title)
    add(element, "title", {}, title);
}

function legend(parent, entries) {
  const element = add(parent, "p", {class: "legend"});
  for (const {name, series, shape, dash} of entries) {
    const key = add(element, "span", {class: "key"});
    const svg = add(key, "svg", {viewBox: "0 0 24 12", "aria-hidden": "true"});
    if (dash)
      add(svg, "polyline", {class: `line c${series % SERIES}`, points: "0,6 24,6"});
    mark(svg, series, shape, 12, 6);
    key.append(` ${name}`);
  }
}

/* Curves {name, points: [{x, y, title}]}; those without points are left out. */
function curves(figures, f, x, y, all) {
  const shown = all.map((c, series) => ({...c, series})).filter(c => c.points.length);
  const element = figure(figures, f.caption), c = chart(element, f.title, f.desc, x, y);
  for (const curve of shown) {
    const points = curve.points.map(p => `${c.x(p.x).toFixed(1)},${c.y(p.y).toFixed(1)}`).join(" ");
    add(c.svg, "polyline", {class: `line c${curve.series % SERIES}`, points});
    for (const p of curve.points)
      mark(c.svg, curve.series, curve.series, c.x(p.x), c.y(p.y), p.title);
  }
  legend(element, shown.map(({name, series}) => ({name, series, shape: series, dash: true})));
  const xs = ascending(shown.flatMap(curve => curve.points.map(p => p.x)));
  table(element, "Table", f.table, [f.key, ...shown.map(curve => curve.name)], xs.map(at =>
    [String(at), ...shown.map(({points}) => {
      const point = points.find(p => p.x === at);
      return point ? digits(point.y, 5) : "";
    })]));
}

const heights = all => all.flatMap(curve => curve.points.map(p => p.y));

/* ---- results of ssmc bench --figure ---- */

function drawTimes() {
  const figures = figuresIn(document.getElementById("charts"));
  const forms = [...new Set(data.points.map(p => p.label))];
  /* What has no state size is the same at every one. */
  const atAll = data.points.flatMap(p => p.state === null ? data.states.map(state => ({...p, state, any: true})) : [p]);
  const draw = (caption, key, x, is) => {
    const all = forms.map(name => ({name, points: atAll
      .filter(p => p.label === name && is(p) && p.milliseconds > 0)
      .map(p => ({x: p[key], y: p.milliseconds,
                  title: `${name}, ${p.any ? "" : `N = ${p.state}, `}${p.tokens} tokens: ${digits(p.milliseconds, 4)} ms`}))}));
    const ys = heights(all);
    if (ys.length)
      curves(figures, {caption, title: `Time of each form: ${caption}`, table: "milliseconds",
                       desc: "Milliseconds that the kernel of each form takes; both axes are logarithmic.",
                       key: key === "state" ? "N" : key},
             x, log("milliseconds", least(ys) / 1.5, most(ys) * 1.5), all);
  };
  draw(`By state size, ${data.compared} tokens`, "state", values("state size N", data.states),
       p => p.tokens === data.compared);
  for (const state of data.states)
    draw(`By length, N = ${state}`, "tokens", values("tokens", data.tokens), p => p.state === state);
}

/* ---- results of ssmc explore ---- */

const isOk = r => r && r.status === "ok";
const named = r => r.chunk > 0 ? `Q=${r.chunk}` : r.form;
const rowsOf = indices => indices.map(i => i === null ? null : data.rows[i]);
const mainGrids = () => data.grids.filter(p => p.main);

/* The fastest prefill of a state in one form. */
const bestIn = (grid, s, form) => grid.cells.map(cells => rowsOf(cells)[s])
  .filter(r => isOk(r) && r.form === form)
  .reduce((best, r) => best && best.prefill_tps >= r.prefill_tps ? best : r, null);

function drawHeat() {
  const figures = figuresIn(section("Speed by chunk length and state size",
    "Tokens of the prompt a second. Stronger colour is faster; a frame marks the form and chunk length that the " +
    "compiler takes by itself, bold underlined numbers the fastest of each state size N."));
  const left = 64, top = 22, height = 27;
  for (const grid of data.grids) {
    const lines = grid.cells.map(rowsOf), best = rowsOf(grid.best), width = (WIDTH - left - 2) / grid.states.length;
    const rates = lines.flat().filter(isOk).map(r => r.prefill_tps), low = least(rates), high = most(rates);
    const element = figure(figures, grid.title);
    const svg = picture(element, `Tokens a second: ${grid.title}`, grid.fastest, top + height * lines.length + 4);
    const box = (kind, x, y, inset, more = {}) =>
      add(svg, "rect", {class: kind, x: x + inset, y: y + inset, width: width - 2 * inset, height: height - 2 * inset, rx: 2, ...more});
    grid.states.forEach((n, s) => label(svg, left + width * (s + 0.5), 15, "middle", s ? String(n) : stateName(n)));
    lines.forEach((cells, l) => {
      const y = top + height * l;
      label(svg, left - 6, y + height / 2 + 4, "end", named(grid.lines[l]));
      cells.forEach((r, s) => {
        const x = left + width * s;
        if (r && !isOk(r))
          add(box("void", x, y, 1.5), "title", {}, r.status);
        if (!isOk(r))
          return;
        const strength = 0.08 + 0.92 * (high > low ? (r.prefill_tps - low) / (high - low) : 1);
        add(box("cell", x, y, 0.5, {"fill-opacity": strength}), "title", {},
            `${stateName(r.state)}, ${named(r)}: ${r.prefill_tps.toFixed(0)} tokens/s, spread ${percent(r.prefill_spread)}`);
        if (r.chosen === 1)
          box("chosen", x, y, 2.4);
        if (width >= 26)
          label(svg, x + width / 2, y + height / 2 + 4, "middle", short(Math.round(r.prefill_tps)),
                (strength > 0.75 ? "over" : "") + (r === best[s] ? " best" : ""));
      });
    });
    table(element, "Table", "tokens a second, and the spread of its time", ["form", ...grid.states.map(n => stateName(n))],
          lines.map((cells, l) => [named(grid.lines[l]), ...cells.map(r => !r ? "" : !isOk(r) ? r.status
            : `${r.prefill_tps.toFixed(0)} \u00b1 ${percent(r.prefill_spread / 2)}${r.chosen === 1 ? " (chosen)" : ""}`)]));
  }
}

const rateTitle = (r, rate) => `${stateName(r.state)}, ${named(r)}, ${r.tokens} tokens: ${digits(rate, 5)} tokens/s`;
const ratePoint = (r, x, rate) => ({x: r[x], y: r[rate], title: rateTitle(r, r[rate])});

function drawStates() {
  const sized = grid => grid.states[0] > 0;
  const several = data.grids.filter(p => p.states.length > 1);
  if (!several.length)
    return;
  const figures = figuresIn(section("Bigger states",
    "The Mamba-2 paper's chunked form makes a bigger state cheap where matrix products are; the recurrent form pays " +
    "for every element of it. Decoding takes the recurrent form whatever the prompt took."));
  const names = {chunked: "chunked, best Q", recurrent: "recurrent", quadratic: "quadratic"};
  for (const grid of several) {
    const all = Object.entries(names).map(([form, name]) => ({name, points: grid.states
      .map((_, s) => bestIn(grid, s, form)).filter(r => r).map(r => ratePoint(r, "state", "prefill_tps"))}));
    curves(figures, {caption: grid.title, title: `Speed against state size: ${grid.title}`, desc: grid.fall,
                  table: "tokens of the prompt a second", key: "N"},
           values("state size N", grid.states), linear("prompt tokens/s", most(heights(all))), all);
  }
  const main = mainGrids().filter(sized);
  const all = main.slice(0, SERIES).map(grid => ({name: grid.sizes, points:
    rowsOf(grid.best).filter(r => r).map(r => ratePoint(r, "state", "decode_tps"))}));
  if (most(heights(all)) > 0)
    curves(figures, {caption: "Decoding, one sequence", title: "Speed of decoding against state size",
                  desc: "Decoding takes the recurrent form whatever the prompt took.",
                  table: "tokens decoded a second", key: "N"},
           values("state size N", ascending(main.flatMap(grid => grid.states))), linear("tokens decoded/s", most(heights(all))), all);
}

/* Lines of state sizes against the number of layers of attention; a model of attention alone ends all. */
function drawAttention() {
  const counts = ascending(data.rows.filter(isOk).map(r => r.attention));
  if (counts.length < 2)
    return;
  const figures = figuresIn(section("Layers of attention",
    "So many layers have attention in the place of an SSD, evenly spread; the fastest form and chunk length of each state size. " +
    data.attention.join(" ")));
  for (const grid of mainGrids().filter((p, i, all) => all.findIndex(q => q.dtype === p.dtype) === i)) {
    const rows = data.rows.filter(r => isOk(r) && r.dtype === grid.dtype && r.threads === grid.threads && r.tokens === grid.tokens);
    const sizes = ascending(rows.map(r => r.state).filter(n => n > 0)).slice(0, SERIES);
    if (!sizes.length)
      sizes.push(0);
    for (const [rate, name] of [["prefill_tps", "prompt tokens/s"], ["decode_tps", "tokens decoded/s"]]) {
      const best = (n, count) => rows.filter(r => r.attention === count && (r.state === n || !(r.state > 0)))
        .reduce((a, r) => a && a[rate] >= r[rate] ? a : r, null);
      const all = sizes.map(n => ({name: stateName(n), points: counts.map(count => best(n, count)).filter(r => r)
        .map(r => ({x: r.attention, y: r[rate], title: `${r.attention} of attention, ${rateTitle(r, r[rate])}`}))}));
      const caption = `${grid.dtype}, ${grid.threads} threads, ${rate === "decode_tps" ? "decoding" : `prompts of ${grid.tokens} tokens`}`;
      curves(figures, {caption, title: `Speed against layers of attention: ${caption}`, table: name, key: "layers of attention",
                       desc: "Each layer of attention takes the place of an SSD."},
             linear("layers of attention", most(counts)), linear(name, most(heights(all))), all);
    }
  }
}

/* Grids that differ in the length of prompts alone share their `sizes`. */
function drawLengths() {
  if (new Set(data.grids.map(p => p.tokens)).size < 2)
    return;
  const figures = figuresIn(section("Longer prompts"));
  for (const sizes of new Set(data.grids.map(p => p.sizes))) {
    const grids = data.grids.filter(p => p.sizes === sizes);
    const all = grids[0].states.slice(0, SERIES).map(n => ({name: stateName(n), points:
      grids.map(p => rowsOf(p.best)[p.states.indexOf(n)]).filter(r => r).map(r => ratePoint(r, "tokens", "prefill_tps"))}));
    curves(figures, {caption: sizes, title: `Speed against length: ${sizes}`,
                  desc: "The fastest form and chunk length of each state size at each length.",
                  table: "tokens of the prompt a second, fastest form", key: "tokens"},
           values("tokens of the prompt", grids.map(p => p.tokens)), linear("prompt tokens/s", most(heights(all))), all);
  }
}

const RANGES = ["prefill", "head", "decode"];

/* range:name:count:seconds:operations:bytes, separated by spaces. */
const kernelsOf = r => (r ? r.kernels : "").split(" ").map(text => {
  const [range, name, ...numbers] = text.split(":"), [count, seconds, flops, bytes] = numbers.map(Number);
  return {range: RANGES.indexOf(range), name, count, seconds, flops, bytes};
}).filter(k => k.range >= 0 && k.name && k.seconds > 0 && k.flops >= 0 && k.bytes > 0 &&
               Number.isFinite(k.seconds + k.flops + k.bytes));

function drawMemory() {
  const fixed = mainGrids().filter(grid => !(grid.attention > 0));
  if (!fixed.length)
    return;
  const lengths = [256, 1024, 4096, 16384, 65536], mib = 2 ** 20;
  const figures = figuresIn(section("Memory",
    "What one sequence takes beyond the weights, as planned before anything is taken: its state, and the activations " +
    "of one pass. Neither grows with the length. Beside it, for scale, what keys and values of attention of the same " +
    "inner width in as many layers would take."));
  for (const grid of fixed) {
    const rows = rowsOf(grid.best).filter(r => r).slice(0, SERIES - 1);
    if (!rows.length)
      continue;
    const all = rows.map(r => {
      const y = (r.memory_bytes - r.weight_bytes) / mib;
      const title = `${stateName(r.state)}: ${y.toFixed(1)} MiB, of it ${(r.state_bytes / mib).toFixed(2)} the state`;
      return {name: stateName(r.state), points: lengths.map(x => ({x, y, title}))};
    });
    const layers = most(rows.map(r => r.layers));
    while (all.length < SERIES - 1)
      all.push({name: "", points: []});
    all.push({name: "keys and values of attention, bf16 (computed)", points: layers > 0 ? lengths.map(x => {
      const y = 4 * rows.at(-1).heads * rows.at(-1).head_dim * layers * x / mib;
      return {x, y, title: `keys and values of ${x} tokens: ${y.toFixed(0)} MiB`};
    }) : []});
    curves(figures, {caption: grid.sizes, title: `Memory against length: ${grid.sizes}`, table: "MiB", key: "tokens",
                  desc: "State and activations of one sequence do not grow with its length."},
           values("tokens read", lengths),
           log("MiB beyond the weights", least(heights(all)) / 2, 2 * most(heights(all))), all);
  }
}

/* Kernels of the compiler's choice for each state, or of the fastest form where that was not measured. */
function drawKernels() {
  const drawn = [];
  for (const grid of mainGrids()) {
    const ceilings = data.ceilings.find(c => c.threads === grid.threads);
    const peak = most(grid.cells.flatMap(rowsOf).filter(isOk).map(r => r.peak_gops));
    const best = rowsOf(grid.best);
    const kernels = rowsOf(grid.chosen).flatMap((r, s) => {
      const row = r ?? best[s], list = kernelsOf(row);
      const total = decode => list.filter(k => (RANGES[k.range] === "decode") === decode).reduce((sum, k) => sum + k.seconds, 0);
      return list.map(k => ({...k, state: row.state, rate: k.flops / k.seconds * 1e-9, gbs: k.bytes / k.seconds * 1e-9,
                             share: k.seconds / total(RANGES[k.range] === "decode")}));
    });
    if (ceilings && peak > 0 && kernels.length)
      drawn.push({grid, ceilings, peak, kernels});
  }
  if (!drawn.length)
    return;
  const figures = figuresIn(section("Kernels against the machine",
    "Every kernel of the compiler's own choice for each state size, timed once more by itself. Operations are the " +
    "multiply-adds of projections and recurrences; kernels without any are in the second picture alone. Bytes are operands in " +
    "and results out, each once, wherever they lie: what stays in a cache may be above the memory's line."));
  for (const {grid, ceilings, peak, kernels} of drawn) {
    const element = figure(figures, grid.sizes);
    drawRoof(element, grid.sizes, ceilings, peak, kernels.filter(k => k.flops > 0));
    drawBandwidth(element, grid.sizes, ceilings, kernels);
    table(element, "Table", "kernels of the compiler's own choice",
          ["kernel", "range", "N", "share of time", "Gop/s", "GB/s", "op/byte"],
          kernels.map(k => [k.name, RANGES[k.range], k.state > 0 ? String(k.state) : "", percent(k.share), digits(k.rate, 4), digits(k.gbs, 4),
                            digits(k.flops / k.bytes, 3)]));
  }
}

const kernelTitle = k => `${k.name} (${RANGES[k.range]}), ${stateName(k.state)}: ${digits(k.rate, 4)} Gop/s, ` +
  `${digits(k.gbs, 4)} GB/s, ${digits(k.flops / k.bytes, 3)} op/byte`;
const rangeKeys = RANGES.map((name, shape) => ({name, series: SERIES - 1, shape}));

function drawRoof(element, caption, ceilings, peak, kernels) {
  const x = log("operations a byte that goes in or out", 0.1, 1000), y = log("Gop/s", 1, peak * 2);
  const c = chart(element, `Roofline: ${caption}`, "Kernels that multiply, by operations a byte and operations a second, " +
                  "under the machine's peak and its bandwidths.", x, y, 280);
  rule(c, x.low, peak, x.high, peak);
  label(c.svg, c.x(x.high) - 3, c.y(peak) - 4, "end", `peak ${peak.toFixed(0)} Gop/s`, "small");
  for (const [name, gbs] of [["memory", ceilings.read_gbs], ["L2", ceilings.l2_gbs]]) {
    const from = Math.max(x.low, y.low / gbs), to = Math.min(x.high, peak / gbs);
    if (!(gbs > 0 && from < to))
      continue;
    rule(c, from, from * gbs, to, to * gbs);
    label(c.svg, c.x(from) + 4, c.y(from * gbs) + 11, "start", name, "small");
  }
  const names = [...new Set(kernels.map(k => k.name))];
  for (const k of kernels)
    mark(c.svg, names.indexOf(k.name), k.range, c.x(k.flops / k.bytes), c.y(k.rate), kernelTitle(k));
  legend(element, [...names.map((name, series) => ({name, series, shape: 0})), ...rangeKeys]);
}

function drawBandwidth(element, caption, ceilings, kernels) {
  const names = [...new Set(kernels.map(k => k.name))], row = 20, top = 30, bottom = top + row * names.length;
  const left = 78, right = WIDTH - 12, share = logShare(0.1, 4000), at = gbs => left + (right - left) * share(gbs);
  const svg = picture(element, `Bandwidth of kernels: ${caption}`, "Every kernel by bytes that go in and out of it a second, " +
                      "beside the bandwidths of memory and caches.", bottom + 34);
  for (const [name, gbs] of [["memory", ceilings.read_gbs], ["L2", ceilings.l2_gbs], ["L1", ceilings.l1_gbs]])
    if (gbs > 0.1 && gbs < 4000) {
      line(svg, "rule", at(gbs), top - 12, at(gbs), bottom);
      label(svg, at(gbs), top - 16, "middle", name, "small");
    }
  names.forEach((name, i) => {
    const y = top + row * i + 4;
    line(svg, "grid", left, y, right, y);
    label(svg, left - 6, y + 4, "end", name);
    for (const k of kernels.filter(other => other.name === name))
      mark(svg, i, k.range, at(k.gbs), y, kernelTitle(k));
  });
  for (const gbs of [0.1, 1, 10, 100, 1000])
    label(svg, at(gbs), bottom + 14, "middle", String(gbs));
  label(svg, (left + right) / 2, bottom + 29, "middle", "GB/s", "axis");
  legend(element, rangeKeys);
}

function drawPredicted() {
  const rows = data.rows.filter(r => isOk(r) && r.predicted_tps > 0 && r.prefill_tps > 0);
  if (!rows.length)
    return;
  const forms = ["chunked", "recurrent", "quadratic", "mixed"], series = r => Math.max(0, forms.indexOf(r.form));
  const element = figure(figuresIn(section("Predicted and measured", data.predicted)), "Predicted against measured speed");
  const all = rows.flatMap(r => [r.predicted_tps, r.prefill_tps]), low = least(all) / 1.2, high = most(all) * 1.2;
  const x = log("measured, tokens/s", low, high), y = log("predicted, tokens/s", low, high);
  const c = chart(element, "Predicted against measured speed", "Points on the dashed line are predicted exactly.", x, y, 300);
  rule(c, x.low, y.low, x.high, y.high);
  for (const r of rows)
    mark(c.svg, series(r), series(r), c.x(r.prefill_tps), c.y(r.predicted_tps),
         `${r.dtype}, ${stateName(r.state)}, ${named(r)}, ${r.tokens} tokens: ` +
         `predicted ${r.predicted_tps.toFixed(0)}, measured ${r.prefill_tps.toFixed(0)}`);
  legend(element, forms.map((name, i) => ({name, series: i, shape: i})).filter(({series: i}) => rows.some(r => series(r) === i)));
  table(element, "Table", "tokens of the prompt a second",
        ["type, state", "form", "threads", "tokens", "predicted", "measured", "time off by"], rows.map(r => {
    const off = r.prefill_tps / r.predicted_tps - 1;
    return [`${r.dtype}, ${stateName(r.state)}`, named(r), String(r.threads), String(r.tokens), r.predicted_tps.toFixed(0),
            r.prefill_tps.toFixed(0), (off < 0 ? "" : "+") + percent(off)];
  }));
}

const POINT_HEADS = ["type, state", "P", "G", "attention", "threads", "tokens"];
const pointCells = r => [`${r.dtype}, ${stateName(r.state)}`, ...[r.head_dim, r.groups, r.attention, r.threads, r.tokens].map(x => x >= 0 ? String(x) : "")];

function drawChoices() {
  const missed = data.choices.list.some(choice => choice.behind > 0.05);
  if (data.choices.list.length)
    table(section("The compiler's own choices", data.choices.says + (missed ? " What is more than 5 % behind is marked as a miss." : "")),
          "Every choice, the worst first", "the compiler's choice and the fastest",
          [...POINT_HEADS, "chosen", "tokens/s", "fastest", "tokens/s", "behind"], data.choices.list.map(({chosen, best, behind}) => {
      const [c, b] = rowsOf([chosen, best]), miss = behind > 0.05;
      const cells = [...pointCells(c), named(c), c.prefill_tps.toFixed(0), named(b), b.prefill_tps.toFixed(0),
                     percent(behind) + (miss ? " miss" : "")];
      return Object.assign(cells, {miss});
    }), true);
}

function drawErrors() {
  const rows = mainGrids().flatMap(grid => grid.states.map((_, s) => {
    const errors = grid.cells.map(cells => rowsOf(cells)[s]).filter(r => r && Number.isFinite(r.error))
      .sort((a, b) => a.error - b.error);
    const [first, last] = [errors[0], errors.at(-1)], said = r => `${digits(r.error, 3)} (${named(r)})`;
    return first && [`${first.dtype}, ${stateName(first.state)}`, said(first), said(last), String(last.error_tokens)];
  })).filter(row => row);
  if (rows.length)
    table(section("Distance from float64",
                  "Root mean square of what logits differ by from the float64 interpreter's, over that of these. So that the " +
                  "interpreter takes about a second, it is not the model itself but a copy with one layer of each kind, a " +
                  "vocabulary of 256 and random weights, on one prompt that is longer than the longest chunk."),
          "Errors by type and state", "relative error of logits, over forms and chunk lengths",
          ["type, state", "least", "greatest", "tokens"], rows, true);
}

function drawMissing() {
  const rows = data.rows.filter(r => !isOk(r));
  if (rows.length)
    table(section("What has no numbers"), `${rows.length} of ${data.rows.length} points`, "points without numbers, and why",
          [...POINT_HEADS, "form", "status", "why"], rows.map(r => [...pointCells(r), named(r), r.status, r.why]));
}

/* Empty numbers are null in JSON. */
const fillEmpty = objects => objects.forEach(o => Object.keys(o).forEach(key => o[key] ??= NaN));

if (data.points) {
  drawTimes();
} else {
  fillEmpty(data.rows);
  fillEmpty(data.ceilings);
  for (const draw of [drawHeat, drawStates, drawAttention, drawLengths, drawMemory, drawKernels, drawPredicted, drawChoices, drawErrors, drawMissing])
    draw();
}
}

// ---- charts ------------------------------------------------------------------------------------------------------

const canvas = document.createElement("canvas").getContext("2d");
canvas.font = `11px ${FONT}`;
const longest = Math.max(...[...data.branches.map((branch) => branch.name), ...data.leaves.map((leaf) => leaf.key)].map((name) => canvas.measureText(name).width));
const NAMES_WIDTH = Math.ceil(Math.min(longest, 150)) + 24;
const AXIS_WIDTH = 64;

function axes(figure) {
  const font = `11px ${FONT}`;
  const common = { font, stroke: () => colours.soft, ticks: { show: true, size: 4, width: 1, stroke: () => colours.line } };
  const steps = (u, splits) => splits.map((split) => (Number.isInteger(split) ? grouped(split) : ""));
  const values = (u, splits) =>
    splits.map((split) => (split === null ? "" : figure.share ? `${tidy(split * 100)} %` : tidy(split)));
  const upright = { ...common, size: AXIS_WIDTH, gap: 4, space: figure.shape === "steps" ? 22 : 34, grid: { stroke: () => colours.line, width: 1 }, values };
  if (isLog(figure)) Object.assign(upright, { splits: (u, axis, low, high) => decades(low, high), filter: (u, splits) => splits });
  return [{ ...common, size: 24, gap: 3, space: 80, grid: { show: false }, values: steps }, upright];
}

// Ticks of a logarithmic axis: powers of ten, with 2 and 5 between where there are few; round numbers below a decade.
function decades(low, high) {
  const wide = Math.log10(high / low);
  if (wide < 0.8) {
    const size = 10 ** Math.floor(Math.log10((high - low) / 3));
    const step = [1, 2, 5, 10].map((factor) => factor * size).find((step) => (high - low) / step <= 6);
    return Array.from({ length: 8 }, (_, index) => (Math.ceil(low / step) + index) * step).filter((tick) => tick <= high);
  }
  const every = Math.ceil(wide / 6);
  const ticks = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++) {
    for (const factor of wide <= 2.2 ? [1, 2, 5] : [1]) if (power % every === 0) ticks.push(factor * 10 ** power);
  }
  return ticks.filter((tick) => tick >= low && tick <= high);
}

function tidy(value) {
  const near = Number(value.toPrecision(6));
  return (Math.abs(near) >= 1e5 || (near !== 0 && Math.abs(near) < 1e-4) ? near.toExponential() : String(near)).replace("-", "\u2212").replace("e+", "e");
}

function options(chart, width) {
  const { figure } = chart;
  return {
    width,
    height: chart.height,
    legend: { show: false },
    padding: [16, names() ? NAMES_WIDTH : 14, 0, 0],
    cursor: { x: false, y: false, points: { show: false }, drag: { x: true, y: true, uni: 40, setScale: false }, bind: { dblclick: () => () => null } },
    scales: {
      x: { time: false, auto: false, range: (u, low, high) => [low, high] },
      y: { auto: false, distr: figure && isLog(figure) ? 3 : 1, range: (u, low, high) => [low, high] },
    },
    series: [{}, { paths: () => null, points: { show: false } }],
    axes: figure ? axes(figure) : stripAxes(figure),
    hooks: { drawClear: chart.under, draw: chart.over, setSelect: [(u) => selected(chart, u)], setCursor: [(u) => moved(chart, u)] },
  };
}

const names = () => document.body.clientWidth > 640;

function build(chart) {
  chart.plot?.destroy();
  const [low, high] = chart.extent();
  const [from, to] = range();
  chart.plot = new uPlot(options(chart, chart.place.clientWidth), [[from, to], [low, high]], chart.place);
  chart.cross = element("div", { class: "cross" });
  chart.plot.over.append(chart.cross);
  chart.plot.over.addEventListener("dblclick", () => zoom(null, chart));
  chart.plot.over.addEventListener("mouseleave", () => leave());
  fit(chart);
}

function fit(chart) {
  const [low, high] = chart.extent();
  const [from, to] = range();
  chart.plot.batch(() => {
    chart.plot.setScale("x", { min: from, max: to });
    chart.plot.setScale("y", { min: low, max: high });
  });
  chart.plot.redraw(false, true);
}

function redraw() {
  charts.forEach((chart) => chart.plot && fit(chart));
  if (pointer !== null) placeCrosses();
  remember();
}

function zoom(wanted, chart) {
  if (wanted === null) charts.forEach((each) => (each.own = null));
  const [from, to] = wanted || wholeRange;
  const least = Math.max((wholeRange[1] - wholeRange[0]) / 1e5, 2);
  const low = Math.max(Math.min(from, wholeRange[1] - least), wholeRange[0]);
  const high = Math.min(Math.max(to, low + least), wholeRange[1]);
  view.range = low <= wholeRange[0] && high >= wholeRange[1] ? null : [Math.round(low), Math.round(high)];
  if (chart) chart.own = null;
  zoomState();
  redraw();
}

function selected(chart, u) {
  const { left, top, width, height } = u.select;
  const wide = width > 4 && width < u.over.clientWidth - 1;
  const high = height > 4 && height < u.over.clientHeight - 1;
  u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
  if (high && chart.figure) chart.own = [u.posToVal(top + height, "y"), u.posToVal(top, "y")];
  const own = chart.own;
  if (wide) zoom([u.posToVal(left, "x"), u.posToVal(left + width, "x")], chart);
  chart.own = own;
  if (high || wide) redraw();
}

function charting(figure) {
  const height = figure.shape === "steps" ? 128 : 214;
  const place = element("div");
  const hover = element("div", { class: "hover" });
  const log = button("log", () => switchLog(chart), { class: "plain", title: "logarithmic scale" });
  const told = [figure.unit, figure.thinned && `${grouped(figure.thinned)} logged steps, downsampled: extremes kept`];
  const head = element(
    "div",
    { class: "head" },
    element("b", {}, figure.title),
    element("span", { class: "soft" }, told.filter(Boolean).join(" \u00b7 ")),
    element("span", { class: "spring" }),
    log,
    button("CSV", () => save(figure), { class: "plain", title: "the points shown, as a file" }),
  );
  const box = element("div", { class: "chart", tabindex: 0, role: "group", "aria-label": `${figure.title}: arrow keys read values, plus and minus zoom` }, head, place, hover);
  const chart = { figure, height, place, hover, box, log, own: null };
  chart.under = [(u) => drawStages(u)];
  chart.over = [(u) => (drawMargin(u, data.stages[view.stages] || []), drawLines(u, figure))];
  chart.extent = () => extent(chart);
  box.addEventListener("keydown", (event) => keyed(chart, event));
  box.addEventListener("blur", () => leave());
  return chart;
}

function switchLog(chart) {
  view.log[chart.figure.key] = !isLog(chart.figure);
  chart.own = null;
  build(chart);
  chart.log.setAttribute("aria-pressed", isLog(chart.figure));
  remember();
}

// ---- the strip of stages -----------------------------------------------------------------------------------------

// Branches with the same stages share a row.
function stageRows() {
  const rows = [];
  data.stages.forEach((stages, branch) => {
    const key = JSON.stringify(stages);
    const same = rows.find((row) => row.key === key);
    if (same) same.branches.push(branch);
    else rows.push({ key, stages, branches: [branch] });
  });
  return rows;
}

const rows = stageRows();
const rowHeight = rows.length <= 8 ? 19 : rows.length <= 16 ? 13 : 8;

const stripAxes = () => [
  { show: false },
  { size: AXIS_WIDTH, stroke: () => "transparent", ticks: { show: false }, grid: { show: false }, values: (u, splits) => splits.map(() => "") },
];

function strip() {
  const place = element("div");
  const hover = element("div", { class: "hover" });
  const head = element("div", { class: "head" }, element("b", {}, "Stages"), element("span", { class: "soft" }, "of each curriculum"));
  const chart = { figure: null, height: rows.length * rowHeight + 18, place, hover, own: null, extent: () => [0, rows.length] };
  chart.box = element("div", { class: "chart" }, head, place, hover);
  chart.under = [];
  chart.over = [drawStrip, (u) => drawMargin(u, [])];
  return chart;
}

function drawStrip(u) {
  const scale = uPlot.pxRatio;
  const { ctx, bbox } = u;
  const height = bbox.height / rows.length;
  rows.forEach((row, number) => {
    const top = bbox.top + number * height;
    const off = !row.branches.some(branchIsOn);
    const dim = highlighted !== null && !row.branches.includes(highlighted);
    clipped(u, () => {
      ctx.globalAlpha = off || dim ? 0.25 : 1;
      row.stages.forEach((stage, index) => drawStage(u, stage, index, top, height));
    });
    if (!names() || rowHeight < 13) return;
    ctx.save();
    ctx.font = `${11 * scale}px ${FONT}`;
    ctx.textBaseline = "middle";
    ctx.textAlign = "left";
    const colour = row.branches.length === 1 ? colours.branches[row.branches[0]] : colours.trunk;
    const room = (NAMES_WIDTH - 20) * scale;
    const text = ctx.measureText(named(row.branches)).width > room && row.branches.length > 1 ? `${row.branches.length} branches` : named(row.branches);
    drawName(u, text, { colour, alpha: off || dim ? 0.3 : 1 }, top + height / 2, top + height / 2);
    ctx.restore();
  });
}

function drawStage(u, stage, index, top, height) {
  const scale = uPlot.pxRatio;
  const { ctx } = u;
  const left = x(u, stage.from);
  const right = x(u, stage.to);
  ctx.fillStyle = index % 2 === 0 ? colours.tint : colours.shade;
  ctx.fillRect(left, top + scale, right - left, height - 2 * scale);
  if (rowHeight < 13) return;
  ctx.font = `${10 * scale}px ${FONT}`;
  ctx.textBaseline = "middle";
  ctx.textAlign = "left";
  ctx.fillStyle = colours.ink;
  const start = Math.max(left, u.bbox.left);
  const room = Math.min(right, u.bbox.left + u.bbox.width) - start - 8 * scale;
  if (ctx.measureText(stage.name).width <= room) ctx.fillText(stage.name, start + 4 * scale, top + height / 2);
}

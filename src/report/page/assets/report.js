// The page of a report. Without this script it shows tables and still figures; with it, curves that can be looked into.
//
// A figure is a list of strands: stretches of the lineage that a set of branches passes together. A strand has one series
// for each history that differs (values as logged, downsampled so that extremes stay), and for curves of updates their
// mean over the seeds, in bins. A leaf's curve is the strands on its way. uPlot draws axes and minds the mouse; the
// lines are drawn here, because each has steps of its own.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const page = document.documentElement;
  const paper = matchMedia("print");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const memory = `runner report: ${data.title}`;

  // ---- what is looked at -------------------------------------------------------------------------------------------

  const view = Object.assign(
    {
      theme: "",
      seeds: false, // single seeds, or means over them
      extremes: data.branches.length <= 3,
      hiddenBranches: [],
      hiddenSeeds: [],
      hiddenLeaves: [],
      stages: data.focus,
      range: null,
      log: {},
      shown: {},
      reload: true,
    },
    recalled(),
  );
  let highlighted = null;
  let pointer = null; // step under the cursor
  const charts = [];

  function recalled() {
    try {
      return JSON.parse(sessionStorage.getItem(memory)) || {};
    } catch {
      return {};
    }
  }

  function remember() {
    try {
      sessionStorage.setItem(memory, JSON.stringify(view));
    } catch {
      // A browser that keeps nothing shows the page all the same.
    }
  }

  const branchIsOn = (branch) => !view.hiddenBranches.includes(branch);
  const leafIsOn = (leaf) =>
    branchIsOn(data.leaves[leaf].branch) && !view.hiddenSeeds.includes(data.leaves[leaf].seed) && !view.hiddenLeaves.includes(leaf);
  const shownBranches = () => data.branches.map((_, branch) => branch).filter(branchIsOn);
  const bandsForAll = () => shownBranches().length <= 6;

  function toggled(list, item) {
    return list.includes(item) ? list.filter((other) => other !== item) : [...list, item];
  }

  // ---- numbers and elements ----------------------------------------------------------------------------------------

  const grouped = (number) => String(Math.round(number)).replace(/\B(?=(\d{3})+$)/g, ",");

  function significant(value, digits) {
    if (value === 0) return "0";
    const size = Math.floor(Math.log10(Math.abs(value)));
    if (size < -4 || size > 5) return value.toExponential(Math.max(digits - 2, 0)).replace("-", "\u2212").replace("e+", "e");
    return value.toFixed(Math.min(Math.max(digits - 1 - size, 0), 8)).replace("-", "\u2212");
  }

  // Shares are shown in per cent.
  function shown(figure, value) {
    if (value === null || value === undefined) return "not finite";
    return figure.share ? `${(value * 100).toFixed(1)} %` : significant(value, 4);
  }

  function element(name, attributes = {}, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
      else if (key.startsWith("aria-")) made.setAttribute(key, String(value));
      else if (value !== false && value !== undefined) made.setAttribute(key, value === true ? "" : value);
    }
    made.append(...children);
    return made;
  }

  function button(text, onclick, attributes = {}) {
    return element("button", { type: "button", onclick, ...attributes }, text);
  }

  const swatch = (branch) => element("span", { class: `swatch c${branch}` });

  let colours = {};
  function readColours() {
    const style = getComputedStyle(page);
    const named = (name) => style.getPropertyValue(`--${name}`).trim();
    colours = { branches: data.branches.map((_, branch) => named(`b${branch}`)) };
    for (const name of ["paper", "ink", "soft", "line", "tint", "shade", "trunk"]) colours[name] = named(name);
  }

  const FONT = getComputedStyle(document.body).fontFamily;

  // ---- what is drawn -----------------------------------------------------------------------------------------------

  // Steps travel as differences.
  function summed(steps) {
    let at = 0;
    return steps.map((step) => (at += step));
  }

  for (const figure of data.figures) {
    for (const strand of figure.strands) {
      for (const series of strand.series) series.steps = summed(series.steps);
      if (strand.mean) strand.mean.steps = summed(strand.mean.steps);
      strand.ends = true;
    }
    for (const { parent } of figure.strands) if (parent !== null) figure.strands[parent].ends = false;
  }

  // The first place of a rising list that is not below a value.
  function firstAt(steps, value) {
    let low = 0;
    let high = steps.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (steps[middle] < value) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  const mean = (strand) => ({ ...strand.mean, values: strand.mean.mean, holes: strand.series.flatMap((series) => series.holes || []) });

  // The lines of a figure as it is looked at now. A line knows the strand it belongs to and where it goes on from.
  function lines(figure) {
    const found = [];
    for (const strand of figure.strands) {
      const branches = strand.branches.filter(branchIsOn);
      if (branches.length === 0) continue;
      const common = { strand, branches, branch: strand.branches.length === 1 ? strand.branches[0] : null };
      if (!view.seeds && strand.mean) {
        found.push({ ...common, ...mean(strand), origin: origin(figure, strand, null) });
        continue;
      }
      for (const series of strand.series) {
        const leaves = series.leaves.filter(leafIsOn);
        if (view.seeds && leaves.length === 0) continue;
        found.push({ ...common, ...series, leaves, origin: origin(figure, strand, series.leaves[0]) });
      }
    }
    // The reference and what is shared lie below, what was touched in the legend on top.
    const rank = (line) => (line.branches.includes(highlighted) ? 2 : line.branch === null || data.branches[line.branch].reference ? 0 : 1);
    return found.sort((a, b) => rank(a) - rank(b));
  }

  // The last point before a strand begins, so that curves do not break at a fork.
  function origin(figure, strand, leaf) {
    for (let at = strand.parent; at !== null; at = figure.strands[at].parent) {
      const above = figure.strands[at];
      const own = above.series.find((series) => leaf === null || series.leaves.includes(leaf)) || above.series[0];
      const line = leaf === null && above.mean ? mean(above) : own;
      if (line && line.steps.length > 0) return [line.steps.at(-1), line.values.at(-1)];
    }
    return null;
  }

  // The part of a line that a range of steps shows, with one point more on each side.
  function visible(line, range) {
    const from = Math.max(firstAt(line.steps, range[0]) - 1, 0);
    const to = Math.min(firstAt(line.steps, range[1]) + 1, line.steps.length);
    return [from, to];
  }

  const wholeRange = [data.from, data.to];
  const range = () => view.range || wholeRange;

  // Lowest and highest value in sight.
  function extent(chart) {
    if (chart.own) return chart.own;
    const { figure } = chart;
    const logarithmic = isLog(figure);
    let low = Infinity;
    let high = -Infinity;
    const take = (value) => {
      if (value === null || value === undefined || (logarithmic && value <= 0)) return;
      low = Math.min(low, value);
      high = Math.max(high, value);
    };
    for (const line of lines(figure)) {
      const [from, to] = visible(line, range());
      for (let index = from; index < to; index++) {
        if (line.steps[index] < range()[0] || line.steps[index] > range()[1]) continue;
        take(line.values[index]);
        if (!line.mean) continue;
        if (line.low && bandsForAll()) [line.low, line.high].forEach((list) => take(list[index]));
        if (view.extremes) [line.min, line.max].forEach((list) => take(list[index]));
      }
    }
    if (low > high) return logarithmic ? [0.1, 1] : [0, 1];
    if (logarithmic) return low === high ? [low / 2, high * 2] : [low / (high / low) ** 0.04, high * (high / low) ** 0.04];
    const room = low === high ? Math.abs(low) * 0.1 || 0.5 : (high - low) * 0.06;
    const floor = low >= 0 && low - room < 0 ? Math.min(0, low) : low - room;
    return [floor, figure.share && high <= 1 ? Math.min(high + room, 1.02) : high + room];
  }

  const isLog = (figure) => view.log[figure.key] ?? figure.log;

  // ---- drawing -----------------------------------------------------------------------------------------------------

  function clipped(u, draw) {
    const { ctx, bbox } = u;
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    draw(ctx, bbox);
    ctx.restore();
  }

  const x = (u, step) => u.valToPos(step, "x", true);

  function drawStages(u) {
    const stages = data.stages[view.stages] || [];
    clipped(u, (ctx, box) => {
      ctx.fillStyle = colours.tint;
      stages.forEach((stage, index) => {
        if (index % 2 === 1) ctx.fillRect(x(u, stage.from), box.top, x(u, stage.to) - x(u, stage.from), box.height);
      });
    });
  }

  // The margin above a plot: where histories part, and between those labels the stages' names.
  function drawMargin(u, stages) {
    const { ctx, bbox } = u;
    const scale = uPlot.pxRatio;
    ctx.save();
    ctx.font = `${10 * scale}px ${FONT}`;
    ctx.textBaseline = "bottom";
    ctx.fillStyle = ctx.strokeStyle = colours.soft;
    ctx.lineWidth = scale;
    const taken = drawForks(u);
    ctx.textAlign = "left";
    for (const stage of stages) {
      const left = Math.max(x(u, stage.from), bbox.left) + 3 * scale;
      const width = ctx.measureText(stage.name).width;
      const right = Math.min(x(u, stage.to), bbox.left + bbox.width) - 2 * scale;
      const free = taken.every(([from, to]) => left + width < from || left > to);
      if (left + width <= right && free) ctx.fillText(stage.name, left, bbox.top - 2 * scale);
    }
    ctx.restore();
  }

  // The first fork is a line with its step; many more would be a fence, so they are short marks then. Gives the room the
  // labels take.
  function drawForks(u) {
    const { ctx, bbox } = u;
    const scale = uPlot.pxRatio;
    const taken = [];
    ctx.textAlign = "right";
    data.forks.forEach((fork, index) => {
      const at = x(u, fork);
      if (at < bbox.left - 1 || at > bbox.left + bbox.width + 1) return;
      const whole = index === 0 || data.forks.length <= 3;
      ctx.setLineDash(whole ? [3 * scale, 3 * scale] : []);
      ctx.beginPath();
      ctx.moveTo(at, bbox.top - (whole ? 12 * scale : 0));
      ctx.lineTo(at, bbox.top + (whole ? bbox.height : 5 * scale));
      ctx.stroke();
      const text = index === 0 ? `fork ${grouped(fork)}` : whole ? grouped(fork) : "";
      const left = at - ctx.measureText(text).width - 6 * scale;
      if (text === "" || left < 0 || taken.some(([, to]) => left < to)) return;
      ctx.fillText(text, at - 4 * scale, bbox.top - 2 * scale);
      taken.push([left, at]);
    });
    ctx.setLineDash([]);
    return taken;
  }

  function look(line) {
    const dim = highlighted !== null && !line.branches.includes(highlighted);
    const reference = line.branch !== null && data.branches[line.branch].reference;
    const colour = line.branch === null ? colours.trunk : colours.branches[line.branch];
    const single = view.seeds && data.leaves.length > data.branches.length;
    return { colour, alpha: dim ? 0.15 : single ? 0.75 : 1, width: reference || line.branch === highlighted ? 1.9 : single ? 1.1 : 1.5 };
  }

  function drawLines(u, figure) {
    const scale = uPlot.pxRatio;
    const y = (value) => (value === null || (isLog(figure) && value <= 0) ? null : u.valToPos(value, "y", true));
    const list = lines(figure);
    clipped(u, (ctx) => {
      ctx.lineJoin = "round";
      for (const line of list.filter((line) => line.mean)) {
        const own = bandsForAll() || line.branches.includes(highlighted);
        const { colour, alpha } = look(line);
        ctx.fillStyle = colour;
        ctx.globalAlpha = 0.1 * alpha;
        if (view.extremes && own) fillBetween(ctx, u, line, line.min, line.max, y);
        ctx.globalAlpha = 0.22 * alpha;
        if (line.low && own) fillBetween(ctx, u, line, line.low, line.high, y);
      }
      for (const line of list) {
        const { colour, alpha, width } = look(line);
        ctx.strokeStyle = ctx.fillStyle = colour;
        ctx.globalAlpha = alpha;
        ctx.lineWidth = width * scale;
        stroke(ctx, u, figure, line, y);
        if (line.holes) drawHoles(ctx, u, line);
      }
    });
    drawNames(u, list, y);
  }

  function fillBetween(ctx, u, line, low, high, y) {
    const [from, to] = visible(line, range());
    let start = from;
    while (start < to) {
      let end = start;
      while (end < to && y(low[end]) !== null && y(high[end]) !== null) end++;
      if (end - start > 1) {
        ctx.beginPath();
        for (let index = start; index < end; index++) ctx.lineTo(x(u, line.steps[index]), y(high[index]));
        for (let index = end - 1; index >= start; index--) ctx.lineTo(x(u, line.steps[index]), y(low[index]));
        ctx.fill();
      }
      start = Math.max(end, start) + 1;
    }
  }

  function stroke(ctx, u, figure, line, y) {
    const scale = uPlot.pxRatio;
    const [from, to] = visible(line, range());
    const points = [];
    if (from === 0 && line.origin) points.push(line.origin);
    for (let index = from; index < to; index++) points.push([line.steps[index], line.values[index]]);
    ctx.beginPath();
    let before = null;
    points.forEach(([step, value], index) => {
      const top = y(value);
      const left = x(u, step);
      if (top === null) {
        before = null;
        return;
      }
      if (before === null) ctx.moveTo(left, top);
      else if (figure.shape === "steps") ctx.lineTo(left, before);
      ctx.lineTo(left, top);
      // A point with gaps on both sides would not be seen.
      const alone = before === null && (index + 1 >= points.length || y(points[index + 1][1]) === null);
      if (alone) ctx.fillRect(left - scale, top - scale, 2 * scale, 2 * scale);
      before = top;
    });
    ctx.stroke();
    if (figure.shape === "points") dots(ctx, u, line, y, from, to);
  }

  function dots(ctx, u, line, y, from, to) {
    const scale = uPlot.pxRatio;
    if (to - from > u.bbox.width / scale / 9) return;
    for (let index = from; index < to; index++) {
      const top = y(line.values[index]);
      if (top === null) continue;
      ctx.beginPath();
      ctx.arc(x(u, line.steps[index]), top, 2.2 * scale, 0, 7);
      ctx.fill();
    }
  }

  // Where values were not finite, the line has a gap; a cross above says that it is no gap in the record.
  function drawHoles(ctx, u, line) {
    const arm = 3 * uPlot.pxRatio;
    const top = u.bbox.top + 2 * arm + 12 * uPlot.pxRatio;
    for (const hole of line.holes) {
      const left = x(u, hole);
      ctx.beginPath();
      ctx.moveTo(left - arm, top - arm);
      ctx.lineTo(left + arm, top + arm);
      ctx.moveTo(left + arm, top - arm);
      ctx.lineTo(left - arm, top + arm);
      ctx.stroke();
    }
  }

  // Names at the ends of the curves, moved apart where they would touch; with many branches, those that fit.
  function drawNames(u, list, y) {
    if (!names()) return;
    const { ctx, bbox } = u;
    const scale = uPlot.pxRatio;
    const gap = 13 * scale;
    let labels = list.flatMap((line) => {
      const last = lastInSight(line);
      if (!line.strand.ends || last === null || y(last) === null) return [];
      return [{ line, want: Math.min(Math.max(y(last), bbox.top), bbox.top + bbox.height) }];
    });
    labels = labels.filter((label, index) => labels.findIndex((other) => called(other.line) === called(label.line)) === index);
    labels = spread(fewer(labels, gap, bbox), gap, bbox);
    ctx.save();
    ctx.font = `${11 * scale}px ${FONT}`;
    ctx.textBaseline = "middle";
    ctx.textAlign = "left";
    for (const { line, want, at } of labels) drawName(u, called(line), look(line), want, at);
    ctx.restore();
  }

  function drawName(u, text, { colour, alpha }, want, at) {
    const { ctx, bbox } = u;
    const scale = uPlot.pxRatio;
    const left = bbox.left + bbox.width;
    ctx.globalAlpha = Math.max(alpha, 0.25);
    ctx.strokeStyle = colour;
    ctx.lineWidth = 1.5 * scale;
    ctx.beginPath();
    ctx.moveTo(left + 3 * scale, want);
    ctx.lineTo(left + 10 * scale, at);
    ctx.lineTo(left + 15 * scale, at);
    ctx.stroke();
    ctx.fillStyle = colours.ink;
    ctx.fillText(text, left + 19 * scale, at, (NAMES_WIDTH - 20) * scale);
  }

  function lastInSight(line) {
    for (let index = firstAt(line.steps, range()[1] + 1) - 1; index >= 0 && line.steps[index] >= range()[0]; index--) {
      if (line.values[index] !== null) return line.values[index];
    }
    return null;
  }

  // Of labels that would have to go far from their curves, those of the reference, of what is highlighted, and every so
  // many of the others.
  function fewer(labels, gap, box) {
    labels.sort((a, b) => a.want - b.want);
    const wide = labels.length === 0 ? 0 : labels.at(-1).want - labels[0].want;
    const most = Math.floor(Math.min(wide + 5 * gap, box.height) / gap);
    if (labels.length <= most) return labels;
    const every = Math.ceil((labels.length - 1) / Math.max(most - 2, 1));
    const kept = ({ line }, index) => line.branches.some((branch) => branch === highlighted || data.branches[branch].reference) || index % every === 0;
    return labels.filter((label, index) => kept(label, index) || index === labels.length - 1);
  }

  // Places labels near where they want to be, at least a gap apart: neighbours that touch become a block around the mean
  // of their wishes.
  function spread(labels, gap, box) {
    const blocks = [];
    const within = (block) => {
      const half = ((block.count - 1) / 2) * gap;
      return { ...block, wish: Math.max(Math.min(block.wish, box.top + box.height - half), box.top + half) };
    };
    labels.forEach(({ want }, index) => {
      let block = within({ first: index, count: 1, wish: want });
      while (blocks.length > 0 && blocks.at(-1).wish + ((blocks.at(-1).count + block.count) / 2) * gap > block.wish) {
        const above = blocks.pop();
        const count = above.count + block.count;
        block = within({ first: above.first, count, wish: (above.wish * above.count + block.wish * block.count) / count });
      }
      blocks.push(block);
    });
    for (const { first, count, wish } of blocks) {
      for (let index = 0; index < count; index++) labels[first + index].at = wish + (index - (count - 1) / 2) * gap;
    }
    return labels;
  }

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

  // ---- reading values ----------------------------------------------------------------------------------------------

  const spoken = document.getElementById("spoken");
  function moved(chart, u) {
    if (u.cursor.left === undefined || u.cursor.left < 0) return leave();
    point(chart, u.posToVal(u.cursor.left, "x"), u.cursor.top);
  }

  // Shows the cursor in all charts and the values in one.
  function point(chart, step, top) {
    pointer = step;
    placeCrosses();
    for (const other of charts) if (other !== chart) other.hover.style.display = "none";
    const told = chart.figure ? values(chart, step, top) : stagesAt(step, top, chart);
    chart.hover.replaceChildren(...told);
    chart.hover.style.display = told.length > 0 ? "block" : "none";
    const { over } = chart.plot;
    const frame = chart.box.getBoundingClientRect();
    const inner = over.getBoundingClientRect();
    const left = inner.left - frame.left + chart.plot.valToPos(step, "x");
    const flipped = left + 16 + chart.hover.offsetWidth > frame.width;
    const height = Math.max(inner.top - frame.top + Math.min(Math.max((top ?? 0) - chart.hover.offsetHeight / 2, 0), over.clientHeight - chart.hover.offsetHeight), 0);
    chart.hover.style.transform = `translate(${flipped ? Math.max(left - 14 - chart.hover.offsetWidth, 0) : left + 14}px, ${height}px)`;
  }

  function placeCrosses() {
    for (const chart of charts.filter((chart) => chart.plot)) {
      const left = chart.plot.valToPos(pointer, "x");
      chart.cross.style.display = left >= 0 && left <= chart.plot.over.clientWidth ? "block" : "none";
      chart.cross.style.transform = `translateX(${left}px)`;
    }
  }

  function leave() {
    pointer = null;
    for (const chart of charts.filter((chart) => chart.plot)) {
      chart.cross.style.display = "none";
      chart.hover.style.display = "none";
    }
  }

  // The point of each line that lies nearest to a step; lines that branches share are read once.
  function readings(figure, step) {
    const found = [];
    for (const line of lines(figure)) {
      const { from, to } = line.strand;
      const inside = figure.shape === "points" ? step > from || from === data.from : step >= from;
      if (!inside || (step > to && to < data.to) || line.steps.length === 0) continue;
      let index = firstAt(line.steps, step);
      if (index === line.steps.length || (index > 0 && step - line.steps[index - 1] < line.steps[index] - step)) index--;
      found.push({ line, index, value: line.values[index], step: line.steps[index] });
    }
    return found.sort((a, b) => (b.value ?? Infinity) - (a.value ?? Infinity));
  }

  const MOST_ROWS = 12;

  function values(chart, step, top) {
    const { figure } = chart;
    const found = readings(figure, step);
    if (found.length === 0) return [];
    const height = ({ value }) => (value === null ? Infinity : Math.abs(chart.plot.valToPos(value, "y") - top));
    const near = top === null ? null : found.reduce((a, b) => (height(b) < height(a) ? b : a));
    const place = near ? found.indexOf(near) : 0;
    const first = Math.max(Math.min(place - MOST_ROWS / 2, found.length - MOST_ROWS), 0);
    const some = found.slice(first, first + MOST_ROWS);
    const rows = some.map((reading) => readingRow(figure, reading, reading === near && found.length > 1));
    const hidden = found.length - some.length;
    const stage = (data.stages[view.stages] || []).find((stage) => stage.from <= step && step < stage.to);
    const head = element("div", {}, `step ${grouped((near || found[0]).step)}`);
    const parts = [head, element("table", {}, element("tbody", {}, ...rows))];
    if (hidden > 0) parts.push(element("div", { class: "soft" }, `and ${hidden} more`));
    if (stage) parts.push(element("div", { class: "stage" }, `${data.branches[view.stages].name}: ${stage.name}`));
    return parts;
  }

  function readingRow(figure, { line, index, value }, near) {
    const interval = line.low && line.seeds > 1 ? `${bare(figure, line.low[index])} to ${bare(figure, line.high[index])}` : "";
    return element(
      "tr",
      { class: near ? "near" : undefined },
      element("td", { class: "text" }, line.branch === null ? element("span", { class: "swatch" }) : swatch(line.branch), called(line)),
      element("td", {}, shown(figure, value)),
      element("td", { class: "soft" }, interval),
    );
  }

  const bare = (figure, value) => (value === null ? "" : shown(figure, value).replace(" %", ""));

  function called(line) {
    if (view.seeds && line.leaves && line.leaves.length === 1) return data.leaves[line.leaves[0]].key;
    return named(line.branches);
  }

  function named(branches) {
    return branches.length <= 2 ? branches.map((branch) => data.branches[branch].name).join(", ") : `${branches.length} branches`;
  }

  function stagesAt(step, top, chart) {
    const row = rows[Math.floor((Math.max(top ?? 0, 0) / chart.plot.over.clientHeight) * rows.length)];
    const stage = row?.stages.find((stage) => stage.from <= step && step < stage.to);
    if (!stage) return [];
    return [
      element("div", {}, element("b", {}, stage.name), ` ${grouped(stage.from)} to ${grouped(stage.to)}`),
      element("div", {}, stage.text),
      element("div", { class: "soft" }, named(row.branches)),
    ];
  }

  function keyed(chart, event) {
    if (event.target !== chart.box || event.ctrlKey || event.metaKey || event.altKey) return;
    const [from, to] = range();
    const wide = to - from;
    const at = pointer ?? (from + to) / 2;
    const stride = wide / (event.shiftKey ? 10 : 100);
    const actions = {
      ArrowLeft: () => step(Math.max(at - stride, from)),
      ArrowRight: () => step(Math.min(at + stride, to)),
      Home: () => step(from),
      End: () => step(to),
      "+": () => zoom([at - wide / 4, at + wide / 4]),
      "-": () => zoom([at - wide, at + wide]),
      0: () => zoom(null, chart),
      Escape: () => zoom(null, chart),
      l: () => switchLog(chart),
    };
    const step = (to) => {
      point(chart, to, null);
      spoken.textContent = chart.hover.innerText;
    };
    const action = actions[event.key === "=" ? "+" : event.key];
    if (!action) return;
    event.preventDefault();
    action();
  }

  // ---- points as a file --------------------------------------------------------------------------------------------

  function save(figure) {
    const text = ["curve,step,value,low,high"];
    for (const line of lines(figure)) {
      line.steps.forEach((step, index) => {
        const band = line.low ? [line.low[index], line.high[index]] : ["", ""];
        text.push([`"${called(line)}"`, step, line.values[index] ?? "NaN", ...band].join(","));
      });
    }
    const link = element("a", { download: `${figure.key.replace(/[^\w.-]+/g, "_")}.csv` });
    link.href = URL.createObjectURL(new Blob([`${text.join("\n")}\n`], { type: "text/csv" }));
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  // ---- controls ----------------------------------------------------------------------------------------------------

  const legend = document.getElementById("legend");

  function highlight(branch) {
    if (highlighted === branch) return;
    highlighted = branch;
    for (const drawn of document.querySelectorAll("[data-branch]")) {
      drawn.classList.toggle("dim", branch !== null && Number(drawn.dataset.branch) !== branch);
    }
    charts.forEach((chart) => chart.plot?.redraw(false, true));
  }

  function switched() {
    for (const drawn of document.querySelectorAll("svg [data-branch]")) {
      drawn.classList.toggle("off", !branchIsOn(Number(drawn.dataset.branch)));
    }
    makeLegend();
    redraw();
  }

  // Only this one; again, and all are back.
  function only(list, item, all) {
    const others = all.filter((other) => other !== item);
    return others.every((other) => list.includes(other)) && !list.includes(item) ? [] : others;
  }

  function entry(name, mark, isOn, onclick, onlyThis, touched = {}) {
    const main = button("", onclick, { "aria-pressed": isOn, title: name });
    main.append(...mark, name);
    return element("li", touched, main, button("only", onlyThis, { class: "plain", "aria-label": `only ${name}` }));
  }

  function makeLegend() {
    const focused = document.activeElement?.closest("#legend") ? [...legend.querySelectorAll("button, select, input")].indexOf(document.activeElement) : -1;
    const branches = data.branches.map((_, branch) => branch);
    const seeds = [...new Set(data.leaves.map((leaf) => leaf.seed))].filter((seed) => seed !== null);
    const list = element("ul", { class: "branches" });
    for (const branch of branches) {
      const { name, reference } = data.branches[branch];
      const touched = {
        onmouseenter: () => highlight(branch),
        onmouseleave: () => highlight(null),
        onfocusin: () => highlight(branch),
        onfocusout: () => highlight(null),
      };
      const all = () => ((view.hiddenBranches = only(view.hiddenBranches, branch, branches)), switched());
      const one = () => ((view.hiddenBranches = toggled(view.hiddenBranches, branch)), switched());
      const row = entry(name, [swatch(branch)], branchIsOn(branch), one, all, touched);
      if (reference) row.children[0].append(element("span", { class: "soft" }, " reference"));
      list.append(row);
      if (view.seeds && branchIsOn(branch) && seeds.length > 1) list.append(leafEntries(branch));
    }
    legend.replaceChildren(
      element("h4", {}, "Branches"),
      list,
      valueControls(seeds),
      element("div", { class: "controls" }, element("h4", {}, "Steps"), element("div", { class: "row", id: "zoom" }), element("h4", {}, "Stages under the curves"), stageChoice()),
      element("p", { class: "help" }, "Drag to zoom, double click for the whole. In a chart, arrow keys read values, ", element("kbd", {}, "+"), " ", element("kbd", {}, "\u2212"), " zoom, ", element("kbd", {}, "0"), " is the whole, ", element("kbd", {}, "l"), " the log scale."),
    );
    zoomState();
    if (focused >= 0) legend.querySelectorAll("button, select, input")[focused]?.focus();
  }

  function leafEntries(branch) {
    const list = element("ul", { class: "leaves" });
    const leaves = data.leaves.map((_, leaf) => leaf);
    data.leaves.forEach((leaf, index) => {
      if (leaf.branch !== branch) return;
      const one = () => ((view.hiddenLeaves = toggled(view.hiddenLeaves, index)), switched());
      const all = () => ((view.hiddenLeaves = only(view.hiddenLeaves, index, leaves)), switched());
      list.append(entry(`#${leaf.seed}`, [], leafIsOn(index), one, all));
    });
    return list;
  }

  function valueControls(seeds) {
    const several = data.leaves.length > data.branches.length;
    const choose = (single) => () => ((view.seeds = single), switched());
    const extremes = element("input", { type: "checkbox", onchange: () => ((view.extremes = !view.extremes), redraw()) });
    extremes.checked = view.extremes;
    const box = element(
      "div",
      { class: "controls" },
      element("h4", {}, "Curves"),
      element(
        "div",
        { class: "row" },
        button(several ? "mean, interval" : "means", choose(false), { "aria-pressed": !view.seeds }),
        button(several ? "single seeds" : "as logged", choose(true), { "aria-pressed": view.seeds }),
      ),
    );
    if (!view.seeds) box.append(element("label", {}, extremes, "lowest and highest value"));
    if (view.seeds && seeds.length > 1) box.append(element("div", { class: "row seeds" }, ...seeds.map(seedSwitch)));
    return box;
  }

  function seedSwitch(seed) {
    const flip = () => ((view.hiddenSeeds = toggled(view.hiddenSeeds, seed)), switched());
    return button(`#${seed}`, flip, { "aria-pressed": !view.hiddenSeeds.includes(seed) });
  }

  function stageChoice() {
    const choice = element("select", { "aria-label": "stages under the curves", onchange: () => ((view.stages = Number(choice.value)), redraw()) });
    rows.forEach((row) => {
      const option = element("option", { value: row.branches[0] }, named(row.branches));
      option.selected = row.branches.includes(view.stages);
      choice.append(option);
    });
    const none = element("option", { value: -1 }, "none");
    none.selected = view.stages === -1;
    choice.append(none);
    return choice;
  }

  function zoomState() {
    const place = document.getElementById("zoom");
    if (!place) return;
    const fork = data.forks[0];
    const buttons = [button("whole lineage", () => zoom(null), { "aria-pressed": view.range === null })];
    if (fork !== undefined && fork > data.from) {
      const isOn = view.range !== null && view.range[0] === fork && view.range[1] === data.to;
      buttons.push(button("from the fork", () => zoom([fork, data.to]), { "aria-pressed": isOn }));
    }
    if (view.range) buttons.push(element("span", { class: "soft" }, `${grouped(view.range[0])} to ${grouped(view.range[1])}`));
    place.replaceChildren(...buttons);
  }

  const isShown = (figure) => view.shown[figure.key] ?? figure.shown;

  function makeCharts() {
    const place = document.getElementById("charts");
    place.replaceChildren();
    charts.push(strip());
    place.append(charts[0].box);
    for (const group of new Set(data.figures.map((figure) => figure.group))) {
      const figures = data.figures.filter((figure) => figure.group === group);
      const head = element("div", { class: "group" }, element("h3", {}, group));
      place.append(head);
      for (const figure of figures) {
        const chart = charting(figure);
        charts.push(chart);
        place.append(chart.box);
        const choose = button(figure.title, () => ((view.shown[figure.key] = !isShown(figure)), showChart(chart, choose), remember()), { class: "plain" });
        head.append(choose);
        showChart(chart, choose);
      }
      if (figures.length === 1) head.querySelector("button").remove();
    }
    build(charts[0]);
    const watch = new ResizeObserver(() => charts.forEach((chart) => chart.plot && resized(chart)));
    watch.observe(place);
  }

  function showChart(chart, choose) {
    const isOn = isShown(chart.figure);
    choose.setAttribute("aria-pressed", isOn);
    chart.box.classList.toggle("off", !isOn);
    chart.log.setAttribute("aria-pressed", isLog(chart.figure));
    if (isOn) build(chart);
    else chart.plot?.destroy();
    if (!isOn) chart.plot = null;
  }

  function resized(chart) {
    const width = chart.place.clientWidth;
    if (width > 0 && width !== chart.plot.width) chart.plot.setSize({ width, height: chart.height });
  }

  // ---- tables ------------------------------------------------------------------------------------------------------

  function sortable(table) {
    const body = table.tBodies[0];
    const value = (row, column) => {
      const cell = row.cells[column];
      const number = cell.dataset.value;
      return number === undefined ? cell.textContent : number === "" ? -Infinity : Number(number);
    };
    table.querySelectorAll("thead th").forEach((heading, column) => {
      if (heading.textContent === "" || heading.hasAttribute("data-fixed")) return;
      const sort = button("", () => {
        const down = heading.getAttribute("aria-sort") === "descending";
        table.querySelectorAll("th").forEach((other) => other.removeAttribute("aria-sort"));
        heading.setAttribute("aria-sort", down ? "ascending" : "descending");
        const order = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true }));
        const sorted = [...body.rows].sort((a, b) => order(value(a, column), value(b, column)) * (down ? 1 : -1));
        body.append(...sorted);
      });
      sort.append(...heading.childNodes);
      heading.append(sort);
    });
  }

  // ---- theme, printing, reloading ----------------------------------------------------------------------------------

  function applyTheme() {
    if (view.theme) page.dataset.theme = view.theme;
    else delete page.dataset.theme;
    repaint();
  }

  function repaint() {
    readColours();
    charts.forEach((chart) => chart.plot?.redraw(false, true));
  }

  function makeTheme() {
    const switcher = document.getElementById("theme");
    const isDark = () => (view.theme ? view.theme === "dark" : dark.matches);
    const say = () => (switcher.textContent = isDark() ? "light" : "dark");
    switcher.hidden = false;
    switcher.addEventListener("click", () => {
      view.theme = isDark() ? "light" : "dark";
      applyTheme();
      say();
      remember();
    });
    dark.addEventListener("change", () => (say(), repaint()));
    paper.addEventListener("change", () => (repaint(), charts.forEach((chart) => chart.plot && resized(chart))));
    say();
  }

  // While the run is incomplete the file is written anew from time to time.
  function makeReload() {
    const place = document.getElementById("reload");
    if (!place) return;
    const box = element("input", { type: "checkbox", onchange: () => ((view.reload = box.checked), remember()) });
    box.checked = view.reload;
    place.append(element("label", {}, box, "reload every 30 seconds"), button("reload now", () => location.reload()));
    setInterval(() => view.reload && !document.hidden && location.reload(), 30000);
  }

  if (data.branches.length > 0 && data.figures.length > 0) {
    if (view.stages >= data.branches.length) view.stages = data.focus;
    applyTheme();
    makeLegend();
    makeCharts();
    switched();
  } else {
    applyTheme();
  }
  makeTheme();
  makeReload();
  document.querySelectorAll("table.sortable").forEach(sortable);
})();

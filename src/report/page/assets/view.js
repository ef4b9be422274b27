// The page of a report. Without this script it shows tables and still figures; with it, curves that can be looked into.
//
// A figure is a list of strands: stretches of the lineage that a set of branches passes together. A strand has one series
// for each history that differs (values as logged, downsampled so that extremes stay), and for curves of updates their
// mean over the seeds, in bins. A leaf's curve is the strands on its way. uPlot draws axes and minds the mouse; the
// lines are drawn here, because each has steps of its own.
//
// The script is one function, written in the order in which `html.rs` joins its files: view, drawing, charts, reading,
// controls. What stands at the top of one is known in all; constants from there on.
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

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

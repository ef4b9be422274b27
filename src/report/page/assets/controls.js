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

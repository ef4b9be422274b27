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

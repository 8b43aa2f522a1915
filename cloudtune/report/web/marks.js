// The marks of a chart on a canvas: points, lines, bands, bars, boxes.

const DASHES = { solid: [], dot: [1.5, 4], dash: [7, 4] };

/** The colours of the page: states and texts. */
export function palette(element) {
  const style = getComputedStyle(element);
  const names = ["blue", "green", "amber", "red", "grey", "ink", "soft", "line", "panel", "ground"];
  return Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim() || "#888"]));
}

const SHAPES = {
  circle: (c, x, y, r) => { c.moveTo(x + r, y); c.arc(x, y, r, 0, 2 * Math.PI); },
  triangle: (c, x, y, r) => polygon(c, [[x - r, y - r * 0.8], [x + r, y - r * 0.8], [x, y + r]]),
  square: (c, x, y, r) => c.rect(x - r * 0.85, y - r * 0.85, r * 1.7, r * 1.7),
  diamond: (c, x, y, r) => polygon(c, [[x, y - r * 1.2], [x + r * 1.2, y], [x, y + r * 1.2], [x - r * 1.2, y]]),
  cross: (c, x, y, r) => { c.moveTo(x - r, y - r); c.lineTo(x + r, y + r); c.moveTo(x - r, y + r); c.lineTo(x + r, y - r); },
};

function polygon(context, corners) {
  corners.forEach(([x, y], index) => (index ? context.lineTo(x, y) : context.moveTo(x, y)));
  context.closePath();
}

/** One symbol, as in a chart and in its legend. */
export function symbol(context, series, colour, x, y) {
  const [shape, open] = (series.symbol ?? "circle").split("-");
  context.beginPath();
  SHAPES[shape](context, x, y, (series.size ?? 2) / 2);
  finish(context, shape, open, colour);
}

function finish(context, shape, open, colour) {
  if (shape === "cross" || open === "open") {
    context.strokeStyle = colour;
    context.lineWidth = open === "thin" ? 1.4 : shape === "cross" ? 2.2 : 1.6;
    context.stroke();
  } else {
    context.fillStyle = colour;
    context.fill();
  }
}

/** A pattern over a bar, so that states differ by more than colour. */
function hatch(context, kind, x, y, width, height) {
  if (!kind || width < 3) return;
  context.save();
  context.beginPath();
  context.rect(x, y, width, height);
  context.clip();
  context.strokeStyle = "rgba(255,255,255,0.45)";
  context.lineWidth = 1.2;
  context.beginPath();
  const step = 7;
  for (let at = x - height; at < x + width; at += step) {
    if (kind === "/" || kind === "x") { context.moveTo(at, y + height); context.lineTo(at + height, y); }
    if (kind === "x") { context.moveTo(at, y); context.lineTo(at + height, y + height); }
    if (kind === "." || kind === "+") { context.moveTo(at + step / 2, y); context.lineTo(at + step / 2, y + height); }
  }
  if (kind === "-" || kind === "+") for (let at = y + step / 2; at < y + height; at += step) { context.moveTo(x, at); context.lineTo(x + width, at); }
  context.stroke();
  context.restore();
}

function path(context, series, X, Y) {
  let open = false, before = 0;
  context.beginPath();
  for (let index = 0; index < series.x.length; index += 1) {
    const value = series.y[index];
    if (value === null || series.x[index] === null) { open = false; continue; }
    const x = X(series.x[index]), y = Y(value);
    if (!open) context.moveTo(x, y);
    else {
      if (series.mark === "steps") context.lineTo(x, before);
      context.lineTo(x, y);
    }
    [open, before] = [true, y];
  }
}

function whisker(context, colours, from, to, across, lying) {
  context.strokeStyle = colours.soft;
  context.lineWidth = 1.4;
  context.beginPath();
  for (const [x1, y1, x2, y2] of [[from, across, to, across], [from, across - 4, from, across + 4], [to, across - 4, to, across + 4]]) {
    context.moveTo(...(lying ? [x1, y1] : [y1, x1]));
    context.lineTo(...(lying ? [x2, y2] : [y2, x2]));
  }
  context.stroke();
}

const MARKS = {
  points(context, series, X, Y, colours) {
    const [shape, open] = (series.symbol ?? "circle").split("-"), draw = SHAPES[shape], radius = series.size / 2;
    (series.low ?? []).forEach((low, index) => whisker(context, colours, Y(low), Y(series.high[index]), X(series.x[index]), false));
    // The symbol is drawn once, and its picture put to each point: so ten thousand take a few milliseconds.
    const half = Math.ceil(radius * 1.3) + 2, sharpness = context.getTransform().a;
    const stamp = document.createElement("canvas");
    stamp.width = stamp.height = Math.ceil(2 * half * sharpness);
    const ink = stamp.getContext("2d");
    ink.scale(sharpness, sharpness);
    ink.beginPath();
    draw(ink, half, half, radius);
    finish(ink, shape, open, colours[series.colour ?? "blue"]);
    for (let index = 0; index < series.x.length; index += 1) {
      if (series.y[index] === null || series.x[index] === null) continue;
      context.drawImage(stamp, X(series.x[index]) - half, Y(series.y[index]) - half, 2 * half, 2 * half);
    }
  },
  line(context, series, X, Y, colours) {
    path(context, series, X, Y);
    context.setLineDash(DASHES[series.dash ?? "solid"]);
    context.lineCap = series.dash === "dot" ? "round" : "butt";
    context.lineJoin = "round";
    context.strokeStyle = colours[series.colour ?? "blue"];
    context.lineWidth = series.size ?? 2;
    context.stroke();
    context.setLineDash([]);
  },
  band(context, series, X, Y, colours) {
    polygonOf(context, series.x.map((x, index) => [X(x), Y(series.high[index])]), series.x.map((x, index) => [X(x), Y(series.low[index])]));
    context.fillStyle = colours[series.colour ?? "blue"];
    context.fill();
  },
  bars(context, series, X, Y, colours, { slot, slots }) {
    const full = Math.abs(Y(1) - Y(0)) * 0.7, height = full / slots;
    series.x.forEach((value, index) => {
      const top = Y(series.y[index]) - full / 2 + (slots - 1 - slot) * height, width = X(value) - X(0);
      context.fillStyle = colours[series.colour ?? "blue"];
      context.fillRect(X(0), top, width, height - 1);
      hatch(context, series.pattern, X(0), top, width, height - 1);
      if (series.low) whisker(context, colours, X(series.low[index]), X(series.high[index]), top + height / 2, true);
    });
  },
  spans(context, series, X, Y, colours) {
    const height = Math.max(1, Math.abs(Y(1) - Y(0)) * 0.82);
    context.font = "11px system-ui, sans-serif";
    context.textAlign = "center";
    context.textBaseline = "middle";
    series.y.forEach((row, index) => {
      const left = X(series.low[index]), width = Math.max(1, X(series.high[index]) - left - 1), top = Y(row) - height / 2;
      context.fillStyle = colours[series.colour ?? "blue"];
      context.fillRect(left, top, width, height);
      hatch(context, series.pattern, left, top, width, height);
      const text = String(series.trials?.[index] ?? "");
      if (height >= 11 && context.measureText(text).width + 6 < width) {
        context.fillStyle = colours.ground;
        context.fillText(text, left + width / 2, top + height / 2 + 1);
      }
    });
  },
  boxes(context, series, X, Y, colours) {
    const half = Math.abs(X(series.size) - X(0)) / 2;
    context.lineWidth = 1.2;
    series.x.forEach((place, index) => {
      const x = X(place), [low, middle, high] = [series.low[index], series.y[index], series.high[index]].map(Y);
      const alpha = context.globalAlpha;
      context.fillStyle = context.strokeStyle = colours[series.colour ?? "blue"];
      context.fillRect(x - half, high, 2 * half, low - high);
      context.globalAlpha = 0.9;
      context.strokeRect(x - half, high, 2 * half, low - high);
      context.beginPath();
      context.moveTo(x - half, middle); context.lineTo(x + half, middle);
      const [least, most] = series.far[index].map(Y);
      context.moveTo(x, low); context.lineTo(x, least);
      context.moveTo(x, high); context.lineTo(x, most);
      context.stroke();
      context.globalAlpha = alpha;
    });
  },
};
MARKS.steps = MARKS.line;

function polygonOf(context, there, back) {
  context.beginPath();
  polygon(context, [...there, ...back.reverse()]);
}

/** Draw a series. */
export function draw(context, series, X, Y, colours, place) {
  context.save();
  context.globalAlpha = series.opacity ?? 1;
  MARKS[series.mark](context, series, X, Y, colours, place);
  context.restore();
}

/** The points of a series that can be pointed at: x, y, trial. */
export function* targets(series) {
  const numbers = series.trials ?? [];
  if (series.mark === "points") for (let i = 0; i < series.x.length; i += 1) if (series.y[i] !== null) yield [series.x[i], series.y[i], numbers[i]];
  if (series.mark === "line" && numbers.length) for (let i = 0; i < series.x.length; i += 1) if (series.y[i] !== null) yield [series.x[i], series.y[i], numbers[0]];
  if (series.mark === "spans") for (let i = 0; i < series.y.length; i += 1) yield [(series.low[i] + series.high[i]) / 2, series.y[i], numbers[i], series.low[i], series.high[i]];
  if (series.mark === "bars") for (let i = 0; i < series.x.length; i += 1) yield [series.x[i], series.y[i], undefined, 0, series.x[i]];
}

/** All values of a series along an axis, for what is shown at first. */
export function* along(series, axis) {
  const lying = series.mark === "bars" || series.mark === "spans";
  yield* series[axis] ?? [];
  if ((axis === "x") === lying) {
    yield* series.low ?? [];
    yield* series.high ?? [];
    if (series.mark === "bars") yield 0;
  }
  if (axis === "y") for (const [low, high] of series.far ?? []) { yield low; yield high; }
}

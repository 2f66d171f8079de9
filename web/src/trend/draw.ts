// Draws the pens of a lane on uPlot's canvas. uPlot keeps scales, axes and the grid; lines are drawn here, because a pen has its own times, ends
// where nothing is known, and has bands where it was Bad or not recorded.
import type uPlot from 'uplot';
import type { Annotation } from '../api/annotations';
import type { Finding } from '../api/findings';
import type { Range } from '../model/time';
import { marksOf } from './marks';
import { ANNOTATION_COLOURS, penColour, penDash, type Theme } from './palette';
import type { Lane, Pen } from './lane';
import type { Trace } from './trace';
import type { Scale } from './view';

export interface Scene {
  readonly lane: Lane;
  readonly range: Range;
  readonly traces: ReadonlyMap<string, Trace>;
  readonly compared: ReadonlyMap<string, Trace>;
  readonly findings: readonly Finding[];
  /** Times of corrected samples, by tag. */
  readonly corrections: ReadonlyMap<string, readonly bigint[]>;
  readonly annotations: readonly Annotation[];
  readonly hidden: readonly string[];
  /** Kept, or null where the lane has the scale of its pens. */
  readonly scale: Scale | null;
  readonly theme: Theme;
}

export const ROW_HEIGHT = 36;
const ROW_LABEL = 15;
const DOT_SPACING = 9;
const FINDING_WIDTH_MIN = 3;
const SILENT_DASH = [3, 6];
const ANNOTATION_BAR = 4;

interface Frame {
  readonly context: CanvasRenderingContext2D;
  readonly box: { left: number; top: number; width: number; height: number };
  readonly scale: number;
  readonly x: (trace: Trace) => (offset: number) => number;
  readonly y: (value: number) => number;
}

/** The range of a lane's scale: its pens with some air, never less than a hundredth of a tag's own range. */
export function laneScale(scene: Scene): Scale {
  if (scene.scale) return scene.scale;
  let minimum = Number.POSITIVE_INFINITY;
  let maximum = Number.NEGATIVE_INFINITY;
  let least = 0;
  for (const pen of shownPens(scene)) {
    for (const trace of [scene.traces.get(pen.name), scene.compared.get(pen.name)]) {
      if (!trace) continue;
      minimum = Math.min(minimum, trace.minimum);
      maximum = Math.max(maximum, trace.maximum);
    }
    const { range_low: low, range_high: high } = pen.tag;
    if (low !== undefined && high !== undefined) least = Math.max(least, (high - low) / 100);
  }
  if (!Number.isFinite(minimum) || !Number.isFinite(maximum)) return [0, 1];
  const span = Math.max(maximum - minimum, least, Math.abs(maximum) * 1e-9, 1e-12);
  const air = (span - (maximum - minimum)) / 2 + span * 0.07;
  return maximum === minimum && least === 0 ? [minimum - (Math.abs(minimum) * 0.05 || 1), maximum + (Math.abs(maximum) * 0.05 || 1)] : [minimum - air, maximum + air];
}

function shownPens({ lane, hidden }: Scene): Pen[] {
  return lane.pens.filter((pen) => !hidden.includes(pen.name));
}

export function drawLane(plot: uPlot, scene: Scene): void {
  const context = plot.ctx;
  const box = plot.bbox;
  const span = Number(scene.range.end - scene.range.start);
  const [minimum, maximum] = [plot.scales['y']?.min ?? 0, plot.scales['y']?.max ?? 1];
  const frame: Frame = {
    context,
    box,
    scale: devicePixelRatio,
    x: (trace) => {
      const shift = Number(trace.origin - scene.range.start);
      return (offset) => box.left + ((offset + shift) / span) * box.width;
    },
    y: (value) => box.top + (1 - (value - minimum) / (maximum - minimum)) * box.height,
  };
  context.save();
  context.beginPath();
  context.rect(box.left, box.top, box.width, box.height);
  context.clip();
  context.textAlign = 'left';
  if (scene.lane.discrete) drawRows(frame, scene);
  else drawLines(frame, scene);
  if (isEmpty(scene)) drawNothing(frame, scene.theme);
  context.restore();
}

/** Whether every pen was answered, and with nothing. */
function isEmpty(scene: Scene): boolean {
  const traces = shownPens(scene).map((pen) => scene.traces.get(pen.name));
  return traces.length > 0 && traces.every((trace) => trace && trace.runs.length + trace.bands.length + trace.stretches.length === 0);
}

function drawNothing({ context, scale, box }: Frame, theme: Theme): void {
  context.font = `${12 * scale}px ${FONT}`;
  context.fillStyle = theme === 'dark' ? '#9da8b3' : '#56616b';
  context.textAlign = 'center';
  context.textBaseline = 'middle';
  context.fillText('no samples in this time', box.left + box.width / 2, box.top + box.height / 2);
}

function drawLines(frame: Frame, scene: Scene): void {
  const pens = shownPens(scene);
  const gaps = new Set<bigint>();
  for (const pen of pens) {
    const trace = scene.traces.get(pen.name);
    if (!trace) continue;
    // A gap of several pens is shaded once.
    const bands = trace.bands.filter((band) => band.kind === 'bad' || !gaps.has(trace.origin + BigInt(Math.round(band.from))));
    for (const band of bands) if (band.kind === 'gap') gaps.add(trace.origin + BigInt(Math.round(band.from)));
    drawBands(frame, { ...trace, bands }, penColour(scene.theme, pen.index), frame.box.top, frame.box.height, scene.theme);
  }
  for (const pen of pens) drawHighlights(frame, scene, pen);
  for (const pen of pens) {
    const place = scene.lane.pens.indexOf(pen);
    const colour = penColour(scene.theme, pen.index);
    const compared = scene.compared.get(pen.name);
    if (compared) {
      frame.context.globalAlpha = 0.55;
      drawRuns(frame, compared, colour, [2, 3], 1);
      frame.context.globalAlpha = 1;
    }
    const trace = scene.traces.get(pen.name);
    if (trace) {
      drawRuns(frame, trace, colour, penDash(place), 1.5);
      drawDots(frame, trace, colour);
    }
    drawFindings(frame, scene, pen);
    drawCorrections(frame, scene, pen);
  }
  for (const pen of pens) drawMarks(frame, scene, pen, frame.box.top, true);
}

/** Under the line, where a range of it is annotated: as a marker pen does. */
function drawHighlights(frame: Frame, { annotations, traces, theme, range }: Scene, pen: Pen): void {
  const trace = traces.get(pen.name);
  const ranges = marksOf(annotations, pen.name, undefined).filter(({ kind }) => kind === 'range');
  if (!trace || ranges.length === 0) return;
  const { context, box } = frame;
  const x = timeScale(frame, range);
  context.save();
  context.beginPath();
  for (const { annotation } of ranges) context.rect(x(annotation.start), box.top, x(annotation.end) - x(annotation.start), box.height);
  context.clip();
  context.globalAlpha = theme === 'dark' ? 0.35 : 0.6;
  drawRuns(frame, trace, ANNOTATION_COLOURS[theme].fill, [], 9);
  context.restore();
}

/** A bar at the upper edge for each range, a diamond for each moment: on the line where there is one. */
function drawMarks(frame: Frame, { annotations, traces, theme, range }: Scene, pen: Pen, top: number, onLine: boolean): void {
  const { context, scale, box } = frame;
  const x = timeScale(frame, range);
  const { fill, edge } = ANNOTATION_COLOURS[theme];
  context.fillStyle = fill;
  context.strokeStyle = edge;
  context.lineWidth = scale;
  context.setLineDash([]);
  for (const { annotation, kind, value } of marksOf(annotations, pen.name, traces.get(pen.name))) {
    const left = Math.max(box.left, x(annotation.start));
    context.beginPath();
    if (kind === 'range') {
      context.rect(left, top, Math.max(2 * scale, Math.min(box.left + box.width, x(annotation.end)) - left), ANNOTATION_BAR * scale);
    } else {
      const size = 6 * scale;
      const y = onLine && value !== null ? frame.y(value) : top + size;
      context.moveTo(left, y - size);
      context.lineTo(left + size, y);
      context.lineTo(left, y + size);
      context.lineTo(left - size, y);
      context.closePath();
    }
    context.fill();
    context.stroke();
  }
}

function timeScale({ box }: Frame, range: Range): (time: bigint) => number {
  const span = Number(range.end - range.start);
  return (time) => box.left + (Number(time - range.start) / span) * box.width;
}

/** A bar at the foot of the lane, and a faint column over it. */
function drawFindings(frame: Frame, { findings, range, theme }: Scene, pen: Pen): void {
  const { context, box, scale } = frame;
  const x = timeScale(frame, range);
  context.fillStyle = theme === 'dark' ? '#ff8a80' : '#b3261e';
  for (const finding of findings) {
    if (finding.tag !== pen.name || finding.end < range.start || finding.start > range.end) continue;
    const left = x(finding.start);
    const width = Math.max(FINDING_WIDTH_MIN * scale, x(finding.end) - left);
    context.globalAlpha = 0.1;
    context.fillRect(left, box.top, width, box.height);
    context.globalAlpha = 1;
    context.fillRect(left, box.top + box.height - 4 * scale, width, 4 * scale);
  }
}

/** A small triangle in the colour of the pen at the top of the lane. */
function drawCorrections(frame: Frame, { corrections, range, theme }: Scene, pen: Pen): void {
  const { context, box, scale } = frame;
  const x = timeScale(frame, range);
  context.fillStyle = penColour(theme, pen.index);
  for (const time of corrections.get(pen.name) ?? []) {
    context.beginPath();
    context.moveTo(x(time), box.top + 7 * scale);
    context.lineTo(x(time) - 4 * scale, box.top);
    context.lineTo(x(time) + 4 * scale, box.top);
    context.fill();
  }
}

function drawRuns(frame: Frame, trace: Trace, colour: string, dash: readonly number[], width: number): void {
  const { context, scale } = frame;
  const x = frame.x(trace);
  context.strokeStyle = colour;
  context.lineJoin = 'round';
  for (const run of trace.runs) {
    // A highlight is one broad stroke, whatever the line in it is.
    const own = width > 2 ? [] : run.silentNs > 0 ? SILENT_DASH : run.uncertain ? [2, 3] : dash;
    context.lineWidth = (width > 2 ? width : run.silentNs > 0 ? 0.9 : run.uncertain ? 1.2 : width) * scale;
    context.setLineDash(own.map((length) => length * scale));
    context.beginPath();
    run.xs.forEach((offset, at) => {
      if (at === 0) context.moveTo(x(offset), frame.y(run.ys[0] ?? 0));
      else context.lineTo(x(offset), frame.y(run.ys[at] ?? 0));
    });
    context.stroke();
  }
  context.setLineDash([]);
}

/** Samples as dots where there are few, and always those that no line passes through. */
function drawDots(frame: Frame, trace: Trace, colour: string): void {
  const { context, scale, box } = frame;
  const x = frame.x(trace);
  const inside = trace.dots.xs.filter((offset) => x(offset) >= box.left && x(offset) <= box.left + box.width).length;
  const lonely = new Set(trace.runs.filter((run) => run.xs.length === 1).map((run) => run.xs[0]));
  const all = inside > 0 && box.width / scale / inside >= DOT_SPACING;
  if (!all && lonely.size === 0) return;
  context.fillStyle = colour;
  trace.dots.xs.forEach((offset, at) => {
    if (!all && !lonely.has(offset)) return;
    context.beginPath();
    context.arc(x(offset), frame.y(trace.dots.ys[at] ?? 0), 2.2 * scale, 0, 2 * Math.PI);
    context.fill();
  });
}

function drawBands(frame: Frame, trace: Trace, colour: string, top: number, height: number, theme: Theme): void {
  const { context, scale, box } = frame;
  const x = frame.x(trace);
  for (const band of trace.bands) {
    const left = Math.max(box.left, x(band.from));
    const right = Math.min(box.left + box.width, Math.max(x(band.to), x(band.from) + scale));
    if (right <= box.left || left >= box.left + box.width) continue;
    context.save();
    context.beginPath();
    context.rect(left, top, right - left, height);
    context.clip();
    if (band.kind === 'bad') {
      context.globalAlpha = 0.1;
      context.fillStyle = colour;
      context.fillRect(left, top, right - left, height);
      context.globalAlpha = 0.4;
      hatch(context, left, top, right, height, colour, scale);
    } else {
      context.globalAlpha = 0.09;
      context.fillStyle = theme === 'dark' ? '#ffffff' : '#000000';
      context.fillRect(left, top, right - left, height);
    }
    context.globalAlpha = 1;
    context.fillStyle = theme === 'dark' ? '#e8ebef' : '#20262c';
    drawReason(frame, band.kind === 'bad' ? band.reason : `No data: ${band.reason}`, left, top, right - left, height);
    context.restore();
  }
}

/** The reason of a band: along it where it fits, else upwards, else not at all. */
function drawReason({ context, scale }: Frame, reason: string, left: number, top: number, width: number, height: number): void {
  const margin = 5 * scale;
  context.font = `${11 * scale}px ${FONT}`;
  const length = context.measureText(reason).width + 2 * margin;
  if (length <= width) {
    context.textBaseline = 'top';
    context.fillText(reason, left + margin, top + 4 * scale);
  } else if (length <= height && width >= 14 * scale) {
    context.textBaseline = 'middle';
    context.translate(left + width / 2, top + height - margin);
    context.rotate(-Math.PI / 2);
    context.fillText(reason, 0, 0);
  }
}

function hatch(context: CanvasRenderingContext2D, left: number, top: number, right: number, height: number, colour: string, scale: number): void {
  const step = 7 * scale;
  context.strokeStyle = colour;
  context.lineWidth = scale;
  context.setLineDash([]);
  context.beginPath();
  for (let at = Math.floor((left - height) / step) * step; at < right; at += step) {
    context.moveTo(at, top + height);
    context.lineTo(at + height, top);
  }
  context.stroke();
}

/** A row per pen: its name, and below it blocks with the states in words. */
function drawRows(frame: Frame, scene: Scene): void {
  const { context, scale, box } = frame;
  context.font = `${11 * scale}px ${FONT}`;
  shownPens(scene).forEach((pen, row) => {
    const trace = scene.traces.get(pen.name);
    const colour = penColour(scene.theme, pen.index);
    const top = box.top + row * ROW_HEIGHT * scale;
    const barTop = top + ROW_LABEL * scale;
    const barHeight = (ROW_HEIGHT - ROW_LABEL - 4) * scale;
    context.fillStyle = scene.theme === 'dark' ? '#c9d1d9' : '#3a434b';
    context.textBaseline = 'top';
    context.fillText(pen.name, box.left + 4 * scale, top + 3 * scale);
    drawMarks(frame, scene, pen, barTop - ANNOTATION_BAR * scale, false);
    if (!trace) return;
    drawBands(frame, trace, colour, barTop, barHeight, scene.theme);
    const x = frame.x(trace);
    for (const stretch of trace.stretches) {
      const left = Math.max(box.left, x(stretch.from));
      const right = Math.min(box.left + box.width, x(stretch.to));
      if (right <= left) continue;
      const level = typeof stretch.value === 'number' ? stretch.value : 1;
      context.globalAlpha = level === 0 ? 0.12 : 0.28 + 0.1 * (level % 4);
      context.fillStyle = colour;
      context.fillRect(left, barTop, right - left, barHeight);
      context.globalAlpha = 1;
      context.fillRect(left, barTop, Math.min(scale, right - left), barHeight);
      const label = typeof stretch.value === 'number' ? (pen.states[stretch.value] ?? String(stretch.value)) : stretch.value;
      if (right - left > (label.length * 6.5 + 10) * scale) {
        context.fillStyle = scene.theme === 'dark' ? '#f4f6f8' : '#14181c';
        context.textBaseline = 'middle';
        context.fillText(label, left + 5 * scale, barTop + barHeight / 2);
        context.textBaseline = 'top';
      }
    }
  });
}

export const FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, sans-serif';

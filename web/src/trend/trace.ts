// From samples to what is drawn: runs of a line that end where nothing is known, and bands where a tag was Bad or not recorded.
//
// A stepped tag gets its corners here, so that two neighbouring points of a run always share their time or their value. Times are offsets in
// nanoseconds from the trace's own origin: a float holds them exactly for a quarter of a year. A sloped tag that was silent for unusually long
// has a run of its own there: the straight line that the engine answers, of which the drawing says that nothing was reported.
import { gapReason, isFilling } from '../model/gap';
import { isAbsent, isInterpolated, qualityName, severity } from '../model/quality';
import type { Points } from '../api/plot';
import type { Gap } from '../api/messages';
import type { Silence } from './silence';

export interface Run {
  readonly uncertain: boolean;
  /** For how long nothing was reported where that is unusual, in nanoseconds; otherwise 0. Such a run is one line between two points. */
  readonly silentNs: number;
  readonly xs: number[];
  readonly ys: number[];
}

export interface Band {
  readonly kind: 'bad' | 'gap';
  /** Offsets in nanoseconds; the end is where the next known value is, or the end of what was asked. */
  readonly from: number;
  readonly to: number;
  readonly reason: string;
}

/** A stretch of one value: rows of discrete pens. */
export interface Stretch {
  readonly from: number;
  readonly to: number;
  readonly value: number | string;
  readonly uncertain: boolean;
}

export interface Trace {
  readonly origin: bigint;
  readonly runs: readonly Run[];
  readonly bands: readonly Band[];
  readonly stretches: readonly Stretch[];
  /** Offsets and values of the samples themselves, without interpolated edges. */
  readonly dots: { readonly xs: readonly number[]; readonly ys: readonly number[] };
  readonly minimum: number;
  readonly maximum: number;
}

export interface TraceOptions {
  readonly stepped: boolean;
  readonly discrete: boolean;
  /** Until when the last value is held. */
  readonly end: bigint;
  readonly gaps: readonly LedgerGap[];
  /** Of a sloped tag. */
  readonly silence: Silence;
}

export interface LedgerGap {
  readonly start: bigint;
  readonly end: bigint | null;
  readonly reason: string;
}

/** Gaps of the ledger that concern a tag. */
export function gapsOf(ledger: readonly Gap[], tag: string): LedgerGap[] {
  return ledger
    // One that ends where it begins turned out to be none.
    .filter((gap) => gap.start !== undefined && gap.start !== gap.end && !isFilling(gap.reason) && (!gap.tag || gap.tag === tag))
    .map((gap) => ({
      start: BigInt(gap.start ?? '0'),
      end: gap.end === undefined ? null : BigInt(gap.end),
      reason: gapReason(gap.reason),
    }));
}

export function traceOf(points: Points, options: TraceOptions): Trace {
  const { times, values, qualities, texts } = points;
  const count = times.length;
  const origin = times[0] ?? 0n;
  const offset = (time: bigint) => Number(time - origin);
  const end = offset(options.end);
  const runs: Run[] = [];
  const bands: Band[] = [];
  const stretches: Stretch[] = [];
  const dots = { xs: [] as number[], ys: [] as number[] };
  let minimum = Number.POSITIVE_INFINITY;
  let maximum = Number.NEGATIVE_INFINITY;
  let run: Run | null = null;

  const known = (row: number): boolean =>
    severity(qualities[row] ?? 0) !== 'bad' && (texts ? typeof texts[row] === 'string' : !Number.isNaN(values[row] ?? Number.NaN));
  const uncertainAt = (row: number): boolean => severity(qualities[row] ?? 0) === 'uncertain';
  /** How far the samples are apart between which a row and the next one lie: at an edge, those beyond it. */
  const spacing = (row: number): number => {
    const { before, after } = options.silence;
    const [from, to] = [times[row] ?? 0n, times[row + 1] ?? 0n];
    const left = before !== null && before < from && isInterpolated(qualities[row] ?? 0) ? before : from;
    const right = after !== null && after > to && isInterpolated(qualities[row + 1] ?? 0) ? after : to;
    return Number(right - left);
  };
  const begin = (uncertain: boolean, silentNs: number, x: number, y: number): Run => {
    const next: Run = { uncertain, silentNs, xs: [x], ys: [y] };
    runs.push(next);
    return next;
  };
  const extend = (into: Run, x: number, y: number): void => {
    into.xs.push(x);
    into.ys.push(y);
  };

  for (let row = 0; row < count; row++) {
    const x = offset(times[row] ?? 0n);
    const isLast = row + 1 >= count;
    const until = isLast ? Math.max(end, x) : offset(times[row + 1] ?? 0n);
    if (!known(row)) {
      addBand(bands, bandOf(times[row] ?? 0n, qualities[row] ?? 0, x, until, options.gaps));
      run = null;
      continue;
    }
    const y = values[row] ?? Number.NaN;
    const uncertain = uncertainAt(row);
    if (options.discrete) {
      addStretch(stretches, { from: x, to: until, value: texts?.[row] ?? y, uncertain });
      continue;
    }
    if (y < minimum) minimum = y;
    if (y > maximum) maximum = y;
    if (!isInterpolated(qualities[row] ?? 0)) {
      dots.xs.push(x);
      dots.ys.push(y);
    }
    const nextKnown = !isLast && known(row + 1);
    const silentNs = !options.stepped && nextKnown && spacing(row) > options.silence.longer ? spacing(row) : 0;
    if (!run) run = begin(uncertain || (!options.stepped && nextKnown && uncertainAt(row + 1)), silentNs, x, y);
    if (!options.stepped && !nextKnown) {
      // A line ends at its last sample; what a sloped tag does after that nobody knows.
      if (isLast && until > x) extend(run.uncertain && run.silentNs === 0 ? run : begin(true, 0, x, y), until, y);
      run = null;
      continue;
    }
    const segmentUncertain = options.stepped ? uncertain : uncertain || uncertainAt(row + 1);
    if (segmentUncertain !== run.uncertain || silentNs !== run.silentNs || (silentNs > 0 && run.xs.length > 1)) {
      run = begin(segmentUncertain, silentNs, x, y);
    }
    if (options.stepped) {
      extend(run, until, y);
      if (nextKnown) extend(run, until, values[row + 1] ?? y);
      else run = null;
    } else {
      extend(run, until, values[row + 1] ?? y);
    }
  }
  return { origin, runs, bands, stretches, dots, minimum, maximum };
}

/** The historian marks where a recorded gap begins with a Bad sample, or the answer with a row that says that there is no data. */
function bandOf(time: bigint, quality: number, from: number, to: number, gaps: readonly LedgerGap[]): Band {
  const gap = gaps.find(({ start, end }) => time === start || (isAbsent(quality) && start < time && (end === null || time < end)));
  if (gap) return { kind: 'gap', from, to, reason: gap.reason };
  if (severity(quality) !== 'bad') return { kind: 'bad', from, to, reason: 'not a number' };
  return { kind: 'bad', from, to, reason: qualityName(quality) };
}

function addBand(bands: Band[], band: Band): void {
  const last = bands.at(-1);
  if (last && last.to === band.from && last.kind === band.kind && last.reason === band.reason) bands[bands.length - 1] = { ...last, to: band.to };
  else bands.push(band);
}

function addStretch(stretches: Stretch[], stretch: Stretch): void {
  const last = stretches.at(-1);
  if (last && last.to === stretch.from && last.value === stretch.value && last.uncertain === stretch.uncertain) {
    stretches[stretches.length - 1] = { ...last, to: stretch.to };
  } else {
    stretches.push(stretch);
  }
}

export interface Reading {
  readonly value: number | string | null;
  /** Why there is no value. */
  readonly reason: string;
  readonly uncertain: boolean;
  /** On the line over a silence: how long nothing was reported, in nanoseconds; otherwise 0. */
  readonly silentNs: number;
}

/** What the drawing shows at an offset from the trace's origin: for the moving cursor, which asks nobody. */
export function readTrace(trace: Trace, at: number): Reading {
  const band = trace.bands.find((candidate) => candidate.from <= at && at < candidate.to);
  if (band) return { value: null, reason: band.kind === 'bad' ? `Bad: ${band.reason}` : `No data: ${band.reason}`, uncertain: false, silentNs: 0 };
  const stretch = trace.stretches.find((candidate) => candidate.from <= at && at < candidate.to);
  if (stretch) return { value: stretch.value, reason: '', uncertain: stretch.uncertain, silentNs: 0 };
  const run = trace.runs.findLast((candidate) => (candidate.xs[0] ?? Number.POSITIVE_INFINITY) <= at && at <= (candidate.xs.at(-1) ?? Number.NEGATIVE_INFINITY));
  if (!run) return { value: null, reason: '', uncertain: false, silentNs: 0 };
  let low = 0;
  let high = run.xs.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if ((run.xs[middle] ?? 0) <= at) low = middle;
    else high = middle - 1;
  }
  const [x, y] = [run.xs[low] ?? 0, run.ys[low] ?? Number.NaN];
  const [nextX, nextY] = [run.xs[low + 1], run.ys[low + 1]];
  const value = nextX === undefined || nextY === undefined || nextX === x ? y : y + ((nextY - y) * (at - x)) / (nextX - x);
  // On the samples at its ends something was reported.
  const inside = nextX !== undefined && at > x && at < nextX;
  return { value, reason: '', uncertain: run.uncertain, silentNs: inside ? run.silentNs : 0 };
}

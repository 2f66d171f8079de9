// The state of the Trend screen and its form in the address: whoever has the link has the view.
//
//     /?tag=NAME&tag=NAME…      pens, in their order
//       &start=TIME&end=TIME    as in the API: RFC 3339, or relative (*-8h, t, y+6h) in the zone; default *-8h and *
//       &live=1                 follow the clock; only with end=*
//       &zone=ZONE              UTC (default), local (of the browser), or an IANA name
//       &compare=DAYS           the same period so many calendar days earlier
//       &a=TIME&b=TIME          pinned cursors, RFC 3339
//       &find=DETECTOR          marks what a detector finds, with its default parameters
//       &scale=MIN:MAX:UNIT…    lanes whose scale is kept, by the unit of the catalog
//       &hide=NAME…             pens that are not drawn
//       &chart=1                only the chart, for embedding
import { formatRfc3339, isRelative, parseTime, type Range } from '../model/time';
import { resolveZone } from '../model/zone';

export type Scale = readonly [minimum: number, maximum: number];

export interface View {
  readonly tags: readonly string[];
  readonly hidden: readonly string[];
  readonly start: string;
  readonly end: string;
  readonly live: boolean;
  readonly zone: string;
  readonly compareDays: number;
  /** Empty for none. */
  readonly detector: string;
  /** Scales that are kept, by unit. */
  readonly scales: Readonly<Record<string, Scale>>;
  readonly a: bigint | null;
  readonly b: bigint | null;
  readonly chartOnly: boolean;
}

export const DEFAULT_VIEW: View = {
  tags: [], hidden: [], start: '*-8h', end: '*', live: false, zone: 'UTC', compareDays: 0, detector: '', scales: {}, a: null, b: null, chartOnly: false,
};

export const SPAN_MIN_NS = 1_000n;
const SPAN_MAX_NS = 200n * 365n * 86_400n * 1_000_000_000n;

export function parseView(search: string): View {
  const parameters = new URLSearchParams(search);
  const text = (name: string, otherwise: string) => parameters.get(name) || otherwise;
  const time = (name: string) => parseTime(parameters.get(name) ?? '', 'UTC', 0n);
  const end = text('end', DEFAULT_VIEW.end);
  return {
    tags: [...new Set(parameters.getAll('tag').filter(Boolean))],
    hidden: parameters.getAll('hide'),
    start: text('start', DEFAULT_VIEW.start),
    end,
    live: parameters.get('live') === '1' && end === '*',
    zone: text('zone', DEFAULT_VIEW.zone),
    compareDays: Math.max(0, Math.trunc(Number(parameters.get('compare') ?? 0))) || 0,
    detector: text('find', ''),
    scales: Object.fromEntries(parameters.getAll('scale').flatMap(parseScale)),
    a: time('a'),
    b: time('b'),
    chartOnly: parameters.get('chart') === '1',
  };
}

function parseScale(text: string): [unit: string, scale: Scale][] {
  const [, minimum, maximum, unit] = /^([^:]+):([^:]+):(.*)$/.exec(text) ?? [];
  const scale: Scale = [Number(minimum), Number(maximum)];
  return unit !== undefined && scale[0] < scale[1] ? [[unit, scale]] : [];
}

export function viewSearch(view: View): string {
  const parameters = new URLSearchParams();
  for (const tag of view.tags) parameters.append('tag', tag);
  parameters.set('start', view.start);
  parameters.set('end', view.end);
  if (view.live) parameters.set('live', '1');
  parameters.set('zone', view.zone);
  if (view.compareDays) parameters.set('compare', String(view.compareDays));
  if (view.detector) parameters.set('find', view.detector);
  for (const [unit, [minimum, maximum]] of Object.entries(view.scales)) parameters.append('scale', `${minimum}:${maximum}:${unit}`);
  if (view.a !== null) parameters.set('a', formatRfc3339(view.a));
  if (view.b !== null) parameters.set('b', formatRfc3339(view.b));
  for (const tag of view.hidden) parameters.append('hide', tag);
  if (view.chartOnly) parameters.set('chart', '1');
  return `?${parameters.toString().replaceAll('%2F', '/').replaceAll('%3A', ':').replaceAll('%2A', '*')}`;
}

/** The range that the view means at a moment, or what is wrong with its bounds. */
export function resolveRange(view: View, now: bigint): Range | string {
  const zone = resolveZone(view.zone);
  const start = parseTime(view.start, zone, now);
  const end = parseTime(view.end, zone, now);
  if (start === null) return `“${view.start}” is no time. Examples: *-8h, t+6h, 2026-01-31 06:00`;
  if (end === null) return `“${view.end}” is no time. Examples: *, t+6h, 2026-01-31 14:00`;
  if (end <= start) return 'The end must be after the start.';
  return { start, end };
}

/** A view of exactly this range, no longer following the clock. */
export function atRange(view: View, range: Range): View {
  return { ...view, start: formatRfc3339(range.start), end: formatRfc3339(range.end), live: false };
}

/** The same moment for whoever opens it later: no relative times. */
export function pinned(view: View, range: Range): View {
  return isRelative(view.start) || isRelative(view.end) ? atRange(view, range) : { ...view, live: false };
}

/** Keeps a range wide enough to be drawn and within what timestamps can say. */
export function clampRange(range: Range): Range {
  let { start, end } = range;
  const span = end - start;
  if (span < SPAN_MIN_NS) {
    start -= (SPAN_MIN_NS - span) / 2n;
    end = start + SPAN_MIN_NS;
  }
  if (end - start > SPAN_MAX_NS) start = end - SPAN_MAX_NS;
  const first = -9_000_000_000_000_000_000n;
  const last = 9_000_000_000_000_000_000n;
  return { start: start < first ? first : start, end: end > last ? last : end };
}

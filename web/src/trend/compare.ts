// Another period laid over the view: the same civil times so many days earlier, also where a day between has 23 or 25 hours.
import type { Points } from '../api/plot';
import { shiftDays, splitMs, type Range } from '../model/time';
import { offsetMs } from '../model/zone';

export function comparedRange(range: Range, zone: string, days: number): Range {
  return { start: shiftDays(range.start, zone, -days), end: shiftDays(range.end, zone, -days) };
}

/** Moves samples of the earlier period onto the view; those of an hour that the view's day does not have are left out. */
export function moveForward(points: Points, from: Range, onto: Range, zone: string, days: number): Points {
  const rows: number[] = [];
  const times: bigint[] = [];
  const even = evenShift(from, onto, zone);
  for (let row = 0; row < points.times.length; row++) {
    const time = points.times[row] ?? 0n;
    const moved = even === null ? shiftDays(time, zone, days) : time + even;
    if (even === null && shiftDays(moved, zone, -days) !== time) continue;
    if (times.length > 0 && moved <= (times.at(-1) ?? 0n)) continue;
    rows.push(row);
    times.push(moved);
  }
  return {
    times: BigInt64Array.from(times),
    values: Float64Array.from(rows, (row) => points.values[row] ?? Number.NaN),
    qualities: Uint32Array.from(rows, (row) => points.qualities[row] ?? 0),
    texts: points.texts ? rows.map((row) => points.texts?.[row] ?? null) : null,
  };
}

/** The one distance between the two periods, or null where a change of clocks lies in one of them. */
function evenShift(from: Range, onto: Range, zone: string): bigint | null {
  const offsets = new Set([from, onto].map(({ start, end }) => (hasChange(start, end, zone) ? Number.NaN : offsetMs(zone, splitMs(start)[0]))));
  if ([...offsets].some(Number.isNaN)) return null;
  return onto.start - from.start;
}

function hasChange(start: bigint, end: bigint, zone: string): boolean {
  const [first] = splitMs(start);
  const [last] = splitMs(end);
  const step = Math.max(86_400_000, (last - first) / 400);
  const offset = offsetMs(zone, first);
  for (let ms = first; ms < last; ms += step) if (offsetMs(zone, ms) !== offset) return true;
  return offsetMs(zone, last) !== offset;
}

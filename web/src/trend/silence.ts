// When a sloped tag was silent for longer than it usually is. A line over such a stretch is the engine's answer for it, but nothing was reported
// there, so it is drawn thinly and said in the readings.
import type { Points } from '../api/plot';
import type { Surroundings } from '../api/spacing';
import { isInterpolated, severity } from '../model/quality';

/** Longer than so many times the spacing that nine of ten do not exceed. */
const TIMES_USUAL = 5;
/** With fewer spacings a view does not tell what is usual, and the samples around it are asked for. */
const SPACINGS_MIN = 8;
const SPACINGS_LEAST = 2;

/** What counts as silence in a trace, in nanoseconds, and where the samples beyond its edges are. */
export interface Silence {
  readonly longer: number;
  readonly before: bigint | null;
  readonly after: bigint | null;
}

export const NEVER_SILENT: Silence = { longer: Number.POSITIVE_INFINITY, before: null, after: null };

/** Whether a view has too few samples of a tag. */
export function isSparse(points: Points): boolean {
  return spacingsOf(points).length < SPACINGS_MIN;
}

/** In a reduced answer the spacing of its points counts as that of the samples: it is wider, and what is longer than five of them is silence all the more. */
export function silenceOf(points: Points, around: Surroundings | undefined): Silence {
  let spacings = spacingsOf(points);
  if (spacings.length < SPACINGS_MIN && around) spacings = around.times.slice(1).map((time, at) => Number((around.times[at] ?? time) - time));
  if (spacings.length < SPACINGS_LEAST) return NEVER_SILENT;
  const sorted = Float64Array.from(spacings).sort();
  const usual = sorted[Math.floor((sorted.length - 1) * 0.9)] ?? 0;
  return { longer: usual * TIMES_USUAL, before: around?.before ?? null, after: around?.after ?? null };
}

/** Distances between neighbouring samples with values, in nanoseconds; edges and Bad runs are none. */
function spacingsOf({ times, values, qualities }: Points): number[] {
  const spacings: number[] = [];
  const sampled = (row: number) => !isInterpolated(qualities[row] ?? 0) && severity(qualities[row] ?? 0) !== 'bad' && !Number.isNaN(values[row] ?? Number.NaN);
  for (let row = 1; row < times.length; row++) if (sampled(row - 1) && sampled(row)) spacings.push(Number((times[row] ?? 0n) - (times[row - 1] ?? 0n)));
  return spacings;
}

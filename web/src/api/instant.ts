// What tags were at one moment, as the engine answers it: the sample that holds, or the point on the line.
import { formatRfc3339, parseTime } from '../model/time';
import { BAD_NO_DATA, severity } from '../model/quality';
import type { Value } from '../model/value';
import { fetchRows } from './rows';
import { requestJson } from './request';

export interface Instant {
  readonly value: Value;
  readonly quality: number;
  /** Of the last sample at or before the moment; null where there is none. */
  readonly sampled: bigint | null;
}

interface AsOfResponse {
  readonly samples?: readonly { readonly tag?: string; readonly timestamps?: readonly string[]; readonly qualities?: readonly number[] }[];
}

/** The last sample at or before a moment, whatever its quality; without one, `sampled` is null. */
export async function lastSamples(tags: readonly string[], time: bigint, signal?: AbortSignal): Promise<Map<string, Omit<Instant, 'value'>>> {
  const body = { tags, timestamps: [time.toString()], quality: 'QUALITY_FILTER_ANY' };
  const answer = await requestJson<AsOfResponse>('asof', { body, signal });
  return new Map((answer.samples ?? []).map((sample) => {
    const quality = Number(sample.qualities?.[0] ?? 0);
    const last = BigInt(sample.timestamps?.[0] ?? time);
    // Where there is no sample the row's own time stands with BadNoData.
    return [sample.tag ?? '', { quality, sampled: last === time && quality === BAD_NO_DATA ? null : last }];
  }));
}

/**
 * Values of tags at `time`. On a Bad sample, or after one, there is no value and its quality: a line across a Bad run would be a number that
 * nobody measured.
 */
export async function valuesAt(tags: readonly string[], time: bigint, signal?: AbortSignal): Promise<Map<string, Instant>> {
  const at = formatRfc3339(time);
  const [rows, last] = await Promise.all([
    fetchRows('range', { tags, start: at, end: formatRfc3339(time + 1n), layout: 'LAYOUT_WIDE', fill: 'FILL_LINEAR', step: '1s' }, signal),
    lastSamples(tags, time, signal),
  ]);
  return new Map(tags.map((tag): [string, Instant] => {
    const { quality, sampled } = last.get(tag) ?? { quality: BAD_NO_DATA, sampled: null };
    if (severity(quality) === 'bad') return [tag, { value: null, quality, sampled }];
    return [tag, { value: rows.data[tag]?.[0] ?? null, quality: Number(rows.data[`${tag}#quality`]?.[0] ?? BAD_NO_DATA), sampled }];
  }));
}

/** Times of the samples before and after a moment. */
export async function neighbours(tag: string, time: bigint, signal?: AbortSignal): Promise<[before: bigint | null, after: bigint | null]> {
  const rows = await fetchRows('range', {
    tags: [tag], start: formatRfc3339(time), end: formatRfc3339(time + 1n), boundary: 'BOUNDARY_OUTSIDE',
  }, signal);
  const times = (rows.data['timestamp'] ?? []).map((text) => parseTime(String(text), 'UTC', 0n) ?? 0n);
  return [times.findLast((other) => other < time) ?? null, times.find((other) => other > time) ?? null];
}

// The samples around a view that holds too few of them to tell how often its tags report.
import { formatRfc3339, parseTime, type Range } from '../model/time';
import { fetchRows } from './rows';

const SAMPLES = 33;
const FROM_THE_BEGINNING = '0001-01-01T00:00:00Z';
const TO_THE_END = '9999-12-31T00:00:00Z';

export interface Surroundings {
  /** Of the last samples before the end of the range, the latest first. */
  readonly times: readonly bigint[];
  /** Of the last sample before the range, if it is among them, and of the first one behind it. */
  readonly before: bigint | null;
  readonly after: bigint | null;
}

export async function surroundingsOf(tags: readonly string[], range: Range, signal?: AbortSignal): Promise<Map<string, Surroundings>> {
  const end = formatRfc3339(range.end);
  const [backwards, forwards] = await Promise.all([
    timesOf({ tags, start: end, end: FROM_THE_BEGINNING, limit: SAMPLES }, signal),
    timesOf({ tags, start: end, end: TO_THE_END, limit: 1 }, signal),
  ]);
  return new Map(tags.map((tag): [string, Surroundings] => {
    const times = backwards.get(tag) ?? [];
    return [tag, { times, before: times.find((time) => time < range.start) ?? null, after: forwards.get(tag)?.[0] ?? null }];
  }));
}

async function timesOf(body: unknown, signal?: AbortSignal): Promise<Map<string, bigint[]>> {
  const rows = await fetchRows('range', body, signal);
  const found = new Map<string, bigint[]>();
  for (let row = 0; row < rows.rows; row++) {
    const tag = String(rows.data['tag']?.[row]);
    const times = found.get(tag) ?? [];
    times.push(parseTime(String(rows.data['timestamp']?.[row]), 'UTC', 0n) ?? 0n);
    found.set(tag, times);
  }
  return found;
}

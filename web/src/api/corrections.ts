// Where samples were corrected: the timestamps that have versions which no longer count.
import { formatRfc3339, parseTime, type Range } from '../model/time';
import { fetchRows } from './rows';

const VERSIONS_MAX = 500;

/** Timestamps by tag, each once; of a tag with very many the first. */
export async function listCorrections(tags: readonly string[], range: Range, signal?: AbortSignal): Promise<Map<string, readonly bigint[]>> {
  const rows = await fetchRows('superseded', { tags, start: formatRfc3339(range.start), end: formatRfc3339(range.end), limit: VERSIONS_MAX }, signal);
  const found = new Map<string, Set<bigint>>();
  for (let row = 0; row < rows.rows; row++) {
    const tag = String(rows.data['tag']?.[row]);
    const times = found.get(tag) ?? new Set<bigint>();
    times.add(parseTime(String(rows.data['timestamp']?.[row]), 'UTC', 0n) ?? 0n);
    found.set(tag, times);
  }
  return new Map([...found].map(([tag, times]) => [tag, [...times]]));
}

// Aggregates of OPC UA Part 13 over one selection.
import { formatRfc3339, type Range } from '../model/time';
import type { Value } from '../model/value';
import { fetchRows } from './rows';

const FUNCTIONS = ['time_average', 'time_average2', 'minimum', 'maximum', 'percent_good'] as const;

export interface Statistics {
  readonly average: Value;
  readonly minimum: Value;
  readonly maximum: Value;
  readonly percentGood: Value;
}

/** Of each tag; the time-weighted average of a stepped tag lets values hold, as `time_average2` does. */
export async function statisticsOf(tags: ReadonlyMap<string, boolean>, range: Range, signal?: AbortSignal): Promise<Map<string, Statistics>> {
  const rows = await fetchRows('aggregate', {
    tags: [...tags.keys()], start: formatRfc3339(range.start), end: formatRfc3339(range.end), functions: FUNCTIONS,
  }, signal);
  const found = new Map<string, Map<string, Value>>();
  for (let row = 0; row < rows.rows; row++) {
    const tag = String(rows.data['tag']?.[row]);
    const functions = found.get(tag) ?? new Map<string, Value>();
    functions.set(String(rows.data['function']?.[row]), rows.data['value']?.[row] ?? null);
    found.set(tag, functions);
  }
  return new Map([...found].map(([tag, functions]): [string, Statistics] => [tag, {
    average: functions.get(tags.get(tag) ? 'time_average2' : 'time_average') ?? null,
    minimum: functions.get('minimum') ?? null,
    maximum: functions.get('maximum') ?? null,
    percentGood: functions.get('percent_good') ?? null,
  }]));
}

// Detectors and what they find.
import { formatRfc3339, parseTime, type Range } from '../model/time';
import type { Detector } from './messages';
import { requestJson } from './request';
import { fetchRows } from './rows';

export interface Finding {
  readonly tag: string;
  readonly start: bigint;
  readonly end: bigint;
  readonly score: number;
  readonly explanation: string;
}

export interface Question {
  readonly detector: string;
  readonly tags: readonly string[];
  /** Times of the API. */
  readonly start: string;
  readonly end: string;
  readonly parameters: Readonly<Record<string, string | number | boolean>>;
}

export async function listDetectors(signal?: AbortSignal): Promise<readonly Detector[]> {
  return (await requestJson<{ readonly detectors?: readonly Detector[] }>('detectors', { signal })).detectors ?? [];
}

/** In the order of the historian: by their ends. */
export async function fetchFindings(question: Question, signal?: AbortSignal): Promise<Finding[]> {
  const rows = await fetchRows('anomalies', { ...question, output: 'OUTPUT_FINDINGS' }, signal);
  const time = (column: string, row: number) => parseTime(String(rows.data[column]?.[row]), 'UTC', 0n);
  return Array.from({ length: rows.rows }, (_, row): Finding => {
    const start = time('start', row) ?? 0n;
    return {
      tag: String(rows.data['tag']?.[row]),
      start,
      end: time('end', row) ?? start,
      score: Number(rows.data['score']?.[row]),
      explanation: String(rows.data['explanation']?.[row] ?? ''),
    };
  });
}

export function inRange(detector: string, tags: readonly string[], range: Range): Question {
  return { detector, tags, start: formatRfc3339(range.start), end: formatRfc3339(range.end), parameters: {} };
}

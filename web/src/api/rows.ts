// Answers in JSON columns: what is read in small numbers and must be exact to the digit.
import type { Value } from '../model/value';
import { requestJson } from './request';

export interface Rows {
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly data: Readonly<Record<string, readonly Value[]>>;
  readonly rows: number;
}

export async function fetchRows(kind: string, body: unknown, signal?: AbortSignal): Promise<Rows> {
  return requestJson<Rows>(kind, { body, signal });
}

/** The value of a row in an answer of tags of several types: texts and 64-bit integers have columns of their own. */
export function cellOf(rows: Rows, index: number): Value {
  return rows.data['text']?.[index] ?? rows.data['integer']?.[index] ?? rows.data['value']?.[index] ?? null;
}

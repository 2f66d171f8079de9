// Samples for drawing, as Arrow: one request for the pens of a lane, decoded into typed columns per tag.
import { tableFromIPC, type Batch, type Column } from '@uwdata/flechette';
import { formatRfc3339, type Range } from '../model/time';
import { asInterpolated, isInterpolated, severity } from '../model/quality';
import { lastSamples } from './instant';
import { valueType, type Tag } from './messages';
import { shortestFloat32 } from '../model/value';
import { readBody, request } from './request';

/** Samples of one tag, in time order. */
export interface Points {
  readonly times: BigInt64Array;
  /** NaN where there is no number. */
  readonly values: Float64Array;
  /** Of string tags. */
  readonly texts: readonly (string | null)[] | null;
  readonly qualities: Uint32Array;
}

export const NO_POINTS: Points = { times: new BigInt64Array(0), values: new Float64Array(0), texts: null, qualities: new Uint32Array(0) };

const ARROW = 'application/vnd.apache.arrow.stream';

export async function fetchPlot(tags: readonly Tag[], range: Range, points: number, signal?: AbortSignal): Promise<Map<string, Points>> {
  const body = { tags: tags.map((tag) => tag.name), start: formatRfc3339(range.start), end: formatRfc3339(range.end), points };
  const response = await request('plot', { body, accept: ARROW, signal });
  const answer = decodePlot(new Uint8Array(await readBody(() => response.arrayBuffer())));
  for (const tag of tags) if (valueType(tag) === 'f32') answer.get(tag.name)?.values.forEach((value, row, values) => (values[row] = shortestFloat32(value)));
  await clearEdges(answer, range, signal);
  return answer;
}

/**
 * The value at an edge inside a Bad run lies on a line across it: nobody measured it, and it is taken away. At the right edge the row before
 * tells of the run; one that began before the left edge has to be asked for.
 */
async function clearEdges(answer: ReadonlyMap<string, Points>, range: Range, signal?: AbortSignal): Promise<void> {
  const doubtful: string[] = [];
  for (const [tag, { values, texts, qualities }] of answer) {
    const last = qualities.length - 1;
    if (texts || last < 0) continue;
    if (last > 0 && isInterpolated(qualities[last] ?? 0) && Number.isNaN(values[last - 1])) {
      values[last] = Number.NaN;
      qualities[last] = asInterpolated(qualities[last - 1] ?? 0);
    }
    if (isInterpolated(qualities[0] ?? 0) && severity(qualities[0] ?? 0) === 'uncertain') doubtful.push(tag);
  }
  if (doubtful.length === 0) return;
  for (const [tag, { quality }] of await lastSamples(doubtful, range.start, signal)) {
    const points = answer.get(tag);
    if (!points || severity(quality) !== 'bad') continue;
    points.values[0] = Number.NaN;
    points.qualities[0] = asInterpolated(quality);
  }
}

/** Rows come tag after tag; a run of one tag becomes its columns. */
function decodePlot(bytes: Uint8Array): Map<string, Points> {
  const table = tableFromIPC(bytes, { useBigInt: true });
  const [tag, timestamp, value, quality] = ['tag', 'timestamp', 'value', 'quality'].map((name) => columnOf(table.getChild(name), name));
  const text = table.getChild('text') as Column<unknown> | null;
  const names = batchesOf(tag).flatMap((batch) => [...batch] as string[]);
  const rows = names.length;
  const times = new BigInt64Array(rows);
  const qualities = new Uint32Array(rows);
  const values = new Float64Array(rows).fill(Number.NaN);
  const texts: (string | null)[] = [];
  // The column's own values would be floats of milliseconds.
  fill(timestamp, (batch, at) => times.set((batch.values as BigInt64Array).subarray(0, batch.length), at));
  fill(quality, (batch, at) => qualities.set((batch.values as Uint32Array).subarray(0, batch.length), at));
  fill(value, (batch, at) => {
    for (let row = 0; row < batch.length; row++) {
      const cell = batch.at(row) as number | bigint | boolean | string | null;
      if (typeof cell === 'string') texts[at + row] = cell;
      else if (cell !== null) values[at + row] = Number(cell);
    }
  });
  if (text) {
    fill(text, (batch, at) => {
      for (let row = 0; row < batch.length; row++) texts[at + row] = (batch.at(row) as string | null) ?? texts[at + row] ?? null;
    });
  }
  const answer = new Map<string, Points>();
  for (let from = 0; from < rows;) {
    let to = from + 1;
    while (to < rows && names[to] === names[from]) to += 1;
    const own = texts.slice(from, to);
    answer.set(names[from] ?? '', {
      times: times.slice(from, to),
      values: values.slice(from, to),
      qualities: qualities.slice(from, to),
      texts: own.some((cell) => typeof cell === 'string') ? Array.from(own, (cell) => cell ?? null) : null,
    });
    from = to;
  }
  return answer;
}

function columnOf(column: unknown, name: string): Column<unknown> {
  if (!column) throw new Error(`The answer has no column ${name}.`);
  return column as Column<unknown>;
}

function batchesOf(column: Column<unknown> | undefined): readonly Batch<unknown>[] {
  return column?.data ?? [];
}

function fill(column: Column<unknown> | undefined, put: (batch: Batch<unknown>, at: number) => void): void {
  let at = 0;
  for (const batch of batchesOf(column)) {
    put(batch, at);
    at += batch.length;
  }
}

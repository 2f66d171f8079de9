// The view as a file: the samples themselves, as the API answers them, or the points as they are drawn.
import type { Points } from '../api/plot';
import { readBody, request } from '../api/request';
import { formatRfc3339, type Range } from '../model/time';
import { plotPath, rangePath } from './copy';

type Format = 'csv' | 'parquet';

const MEDIA_TYPES: Readonly<Record<Format, string>> = { csv: 'text/csv', parquet: 'application/vnd.apache.parquet' };

export async function downloadSamples(tags: readonly string[], range: Range, format: Format): Promise<void> {
  await download(rangePath(tags, range, format), range, format);
}

/** What a lane asks for, for all pens at once. */
export async function downloadPlot(tags: readonly string[], range: Range, points: number): Promise<void> {
  await download(plotPath(tags, range, points, 'parquet'), range, 'parquet');
}

async function download(path: string, range: Range, format: Format): Promise<void> {
  const response = await request(path, { accept: MEDIA_TYPES[format] });
  save(await readBody(() => response.blob()), range, format);
}

/** Times are in UTC, which the header says. */
export function downloadDrawn(points: ReadonlyMap<string, Points>, range: Range): void {
  const lines = ['tag,timestamp (UTC),value,quality'];
  for (const [tag, { times, values, texts, qualities }] of points) {
    times.forEach((time, row) => {
      const value = texts ? (texts[row] ?? '') : Number.isNaN(values[row] ?? Number.NaN) ? '' : String(values[row]);
      lines.push([tag, formatRfc3339(time), value, String(qualities[row] ?? 0)].map(quoted).join(','));
    });
  }
  save(new Blob([`${lines.join('\r\n')}\r\n`], { type: MEDIA_TYPES.csv }), range, 'csv');
}

function quoted(cell: string): string {
  return /[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell;
}

function save(blob: Blob, range: Range, format: Format): void {
  const anchor = document.createElement('a');
  anchor.href = URL.createObjectURL(blob);
  anchor.download = `historian-${formatRfc3339(range.start).slice(0, 19).replace(/[:]/g, '')}Z.${format}`;
  anchor.click();
  setTimeout(() => URL.revokeObjectURL(anchor.href), 60_000);
}

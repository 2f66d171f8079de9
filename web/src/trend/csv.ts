// CSV of the view: the samples themselves, as the API answers them, or the points as they are drawn.
import type { Points } from '../api/plot';
import { readBody, request } from '../api/request';
import { formatRfc3339, type Range } from '../model/time';
import { rangePath } from './copy';
import type { View } from './view';

export async function downloadSamples(view: View, range: Range): Promise<void> {
  const response = await request(rangePath(view, range), { accept: 'text/csv' });
  save(await readBody(() => response.blob()), fileName(range));
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
  save(new Blob([`${lines.join('\r\n')}\r\n`], { type: 'text/csv' }), fileName(range));
}

function quoted(cell: string): string {
  return /[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell;
}

function fileName(range: Range): string {
  return `historian-${formatRfc3339(range.start).slice(0, 19).replace(/[:]/g, '')}Z.csv`;
}

function save(blob: Blob, name: string): void {
  const anchor = document.createElement('a');
  anchor.href = URL.createObjectURL(blob);
  anchor.download = name;
  anchor.click();
  setTimeout(() => URL.revokeObjectURL(anchor.href), 60_000);
}

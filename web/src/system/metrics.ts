// Figures of the disk, from the metrics that monitoring reads as well.
import { ApiError, readBody, token } from '../api/request';

export interface DiskFigures {
  readonly free: number;
  readonly size: number;
  readonly reserve: number;
  readonly tables: number;
  readonly journal: number;
  /** Seconds until the disk is full, at the growth of late; null where it does not grow. */
  readonly fullInS: number | null;
}

export async function readMetrics(signal: AbortSignal): Promise<DiskFigures> {
  const secret = token();
  const response = await fetch('/metrics', { signal, cache: 'no-store', headers: secret ? { authorization: `Bearer ${secret}` } : {} });
  if (!response.ok) throw new ApiError(response.status, 'The metrics are not for everybody.');
  const metrics = parseMetrics(await readBody(() => response.text()));
  const figure = (name: string) => metrics.get(name) ?? 0;
  const fullInS = metrics.get('historian_disk_full_seconds') ?? null;
  return {
    free: figure('historian_disk_free_bytes'),
    size: figure('historian_disk_size_bytes'),
    reserve: figure('historian_disk_reserve_bytes'),
    tables: figure('historian_store_tables_bytes'),
    journal: figure('historian_journal_bytes'),
    fullInS: fullInS !== null && Number.isFinite(fullInS) && fullInS > 0 ? fullInS : null,
  };
}

/** Metrics without labels, by name. */
function parseMetrics(text: string): Map<string, number> {
  return new Map([...text.matchAll(/^([a-z_]+) (\S+)$/gm)].map(([, name, value]): [string, number] => [name ?? '', Number(value?.replace('+Inf', 'Infinity'))]));
}

// The service itself: how much comes in, how long the disk lasts, what is kept, backups and the audit log. Each part asks for itself, and says
// so where it may not.
import type { ComponentChildren } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import type { AuditEntry, Backup, ServerStatus } from '../api/messages';
import { ApiError, requestJson } from '../api/request';
import { expose } from '../app/probe';
import { formatDuration } from '../model/time';
import { bytesText, countText } from '../model/value';
import { ageText, Card, Facts, Moment, Problem } from '../ui/parts';
import { usePolled, type Polled } from '../ui/polled';
import { readMetrics, type DiskFigures } from './metrics';

const STATUS_MS = 2_000;
const DISK_MS = 15_000;
const SLOW_MS = 60_000;
const AUDIT_SHOWN = 100;

export function SystemScreen() {
  const status = usePolled((signal) => requestJson<ServerStatus>('status', { signal }), STATUS_MS, []);
  const disk = usePolled(readMetrics, DISK_MS, []);
  const backups = usePolled(readBackups, SLOW_MS, []);
  const audit = usePolled(readAudit, SLOW_MS, []);
  const rate = useRate(status);
  useEffect(() => expose('system', () => ({
    status: status.value, disk: disk.value, rate, backups: backups.value?.list ?? null, audit: audit.value?.length ?? null,
    errors: { status: status.error, disk: disk.error, backups: backups.error, audit: audit.error },
  })));
  return (
    <main class="page">
      <div class="page-head">
        <h1>System</h1>
        {status.value && (
          status.value.accepting_writes && !status.value.no_room
            ? <span class="status good">takes writes</span>
            : <span class="status bad">refuses writes{status.value.no_room ? `: ${status.value.no_room}` : ' until it is started again'}</span>
        )}
      </div>
      <div class="cards">
        <Part title="Ingest" polled={status}>{(value) => <Ingest status={value} rate={rate} />}</Part>
        <Part title="Disk" polled={disk}>{(value) => <Disk disk={value} />}</Part>
        <Part title="Service" polled={status}>{(value) => <Service status={value} />}</Part>
        <Part title="Retention" polled={status}>{(value) => <Retention status={value} />}</Part>
        <Part title="Backups" polled={backups}>{(value) => <Backups backups={value.list} />}</Part>
        <Part title="Audit log" polled={audit} wide>{(value) => <Audit entries={value} />}</Part>
      </div>
    </main>
  );
}

function Part<T>({ title, polled, wide = false, children }: {
  readonly title: string; readonly polled: Polled<T>; readonly wide?: boolean; readonly children: (value: T) => ComponentChildren;
}) {
  return (
    <Card title={title} wide={wide}>
      <Problem text={polled.error} />
      {polled.value !== null ? children(polled.value) : !polled.error && <p class="soft">loading…</p>}
    </Card>
  );
}

/** Samples per second between the last two answers. */
function useRate(status: Polled<ServerStatus>): number | null {
  const last = useRef<{ time: number; samples: number; rate: number | null } | null>(null);
  const samples = Number(status.value?.samples_written ?? 0);
  if (status.value && status.time !== last.current?.time) {
    const before = last.current;
    const rate = before && samples >= before.samples ? ((samples - before.samples) * 1000) / (status.time - before.time) : null;
    last.current = { time: status.time, samples, rate };
  }
  return last.current?.rate ?? null;
}

function Ingest({ status, rate }: { readonly status: ServerStatus; readonly rate: number | null }) {
  return (
    <>
      <p class="reading"><b>{rate === null ? '—' : countText(rate)}</b> samples/s</p>
      <Facts
        rows={[
          ['Samples taken', countText(Number(status.samples_written ?? 0))],
          ['Not yet sealed', countText(Number(status.head_samples ?? 0))],
          ['Tags', Number(status.tags ?? 0).toLocaleString('en')],
          ['Durable up to write', status.watermark ?? '0'],
        ]}
      />
    </>
  );
}

function Disk({ disk }: { readonly disk: DiskFigures }) {
  const used = disk.size > 0 ? (100 * (disk.size - disk.free)) / disk.size : 0;
  return (
    <>
      <p class="reading"><b>{bytesText(disk.free)}</b> free of {bytesText(disk.size)}</p>
      <meter min={0} max={100} high={90} value={used} aria-label="Disk used" />
      <Facts
        rows={[
          ['Full in', disk.fullInS === null ? 'not to be foreseen' : formatDuration(BigInt(Math.round(disk.fullInS)) * 1_000_000_000n)],
          ['Tables', bytesText(disk.tables)],
          ['Journal', bytesText(disk.journal)],
          ['Kept in reserve', bytesText(disk.reserve)],
        ]}
      />
    </>
  );
}

function Service({ status }: { readonly status: ServerStatus }) {
  const last = status.scrub?.last;
  return (
    <Facts
      rows={[
        ['Version', status.version ?? ''],
        ['Started', <Moment ns={status.start_time} />],
        ['Up for', ageText(status.start_time, Date.now())],
        ['Memory of clients', `${bytesText(Number(status.memory_bytes_taken ?? 0))} of ${bytesText(Number(status.memory_bytes_max ?? 0))}`],
        ['Last scrub', last ? <><Moment ns={last.end_time} />, {Number(last.damaged ?? 0) === 0 ? 'all sound' : <b class="bad">{last.damaged} damaged</b>}</> : 'none has ended'],
        ['Certificate', status.tls ? <>{status.tls.subject}, until <Moment ns={status.tls.expiry_time} /></> : 'no TLS'],
        ...(status.tls?.refused ? [['Certificate refused', <span class="bad">{status.tls.refused}</span>] as const] : []),
      ]}
    />
  );
}

function Retention({ status }: { readonly status: ServerStatus }) {
  const groups = status.retention ?? [];
  if (groups.length === 0) return <p class="soft">Everything is kept.</p>;
  return (
    <table>
      <thead><tr><th scope="col">Tags</th><th scope="col">Kept for</th></tr></thead>
      <tbody>{groups.map((group, at) => (
        <tr key={at}>
          <td>{(group.tags ?? []).join(', ')}</td>
          <td>{Number(group.age_s ?? 0) === 0 ? 'ever' : formatDuration(BigInt(group.age_s ?? 0) * 1_000_000_000n)}</td>
        </tr>
      ))}</tbody>
    </table>
  );
}

/** The backups, or null where no directory is configured for them. */
async function readBackups(signal: AbortSignal): Promise<{ readonly list: readonly Backup[] | null }> {
  try {
    return { list: (await requestJson<{ backups?: readonly Backup[] }>('backups', { signal })).backups ?? [] };
  } catch (error) {
    if (error instanceof ApiError && error.code === 'FAILED_PRECONDITION') return { list: null };
    throw error;
  }
}

function Backups({ backups }: { readonly backups: readonly Backup[] | null }) {
  if (backups === null) return <p class="soft">No directory for backups is configured (--backup-dir, or directory in [backup]).</p>;
  if (backups.length === 0) return <p class="soft">There is no backup yet (historian backup).</p>;
  return (
    <div class="table-scroll" tabIndex={0} role="region" aria-label="Backups">
      <table>
        <thead><tr><th scope="col" class="number">No.</th><th scope="col">Made</th><th scope="col" class="number">Size</th><th scope="col" class="number">New</th><th scope="col" class="number">Tags</th></tr></thead>
        <tbody>{[...backups].reverse().map((backup) => (
          <tr key={backup.number}>
            <td class="number">{backup.number}</td>
            {backup.problem ? <td colSpan={4} class="bad">{backup.problem}</td> : (
              <>
                <td><Moment ns={backup.time} /></td>
                <td class="number">{bytesText(Number(backup.bytes ?? 0))}</td>
                <td class="number">{bytesText(Number(backup.bytes_new ?? 0))}</td>
                <td class="number">{backup.tags}</td>
              </>
            )}
          </tr>
        ))}</tbody>
      </table>
    </div>
  );
}

async function readAudit(signal: AbortSignal): Promise<readonly AuditEntry[]> {
  return (await requestJson<{ entries?: readonly AuditEntry[] }>(`audit?last=${AUDIT_SHOWN}`, { signal })).entries ?? [];
}

function Audit({ entries }: { readonly entries: readonly AuditEntry[] }) {
  return (
    <div class="table-scroll tall" tabIndex={0} role="region" aria-label="Audit log">
      <table>
        <thead><tr><th scope="col" class="number">No.</th><th scope="col">Time</th><th scope="col">Action</th><th scope="col">By</th><th scope="col">Tags</th><th scope="col">Detail</th></tr></thead>
        <tbody>{[...entries].reverse().map((entry) => (
          <tr key={entry.number}>
            <td class="number">{entry.number}</td>
            <td><Moment ns={entry.time} /></td>
            <td>{(entry.action ?? '').replaceAll('_', ' ')}</td>
            <td>{entry.principal}</td>
            <td title={(entry.tags ?? []).join('\n')}>{tagsText(entry.tags ?? [])}</td>
            <td>{entry.detail}</td>
          </tr>
        ))}</tbody>
      </table>
    </div>
  );
}

function tagsText(tags: readonly string[]): string {
  return tags.length > 2 ? `${tags[0]} and ${tags.length - 1} others` : tags.join(', ');
}

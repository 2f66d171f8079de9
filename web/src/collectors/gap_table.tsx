// The ledger of gaps: when samples of these tags are absent, and why. Each leads to its frame in the Trend.
import { useMemo } from 'preact/hooks';
import { frameOf } from '../annotations/table';
import { listGaps } from '../api/catalog';
import type { Gap } from '../api/messages';
import { clockAheadMs } from '../api/request';
import { trendAddress } from '../app/route';
import { gapReason } from '../model/gap';
import { formatDuration, formatRfc3339, NS_PER_MS, SECOND_NS, type Range } from '../model/time';
import { Moment, Problem } from '../ui/parts';
import { usePolled } from '../ui/polled';

const DAYS = 30n;
const REFRESH_MS = 10_000;
/** More names than that are not sent; then the gaps of all tags are read, and others left out here. */
const NAMES_SENT = 500;
const SHOWN = 200;
const PENS = 8;

/** Gaps of several tags that began and ended together, for the same reason. */
export interface SharedGap {
  readonly start: bigint | null;
  /** Null while it lasts. */
  readonly end: bigint | null;
  readonly reason: string;
  readonly detail: string;
  readonly tags: readonly string[];
}

/** `tags` are those to look for, `shown` those of them whose gaps are wanted now. */
export function GapTable({ tags, shown, of, tall = false }: {
  readonly tags: readonly string[]; readonly shown: ReadonlySet<string>; readonly of: string; readonly tall?: boolean;
}) {
  const polled = usePolled(async (signal) => {
    const now = nowNs();
    const range = { start: now - DAYS * 86_400n * SECOND_NS, end: now };
    return tags.length > 0 ? listGaps(tags.length > NAMES_SENT ? [] : tags, range, signal) : [];
  }, REFRESH_MS, [of, tags.length]);
  const several = tags.length > 1;
  const gaps = useMemo(() => sharedGaps(polled.value ?? [], shown), [polled.value, shown]);
  if (!polled.value) return polled.error ? <Problem text={polled.error} /> : <p class="soft">loading…</p>;
  return (
    <>
      <Problem text={polled.error} />
      {gaps.length === 0 ? <p class="soft">No gap is recorded in the last {String(DAYS)} days.</p> : (
        <div class={`table-scroll gaps${tall ? ' fill' : ''}`} tabIndex={0} role="region" aria-label={`Gaps of ${of}`}>
          <table data-testid="gaps">
            <thead><tr><th scope="col">From</th><th scope="col">To</th><th scope="col" class="number">For</th><th scope="col">Reason</th>{several && <th scope="col">Tags</th>}<th scope="col">Detail</th></tr></thead>
            <tbody>{gaps.slice(0, SHOWN).map((gap) => (
              <tr key={keyOf(gap)}>
                <td><a href={frameAddress(gap, tags)} title="Open in Trend"><Moment ns={gap.start ?? 0n} /></a></td>
                <td>{gap.end === null ? <span class="bad">still open</span> : <Moment ns={gap.end} />}</td>
                <td class="number">{gap.start === null ? '' : formatDuration((((gap.end ?? nowNs()) - gap.start) / SECOND_NS) * SECOND_NS)}</td>
                <td>{gapReason(gap.reason)}</td>
                {several && <td title={gap.tags.join('\n')}>{tagsText(gap.tags)}</td>}
                <td class="soft">{gap.detail}</td>
              </tr>
            ))}</tbody>
          </table>
          {gaps.length > SHOWN && <p class="more soft">The latest {SHOWN} of {gaps.length.toLocaleString('en')}.</p>}
        </div>
      )}
    </>
  );
}

function nowNs(): bigint {
  return BigInt(Math.round(Date.now() + clockAheadMs.value)) * NS_PER_MS;
}

function keyOf({ start, end, reason, detail }: Omit<SharedGap, 'tags'>): string {
  // Tags of one outage differ by when each had its last sample.
  return [start === null ? '' : start / SECOND_NS, end === null ? '' : end / SECOND_NS, reason, detail].join('|');
}

/** The latest first; one that lasts is later than all that have ended. */
function sharedGaps(ledger: readonly Gap[], shown: ReadonlySet<string>): readonly SharedGap[] {
  const found = new Map<string, { gap: Omit<SharedGap, 'tags'>; tags: Set<string> }>();
  for (const { tag, start, end, reason = '', detail = '' } of ledger) {
    if ((tag && !shown.has(tag)) || (start !== undefined && start === end)) continue;
    const gap = { start: start === undefined ? null : BigInt(start), end: end === undefined ? null : BigInt(end), reason, detail };
    const key = keyOf(gap);
    const same = found.get(key) ?? { gap, tags: new Set<string>() };
    found.set(key, same);
    if (tag) same.tags.add(tag);
  }
  const order = ({ start, end }: SharedGap): bigint => (end === null ? 1n << 63n : start ?? 0n);
  return [...found.values()]
    .map(({ gap, tags }): SharedGap => ({ ...gap, tags: [...tags].sort() }))
    .sort((left, right) => (order(left) < order(right) ? 1 : order(left) > order(right) ? -1 : 0));
}

/** A gap that concerns any tag shows those that were asked for. */
function frameAddress({ start, end, tags }: SharedGap, otherwise: readonly string[]): string {
  const pens = (tags.length > 0 ? tags : otherwise).slice(0, PENS);
  if (start === null) return trendAddress(pens);
  const frame: Range = frameOf({ start, end: end ?? nowNs() });
  return trendAddress(pens, { start: formatRfc3339(frame.start), end: formatRfc3339(frame.end) });
}

function tagsText(tags: readonly string[]): string {
  if (tags.length === 0) return 'any';
  return tags.length > 2 ? `${tags[0]} and ${tags.length - 1} others` : tags.join(', ');
}

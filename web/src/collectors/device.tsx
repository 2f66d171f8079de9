// A device: whether it delivers, how fast it is, and what it said last.
import type { ComponentChildren } from 'preact';
import type { DeviceStatus } from '../api/messages';
import { formatDuration } from '../model/time';
import { countText } from '../model/value';
import { useNarrow } from '../ui/narrow';
import { agoText, Facts, Moment } from '../ui/parts';
import { levelOf } from './level';

/** What others are not told. */
export const WHOLE_DEVICE = 'Where a device is, its last error and its counters take the right to administer.';

interface Props {
  readonly device: DeviceStatus;
  readonly now: number;
  /** It is told as far as it is of tags that one may read. */
  readonly limited?: boolean | undefined;
  /** Its name, where that is not said above. */
  readonly title?: ComponentChildren;
  readonly children?: ComponentChildren;
}

export function DeviceCard({ device, now, limited = false, title = null, children }: Props) {
  const level = levelOf(device);
  const narrow = useNarrow();
  const count = (value: string | undefined) => countText(Number(value ?? 0));
  const holes = device.holes ?? [];
  const pace = [['Last good answer', agoText(device.last_good_time, now)], ['Latency', latencyText(device)], ['Its clock', clockText(device)]] as const;
  const connections = ['Connections', count(device.connects)] as const;
  const counters = limited ? [connections] : [
    ['Samples', count(device.samples)],
    ['Requests', count(device.requests)],
    connections,
    ['Timeouts', count(device.timeouts)],
    ['Exceptions', count(device.exceptions)],
    ['Polls missed', count(device.polls_missed)],
    ['Dropped, rejected', `${count(device.samples_dropped)}, ${count(device.samples_rejected)}`],
  ] as const;
  return (
    <section class={`card device ${level}`} aria-label={device.device}>
      <h2>
        <span class={`status ${level}`}>{device.state}</span> {title}
        <span class="card-note">{device.protocol}{device.endpoint && <> · <code>{device.endpoint}</code></>}</span>
      </h2>
      <div class="device-body">
        <Delivery device={device} />
        {narrow
          ? (
            <div>
              <Facts rows={pace} />
              <details><summary>Counters</summary><Facts rows={counters} /></details>
            </div>
          )
          : <Facts rows={[...pace, ...counters]} />}
      </div>
      {device.last_error && (
        <p class="last-error"><b>Last error</b> <Moment ns={device.last_error_time} /> <span>{device.last_error}</span></p>
      )}
      {holes.length > 0 && (
        <details class="holes">
          <summary>The device refuses {holes.length === 1 ? 'an address' : `${holes.length} addresses`}</summary>
          <ul>{holes.map((hole) => <li key={hole}>{hole}</li>)}</ul>
        </details>
      )}
      {children}
    </section>
  );
}

/** Half of the answers of late, and 99 in 100 of them, took no longer. */
function latencyText({ latency_p50: half, latency_p99: most }: DeviceStatus): string {
  if (half === undefined || most === undefined) return 'not known yet';
  return `p50 ${roughly(BigInt(half))}, p99 ${roughly(BigInt(most))}`;
}

function clockText({ clock_offset: offset }: DeviceStatus): string {
  if (offset === undefined) return 'tells no time';
  const ns = BigInt(offset);
  return ns < 0n ? `${roughly(-ns)} behind` : `${roughly(ns)} ahead`;
}

/** They are known to a tenth. */
function roughly(ns: bigint): string {
  const step = 10n ** BigInt(Math.max(0, ns.toString().length - 2));
  return formatDuration(((ns + step / 2n) / step) * step);
}

/** Wanted, created and delivering as numbers and as one bar. */
function Delivery({ device }: { readonly device: DeviceStatus }) {
  const [wanted, created, delivering] = [device.items_wanted, device.items_created, device.items_delivering].map((items) => Number(items ?? 0)) as [number, number, number];
  const share = (items: number) => `${wanted > 0 ? (100 * items) / wanted : 0}%`;
  return (
    <div class="delivery">
      <p><b>{delivering}</b> of {wanted} deliver{created !== wanted ? `, ${created} created` : ''}</p>
      <div class="delivery-bar" role="img" aria-label={`${delivering} of ${wanted} tags deliver`}>
        <i class="created" style={{ width: share(created) }} />
        <i class="delivering" style={{ width: share(delivering) }} />
      </div>
    </div>
  );
}

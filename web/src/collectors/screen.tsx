// What the collectors deliver and what not: the device with the most trouble stands first, so that a red thing is found at a glance.
import { useEffect } from 'preact/hooks';
import type { CollectorStatus, DeviceStatus } from '../api/messages';
import { requestJson } from '../api/request';
import { expose } from '../app/probe';
import { tagAddress, trendAddress } from '../app/route';
import { countText } from '../model/value';
import { agoText, Facts, Moment, Problem } from '../ui/parts';
import { usePolled } from '../ui/polled';

const REFRESH_MS = 2_000;

type Level = 'bad' | 'uncertain' | 'good';

export function levelOf(device: DeviceStatus): Level {
  const missing = Number(device.items_wanted ?? 0) - Number(device.items_delivering ?? 0);
  if (device.state === 'backoff' || device.state === 'stopped' || (missing > 0 && missing === Number(device.items_wanted ?? 0))) return 'bad';
  if (device.state !== 'running' || missing > 0 || Number(device.undelivered_tags ?? 0) > 0) return 'uncertain';
  return 'good';
}

const RANK: Readonly<Record<Level, number>> = { bad: 0, uncertain: 1, good: 2 };

export function CollectorsScreen() {
  const polled = usePolled((signal) => requestJson<CollectorStatus>('collectors', { signal }), REFRESH_MS, []);
  const devices = [...(polled.value?.devices ?? [])].sort(
    (left, right) => RANK[levelOf(left)] - RANK[levelOf(right)] || (left.device ?? '').localeCompare(right.device ?? ''),
  );
  useEffect(() => expose('collectors', () => ({ devices: devices.map((device) => ({ name: device.device, level: levelOf(device), state: device.state })) })));
  const counts = { bad: 0, uncertain: 0, good: 0 };
  for (const device of devices) counts[levelOf(device)] += 1;
  return (
    <main class="page">
      <div class="page-head">
        <h1>Collectors</h1>
        {polled.value && (
          <span class="tally" role="status">
            {counts.bad > 0 && <b class="status bad">{counts.bad} not delivering</b>}
            {counts.uncertain > 0 && <b class="status uncertain">{counts.uncertain} degraded</b>}
            <span class="status good">{counts.good} in order</span>
          </span>
        )}
      </div>
      <Problem text={polled.error} />
      {polled.value && devices.length === 0 && <p class="empty">No device is configured. Samples may be written by clients all the same.</p>}
      {devices.map((device) => <Device key={device.device} device={device} />)}
    </main>
  );
}

function Device({ device }: { readonly device: DeviceStatus }) {
  const level = levelOf(device);
  const undelivered = device.undelivered ?? [];
  const count = (value: string | undefined) => countText(Number(value ?? 0));
  return (
    <section class={`card device ${level}`}>
      <h2>
        <span class={`status ${level}`}>{device.state}</span> {device.device}
        <span class="card-note">{device.protocol} · <code>{device.endpoint}</code></span>
      </h2>
      <div class="device-body">
        <Delivery device={device} />
        <Facts
          rows={[
            ['Last good answer', agoText(device.last_good_time, Date.now())],
            ['Samples', count(device.samples)],
            ['Requests', count(device.requests)],
            ['Connections', count(device.connects)],
            ['Timeouts', count(device.timeouts)],
            ['Exceptions', count(device.exceptions)],
            ['Polls missed', count(device.polls_missed)],
            ['Dropped, rejected', `${count(device.samples_dropped)}, ${count(device.samples_rejected)}`],
          ]}
        />
      </div>
      {device.last_error && (
        <p class="last-error"><b>Last error</b> <Moment ns={device.last_error_time} /> <span>{device.last_error}</span></p>
      )}
      {(device.holes ?? []).length > 0 && <p class="soft">The device refuses: {(device.holes ?? []).join(', ')}</p>}
      {undelivered.length > 0 && (
        <details open={level !== 'good'}>
          <summary>{device.undelivered_tags ?? undelivered.length} tags do not deliver</summary>
          <div class="table-scroll" tabIndex={0} role="region" aria-label={`Tags of ${device.device} that do not deliver`}>
            <table>
              <thead><tr><th scope="col">Tag</th><th scope="col">Reason</th><th scope="col">Since</th><th scope="col"><span class="sr">Trend</span></th></tr></thead>
              <tbody>{undelivered.map((tag) => (
                <tr key={tag.tag}>
                  <th scope="row"><a href={tagAddress(tag.tag ?? '')}>{tag.tag}</a></th>
                  <td class="bad">{tag.reason}</td>
                  <td><Moment ns={tag.since} /></td>
                  <td><a href={trendAddress([tag.tag ?? ''])}>Trend</a></td>
                </tr>
              ))}</tbody>
            </table>
          </div>
        </details>
      )}
    </section>
  );
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

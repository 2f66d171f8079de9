// What the collectors deliver and what not: the device with the most trouble stands first. Its name leads to the list of its tags.
import { useEffect } from 'preact/hooks';
import type { CollectorStatus, DeviceStatus } from '../api/messages';
import { requestJson } from '../api/request';
import { expose } from '../app/probe';
import { trendAddress } from '../app/route';
import { Moment, Problem } from '../ui/parts';
import { usePolled } from '../ui/polled';
import { useNow } from '../ui/ticking';
import { deviceAddress } from './address';
import { DeviceCard, WHOLE_DEVICE } from './device';
import { levelOf, RANK } from './level';

const REFRESH_MS = 2_000;
const TICK_MS = 1_000;
const UNDELIVERED_SHOWN = 20;
const NOTHING_SEEN = 'No tag that you may read is collected from a device.';

export function CollectorsScreen() {
  const polled = usePolled((signal) => requestJson<CollectorStatus>('collectors', { signal }), REFRESH_MS, []);
  const now = useNow(TICK_MS);
  const limited = polled.value?.limited;
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
      {polled.forbidden ? <p class="empty">{NOTHING_SEEN}</p> : <Problem text={polled.error} />}
      {limited && devices.length > 0 && <p class="soft">These are the devices of the tags that you may read. {WHOLE_DEVICE}</p>}
      {!polled.value && !polled.error && <p class="soft">loading…</p>}
      {polled.value && devices.length === 0 && (
        <p class="empty">{limited ? NOTHING_SEEN : 'No device is configured. Samples may be written by clients all the same.'}</p>
      )}
      {devices.map((device) => (
        <DeviceCard key={device.device} device={device} now={now} limited={limited} title={<a href={deviceAddress(device.device ?? '')}>{device.device}</a>}>
          <Undelivered device={device} />
        </DeviceCard>
      ))}
    </main>
  );
}

/** The first tags that do not deliver; all of them are in the list of the device. */
function Undelivered({ device }: { readonly device: DeviceStatus }) {
  const name = device.device ?? '';
  const undelivered = device.undelivered ?? [];
  if (undelivered.length === 0) return null;
  const total = Number(device.undelivered_tags ?? undelivered.length);
  return (
    <details open={levelOf(device) !== 'good'}>
      <summary>{total === 1 ? 'A tag does not deliver' : `${total} tags do not deliver`}</summary>
      <div class="table-scroll undelivered" tabIndex={0} role="region" aria-label={`Tags of ${name} that do not deliver`}>
        <table>
          <thead><tr><th scope="col">Tag</th><th scope="col">Reason</th><th scope="col">Since</th><th scope="col"><span class="sr">Trend</span></th></tr></thead>
          <tbody>{undelivered.slice(0, UNDELIVERED_SHOWN).map((tag) => (
            <tr key={tag.tag}>
              <th scope="row"><a href={deviceAddress(name, { problemsOnly: true, chosen: tag.tag ?? '' })}>{tag.tag}</a></th>
              <td class="bad">{tag.reason}</td>
              <td><Moment ns={tag.since} /></td>
              <td><a href={trendAddress([tag.tag ?? ''])}>Trend</a></td>
            </tr>
          ))}</tbody>
        </table>
      </div>
      {total > UNDELIVERED_SHOWN && <p class="more"><a href={deviceAddress(name, { problemsOnly: true })}>All {total} that do not deliver</a></p>}
    </details>
  );
}

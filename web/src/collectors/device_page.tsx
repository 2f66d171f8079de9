// One device: its state, and the list of its tags with those that have a problem first. What is looked for is in the address.
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { definitionsOf, type CollectedTag } from '../api/collectors';
import type { CollectorStatus, Tag } from '../api/messages';
import { requestJson } from '../api/request';
import { expose } from '../app/probe';
import { location$ } from '../app/route';
import { qualityName, qualityWords } from '../model/quality';
import { useStore } from '../model/store';
import { unitText } from '../model/unit';
import { Problem } from '../ui/parts';
import { usePolled } from '../ui/polled';
import { useNow } from '../ui/ticking';
import { parseDeviceView, showView, type DeviceView } from './address';
import { useCollected } from './collected';
import { DeviceCard, WHOLE_DEVICE } from './device';
import { GapTable } from './gap_table';
import { problemsFirst, tagLevel } from './level';
import { TagDetail } from './tag_detail';
import { TagGrid } from './tag_grid';

const REFRESH_MS = 2_000;
const DEFINITIONS_MS = 60_000;
const TICK_MS = 1_000;

export function DevicePage({ name }: { readonly name: string }) {
  const view = parseDeviceView(useStore(location$).search);
  const [inSight, setInSight] = useState<readonly string[]>([]);
  const devices = usePolled((signal) => requestJson<CollectorStatus>('collectors', { signal }), REFRESH_MS, []);
  const collected = useCollected(name, inSight);
  const definitions = usePolled((signal) => definitionsOf(name, signal), DEFINITIONS_MS, [name]);
  const now = useNow(TICK_MS);
  const host = useRef<HTMLElement>(null);
  const device = devices.value?.devices?.find((candidate) => candidate.device === name);
  const all = collected.value;
  const tags = useMemo(
    () => problemsFirst((all ?? []).filter((tag) => (!view.problemsOnly || tagLevel(tag) !== 'good') && hasWords(tag, definitions.value?.get(tag.name), view.match))),
    [all, definitions.value, view.match, view.problemsOnly],
  );
  const problems = useMemo(() => (all ?? []).filter((tag) => tagLevel(tag) !== 'good').length, [all]);
  const everyName = useMemo(() => (all ?? []).map((tag) => tag.name), [all]);
  const shownNames = useMemo(() => new Set(tags.map((tag) => tag.name)), [tags]);
  const chosen = all?.find((tag) => tag.name === view.chosen);
  useEffect(() => expose('device', () => ({
    name, view, state: device?.state ?? null, total: all?.length ?? null, problems, count: tags.length, drawn: inSight,
    rows: tags.slice(0, 100).map((tag) => ({ ...tag, interval: String(tag.interval), level: tagLevel(tag) })),
  })));

  const show = (change: Partial<DeviceView>) => showView(name, { ...view, ...change });
  const close = () => {
    show({ chosen: '' });
    host.current?.querySelector<HTMLElement>(`[data-tag="${CSS.escape(view.chosen)}"] button`)?.focus();
  };
  return (
    <main
      class="page fill device-page"
      ref={host}
      onKeyDown={(event) => {
        // In a field it empties that.
        if (event.key === 'Escape' && view.chosen && !(event.target instanceof HTMLInputElement)) close();
      }}
    >
      <div class="page-head">
        <h1 class="tag-title"><a href="/collectors">Collectors</a> <span class="soft" aria-hidden="true">›</span> {name}</h1>
      </div>
      {devices.forbidden && <p class="soft">To see a device takes the right to read one of its tags, which you do not have.</p>}
      {!devices.forbidden && devices.error !== collected.error && <Problem text={devices.error} />}
      {devices.value && !device && (
        <p class="problem" role="alert">There is no device of this name now{devices.value.limited ? ', or none with a tag that you may read' : ''}.</p>
      )}
      {device && <DeviceCard device={device} now={now} limited={devices.value?.limited} />}
      {device && devices.value?.limited && <p class="soft">Counts are of the tags that you may read. {WHOLE_DEVICE}</p>}
      <div class="bar device-bar">
        <div class="segments" role="group" aria-label="What to show">
          <button type="button" aria-pressed={view.shows === 'tags'} onClick={() => show({ shows: 'tags' })}>Tags</button>
          <button type="button" aria-pressed={view.shows === 'gaps'} onClick={() => show({ shows: 'gaps' })}>Gaps</button>
        </div>
        <input
          type="search"
          aria-label="Filter tags of the device"
          placeholder="Filter: words in name, description, address, quality, error"
          value={view.match}
          spellcheck={false}
          onInput={(event) => show({ match: event.currentTarget.value })}
        />
        <label class="check"><input type="checkbox" checked={view.problemsOnly} onChange={(event) => show({ problemsOnly: event.currentTarget.checked })} />Only those with a problem</label>
        <span class="soft" role="status">{all ? countText(tags.length, all.length, problems) : collected.error ? '' : 'loading…'}</span>
      </div>
      {!collected.forbidden && <Problem text={collected.error} />}
      {all && view.shows === 'tags' && (
        <TagGrid
          tags={tags}
          definitions={definitions.value}
          now={now}
          chosen={view.chosen}
          question={`${view.match}\n${view.problemsOnly}`}
          nothing={nothingText(view, all.length, problems)}
          onChoose={(tag) => show({ chosen: tag === view.chosen ? '' : tag })}
          onSight={setInSight}
        />
      )}
      {all && view.shows === 'gaps' && <GapTable tags={everyName} shown={shownNames} of={name} tall />}
      {chosen && view.shows === 'tags' && <TagDetail key={chosen.name} tag={chosen} definition={definitions.value?.get(chosen.name)} now={now} onClose={close} />}
    </main>
  );
}

/** Whether each word occurs somewhere in what the row and its details say. */
function hasWords(tag: CollectedTag, definition: Tag | undefined, match: string): boolean {
  const words = match.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return true;
  const text = [
    tag.name, tag.address, tag.delivery, tag.error, tag.last ? `${qualityName(tag.last.quality)} ${qualityWords(tag.last.quality)}` : '', definition?.description ?? '', unitText(definition?.unit ?? ''),
  ].join('\n').toLowerCase();
  return words.every((word) => text.includes(word));
}

function countText(shown: number, total: number, problems: number): string {
  const count = (number: number) => number.toLocaleString('en');
  return `${shown === total ? count(total) : `${count(shown)} of ${count(total)}`} tags, ${problems === 0 ? 'none' : count(problems)} with a problem`;
}

function nothingText({ match, problemsOnly }: DeviceView, total: number, problems: number): string {
  if (total === 0) return 'The device has no tags, or none that you may read.';
  if (problemsOnly && problems === 0) return 'All tags of the device deliver.';
  return match ? 'No tag has all of these words.' : 'No tag has a problem.';
}

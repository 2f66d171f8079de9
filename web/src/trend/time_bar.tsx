// The time bar: how much is shown, from when to when, in which zone, following the clock or not, and beside which earlier period.
import { useEffect, useState } from 'preact/hooks';
import { listDetectors } from '../api/findings';
import { useStore } from '../model/store';
import { formatCivil, isRelative } from '../model/time';
import { browserZone } from '../model/zone';
import type { TrendController } from './controller';

const PRESETS: readonly (readonly [label: string, start: string, name: string])[] = [
  ['15 m', '*-15m', '15 minutes'], ['1 h', '*-1h', '1 hour'], ['8 h', '*-8h', '8 hours'], ['24 h', '*-24h', '24 hours'], ['7 d', '*-7d', '7 days'], ['30 d', '*-30d', '30 days'],
];
const COMPARISONS: readonly (readonly [days: number, label: string])[] = [[0, 'no comparison'], [1, 'previous day'], [7, 'previous week'], [28, '4 weeks earlier'], [364, '52 weeks earlier']];

export function TimeBar({ controller }: { readonly controller: TrendController }) {
  const view = useStore(controller.view);
  const range = useStore(controller.range);
  const zones = [...new Set(['UTC', 'local', view.zone])];
  return (
    <div class="bar" role="toolbar" aria-label="Time">
      <div class="segments" role="group" aria-label="Period">
        {PRESETS.map(([label, start, name]) => (
          <button
            key={start}
            type="button"
            title={`Last ${name}`}
            aria-pressed={view.start === start && view.end === '*'}
            onClick={() => controller.change({ start, end: '*' })}
          >
            {label}
          </button>
        ))}
      </div>
      <div class="segments" role="group" aria-label="Move">
        <button type="button" aria-label="Back by a period" onClick={() => controller.step(-1)}>‹</button>
        <button type="button" aria-label="Forward by a period" onClick={() => controller.step(1)}>›</button>
        <button type="button" aria-label="Zoom in" onClick={() => zoom(controller, 0.5)}>+</button>
        <button type="button" aria-label="Zoom out" onClick={() => zoom(controller, 2)}>−</button>
      </div>
      <LiveButton controller={controller} />
      <span class="bounds">
        <Bound label="Start" expression={view.start} time={range.start} controller={controller} onSet={(start) => controller.change({ start, live: false })} />
        <span aria-hidden="true">–</span>
        <Bound label="End" expression={view.end} time={range.end} controller={controller} onSet={(end) => controller.change({ end, live: false })} />
      </span>
      <select aria-label="Zone" value={view.zone} onChange={(event) => controller.change({ zone: event.currentTarget.value }, 'replace')}>
        {zones.map((zone) => <option key={zone} value={zone}>{zone === 'local' ? `${browserZone} (browser)` : zone}</option>)}
      </select>
      <select aria-label="Compare with" value={String(view.compareDays)} onChange={(event) => controller.change({ compareDays: Number(event.currentTarget.value) })}>
        {COMPARISONS.map(([days, label]) => <option key={days} value={String(days)}>{label}</option>)}
        {!COMPARISONS.some(([days]) => days === view.compareDays) && <option value={String(view.compareDays)}>{view.compareDays} days earlier</option>}
      </select>
      <DetectorChoice controller={controller} />
    </div>
  );
}

/** Marks what a detector finds; the list of detectors is asked for when somebody looks at it. */
function DetectorChoice({ controller }: { readonly controller: TrendController }) {
  const { detector } = useStore(controller.view);
  const found = useStore(controller.findings).length;
  const [names, setNames] = useState<readonly string[]>([]);
  const shown = detector && !names.includes(detector) ? [detector, ...names] : names;
  const ask = () => {
    if (names.length === 0) void listDetectors().then((list) => setNames(list.map(({ name = '' }) => name)), () => undefined);
  };
  return (
    <select
      aria-label="Mark findings of"
      value={detector}
      onFocus={ask}
      onPointerDown={ask}
      onChange={(event) => controller.change({ detector: event.currentTarget.value }, 'replace')}
    >
      <option value="">no findings marked</option>
      {shown.map((name) => <option key={name} value={name}>{name}{name === detector ? ` (${found})` : ''}</option>)}
    </select>
  );
}

function zoom(controller: TrendController, factor: number): void {
  const { start, end } = controller.range.value;
  const span = end - start;
  const next = factor > 1 ? span * 2n : span / 2n;
  const middle = start + span / 2n;
  controller.zoomTo({ start: middle - next / 2n, end: middle + next / 2n });
}

function LiveButton({ controller }: { readonly controller: TrendController }) {
  const view = useStore(controller.view);
  const paused = useStore(controller.paused);
  const feed = useStore(controller.feed.state);
  const state = view.live ? (feed === 'open' ? 'on' : 'waiting') : paused !== null ? 'paused' : 'off';
  const words = { on: 'Live', waiting: 'Live …', paused: 'Paused – resume', off: 'Live' }[state];
  return (
    <button type="button" class={`live ${state}`} aria-pressed={view.live} data-testid="live" data-state={state} onClick={() => controller.setLive(!view.live)}>
      <i aria-hidden="true" />{words}
    </button>
  );
}

/** A bound as it is written in the view; absolute ones are shown as civil times of the zone. */
function Bound({ label, expression, time, controller, onSet }: {
  readonly label: string; readonly expression: string; readonly time: bigint; readonly controller: TrendController; readonly onSet: (text: string) => void;
}) {
  const shown = isRelative(expression) ? expression : formatCivil(time, controller.zone);
  const [text, setText] = useState(shown);
  useEffect(() => setText(shown), [shown]);
  const commit = () => {
    if (text.trim() && text !== shown) onSet(text.trim());
  };
  return (
    <input
      type="text"
      class="bound"
      aria-label={label}
      title={`${label}: *-8h, t+6h, y, 2026-01-31 06:00, 2026-01-31T06:00:00Z`}
      spellcheck={false}
      autocomplete="off"
      value={text}
      onInput={(event) => setText(event.currentTarget.value)}
      onKeyDown={(event) => event.key === 'Enter' && commit()}
      onBlur={commit}
    />
  );
}

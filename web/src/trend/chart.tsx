// The lanes one above the other, and over all of them one surface with the cursors.
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { theme as themeStore } from '../app/theme';
import { useStore } from '../model/store';
import { roundText } from '../model/value';
import { formatCivil, formatDuration, zoneLabel } from '../model/time';
import type { TrendController } from './controller';
import { ROW_HEIGHT } from './draw';
import { chartKey, Gestures, type Selection } from './gestures';
import { AXIS_WIDTH, RIGHT_MARGIN, TIME_AXIS_HEIGHT } from './drawing';
import { Flags } from './flags';
import { LaneChart } from './lane_chart';
import type { Lane } from './lane';
import { annotationsAt } from './marks';
import { penColour } from './palette';

const LANE_HEIGHT_MIN = 110;
const LANE_HEIGHT_MAX = 420;
const TABLE_SHARE = 0.42;
/** How near the cursor is to an annotated moment, in thousandths of the range. */
const CURSOR_SLACK = 5n;

export function Chart({ controller, pen }: { readonly controller: TrendController; readonly pen: string | null }) {
  const stack = useRef<HTMLDivElement>(null);
  const surface = useRef<HTMLDivElement>(null);
  const gestures = useRef<Gestures | null>(null);
  const [width, setWidth] = useState(0);
  const [selection, setSelection] = useState<Selection | null>(null);
  const lanes = useStore(controller.lanes);
  const view = useStore(controller.view);

  useLayoutEffect(() => {
    const element = stack.current;
    if (!element) return;
    const measure = () => {
      const next = element.clientWidth;
      setWidth(next);
      controller.setWidth(Math.max(1, next - AXIS_WIDTH - RIGHT_MARGIN));
    };
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    measure();
    return () => observer.disconnect();
  }, []);

  useEffect(() => {
    if (!surface.current) return;
    const created = new Gestures(surface.current, controller, setSelection);
    gestures.current = created;
    return created.attach();
  }, []);

  const heights = laneHeights(lanes, view.hidden, view.chartOnly);
  return (
    <div
      class="chart"
      tabIndex={0}
      role="group"
      aria-label="Chart. Arrow keys move the cursor, with Ctrl from sample to sample; Enter pins it; plus and minus zoom; brackets step by a period; N writes an annotation; Escape clears the cursors."
      aria-keyshortcuts="ArrowLeft ArrowRight Enter A B N Z L Plus Minus BracketLeft BracketRight Escape"
      onKeyDown={(event) => {
        if (event.metaKey || event.target !== event.currentTarget || !gestures.current) return;
        if (chartKey(event, controller, gestures.current, width - AXIS_WIDTH - RIGHT_MARGIN, pen)) event.preventDefault();
      }}
    >
      <div class="lanes" ref={stack}>
        {width > 0 && lanes.map((lane, at) => (
          <section key={lane.key} class="lane" data-lane={lane.key}>
            <LaneHead controller={controller} lane={lane} />
            <LaneChart controller={controller} lane={lane} width={width} height={heights[at] ?? LANE_HEIGHT_MIN} withTimes={at === lanes.length - 1} />
            <Flags controller={controller} lane={lane} width={width - AXIS_WIDTH - RIGHT_MARGIN} />
          </section>
        ))}
        <div class="surface" ref={surface} data-testid="surface">
          {selection && <div class="selection" style={{ left: `${selection.left}px`, width: `${selection.right - selection.left}px` }} />}
          <Cursors controller={controller} />
        </div>
      </div>
      <ZoneName controller={controller} />
    </div>
  );
}

function laneHeights(lanes: readonly Lane[], hidden: readonly string[], chartOnly: boolean): number[] {
  const rows = lanes.filter((lane) => lane.discrete).flatMap((lane) => lane.pens.filter((pen) => !hidden.includes(pen.name))).length;
  const analog = lanes.filter((lane) => !lane.discrete).length;
  const room = innerHeight * (chartOnly ? 1 : 1 - TABLE_SHARE) - 130 - rows * ROW_HEIGHT;
  const each = Math.min(LANE_HEIGHT_MAX, Math.max(LANE_HEIGHT_MIN, room / Math.max(1, analog)));
  return lanes.map((lane, at) => {
    const own = lane.discrete ? Math.max(1, lane.pens.filter((pen) => !hidden.includes(pen.name)).length) * ROW_HEIGHT + 8 : each;
    return Math.round(own + (at === lanes.length - 1 ? TIME_AXIS_HEIGHT : 0));
  });
}

function LaneHead({ controller, lane }: { readonly controller: TrendController; readonly lane: Lane }) {
  const state = useStore(controller.laneStates).get(lane.key);
  const view = useStore(controller.view);
  const theme = useStore(themeStore);
  return (
    <header class="lane-head">
      <b class="lane-unit">{lane.discrete ? 'states' : lane.unit || 'no unit'}</b>
      {lane.pens.map((pen) => (
        <button
          key={pen.name}
          type="button"
          class={`pen-label${view.hidden.includes(pen.name) ? ' off' : ''}`}
          title={`${pen.name}: click hides or shows, Alt-click isolates`}
          aria-pressed={!view.hidden.includes(pen.name)}
          onClick={(event) => (event.altKey ? controller.isolate(pen.name) : controller.toggle(pen.name))}
        >
          <i style={{ background: penColour(theme, pen.index) }} />
          <span class="long-name">{pen.name}</span>
          <span class="short-name">{shortName(pen.name)}</span>
        </button>
      ))}
      {!lane.discrete && <ScaleButton controller={controller} lane={lane} />}
      {state?.loading && <span class="lane-note" role="status">loading…</span>}
      {state?.error && <span class="lane-note bad" role="alert">{state.error}</span>}
    </header>
  );
}

/** The last two levels, for narrow screens. */
function shortName(name: string): string {
  return name.split('/').slice(-2).join('/');
}

/** Says whether the scale follows the pens, and switches it. */
function ScaleButton({ controller, lane }: { readonly controller: TrendController; readonly lane: Lane }) {
  const kept = useStore(controller.view).scales[lane.code];
  return (
    <button
      type="button"
      class="scale-button"
      aria-pressed={kept !== undefined}
      title={kept ? 'The scale is kept; click lets it follow the pens' : 'The scale follows the pens; click keeps it'}
      onClick={() => controller.keepScale(lane)}
    >
      {kept ? `scale ${roundText(kept[0], 4)} to ${roundText(kept[1], 4)} kept` : 'auto scale'}
    </button>
  );
}

function ZoneName({ controller }: { readonly controller: TrendController }) {
  const range = useStore(controller.range);
  useStore(controller.view);
  return <p class="axis-zone" data-testid="axis-zone">{zoneLabel(controller.zone, range.end)}</p>;
}

function Cursors({ controller }: { readonly controller: TrendController }) {
  const cursor = useStore(controller.cursor);
  const range = useStore(controller.range);
  const view = useStore(controller.view);
  const span = Number(range.end - range.start);
  const decimals = span < 60e9 ? (span < 60e6 ? 9 : 3) : 0;
  const line = (time: bigint | null, kind: 'a' | 'b' | 'moving') => {
    if (time === null || time < range.start || time > range.end) return null;
    const at = Number(time - range.start) / span;
    return (
      <div key={kind} class={`cursor cursor-${kind}`} style={{ left: `${at * 100}%` }}>
        <span class={`cursor-label${at > 0.85 ? ' flip' : ''}`}>
          {kind !== 'moving' && <b>{kind.toUpperCase()} </b>}
          {formatCivil(time, controller.zone, decimals)}
        </span>
      </div>
    );
  };
  return (
    <>
      {line(view.a, 'a')}
      {line(view.b, 'b')}
      {line(cursor, 'moving')}
    </>
  );
}

/** What lies between the cursors, in words. */
export function CursorSummary({ controller }: { readonly controller: TrendController }) {
  const view = useStore(controller.view);
  const range = useStore(controller.range);
  const annotations = useStore(controller.annotations);
  const cursor = useStore(controller.cursor);
  const under = cursor === null ? [] : annotationsAt(annotations, cursor, ((range.end - range.start) * CURSOR_SLACK) / 1000n);
  const time = (at: bigint) => formatCivil(at, controller.zone);
  return (
    <p class="cursor-summary" data-testid="cursor-summary">
      {view.a !== null && <span><b class="tag-a">A</b> {time(view.a)}</span>}
      {view.b !== null && <span><b class="tag-b">B</b> {time(view.b)}</span>}
      {view.a !== null && view.b !== null && <span>Δ {formatDuration(view.b - view.a)}</span>}
      {view.a === null && <span class="soft">{time(range.start)} – {time(range.end)} · {formatDuration(range.end - range.start)}</span>}
      <span class="soft">{zoneLabel(controller.zone, range.end)}</span>
      {under.length > 0 && <span class="remark under" data-testid="under-cursor">✎ {under.map(({ text }) => text).join(' · ')}</span>}
    </p>
  );
}

// The table under the chart: what each pen reads at the cursors, and its figures over the selection.
import { Fragment } from 'preact';
import type { Instant } from '../api/instant';
import { tagAddress } from '../app/route';
import { theme as themeStore } from '../app/theme';
import { qualityName, severity } from '../model/quality';
import { useStore } from '../model/store';
import { formatDuration } from '../model/time';
import { unitText } from '../model/unit';
import { difference, exactText, resolvedText, roundText, shortText, type Value } from '../model/value';
import type { TrendController } from './controller';
import type { Pen } from './lane';
import { penColour } from './palette';
import { readTrace, type Reading, type Trace } from './trace';

interface Props {
  readonly controller: TrendController;
  readonly chosen: string | null;
  readonly onChoose: (name: string) => void;
}

export function PenTable({ controller, chosen, onChoose }: Props) {
  useStore(controller.lanes);
  const view = useStore(controller.view);
  const statistics = useStore(controller.statistics);
  const missing = useStore(controller.missing);
  const corrections = useStore(controller.corrections);
  const pens = controller.pens();
  const between = view.a !== null && view.b !== null;
  if (pens.length + missing.length === 0) return null;
  return (
    <div class="table-scroll" tabIndex={0} role="region" aria-label="Readings">
      <table class="pens" data-testid="pens">
        <thead>
          <tr>
            <th scope="col"><span class="sr">Shown</span></th>
            <th scope="col">Tag</th>
            <th scope="col">Unit</th>
            <th scope="col" class="number">Cursor</th>
            <th scope="col" class="number"><b class="tag-a">A</b></th>
            <th scope="col" class="number"><b class="tag-b">B</b></th>
            <th scope="col" class="number">Δ</th>
            <th scope="col" class="number" title={`Time-weighted average ${between ? 'between A and B' : 'of the view'}`}>Average</th>
            <th scope="col" class="number">Minimum</th>
            <th scope="col" class="number">Maximum</th>
            <th scope="col" class="number">% good</th>
            <th scope="col"><span class="sr">Remove</span></th>
          </tr>
        </thead>
        <tbody>
          {pens.map((pen) => {
            const figures = statistics.get(pen.name);
            // Names of states have no order, and no mean.
            const named = (pen.tag.state_set?.length ?? 0) > 0;
            return (
              <tr key={pen.name} class={`${view.hidden.includes(pen.name) ? 'off' : ''}${chosen === pen.name ? ' chosen' : ''}`} onClick={() => onChoose(pen.name)}>
                <td><Swatch controller={controller} pen={pen} /></td>
                <th scope="row">
                  <a href={tagAddress(pen.name)} title={pen.tag.description || pen.name}>{pen.name}</a>
                  {corrections.has(pen.name) && <a class="corrected" href={tagAddress(pen.name)}>{corrections.get(pen.name)?.length} corrected</a>}
                </th>
                <td>{unitText(pen.tag.unit ?? '')}</td>
                <MovingCell controller={controller} pen={pen} />
                <PinCells controller={controller} pen={pen} />
                <Figure value={named ? null : figures?.average} />
                <Figure value={named ? null : figures?.minimum} states={pen.states} />
                <Figure value={named ? null : figures?.maximum} states={pen.states} />
                <Figure value={figures?.percentGood} digits={4} />
                <td><button type="button" class="plain" aria-label={`Remove ${pen.name}`} onClick={() => controller.remove(pen.name)}>×</button></td>
              </tr>
            );
          })}
          {missing.map((name) => (
            <tr key={name} class="off">
              <td />
              <th scope="row">{name}</th>
              <td colSpan={9} class="bad">There is no such tag, or you may not read it.</td>
              <td><button type="button" class="plain" aria-label={`Remove ${name}`} onClick={() => controller.remove(name)}>×</button></td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Swatch({ controller, pen }: { readonly controller: TrendController; readonly pen: Pen }) {
  const theme = useStore(themeStore);
  const hidden = useStore(controller.view).hidden.includes(pen.name);
  const colour = penColour(theme, pen.index);
  return (
    <button
      type="button"
      class="swatch"
      aria-pressed={!hidden}
      aria-label={`Show ${pen.name}`}
      title="Click hides or shows, Alt-click isolates"
      style={{ borderColor: colour, background: hidden ? 'transparent' : colour }}
      onClick={(event) => (event.altKey ? controller.isolate(pen.name) : controller.toggle(pen.name))}
    />
  );
}

/** The reading of the drawing under the moving cursor, as fine as a pixel resolves it. */
function MovingCell({ controller, pen }: { readonly controller: TrendController; readonly pen: Pen }) {
  const cursor = useStore(controller.cursor);
  const range = useStore(controller.range);
  const trace = useStore(controller.traces).get(pen.name);
  const compared = useStore(controller.compared).get(pen.name);
  if (!trace) return <td class="number" />;
  const at = cursor ?? range.end - 1n;
  const reading = readTrace(trace, Number(at - trace.origin));
  const earlier = compared && readTrace(compared, Number(at - compared.origin));
  const level = reading.value === null ? ' bad' : reading.uncertain && cursor !== null ? ' uncertain' : '';
  return (
    <td class={`number${level}`}>
      {readingText(pen, trace, reading)}
      {cursor !== null && <SilentNote ns={reading.silentNs} />}
      {earlier && <span class="earlier" title="in the compared period">{readingText(pen, trace, earlier) || '—'}</span>}
    </td>
  );
}

/** What stands on a line over a silence was calculated, and nothing near it reported. */
function SilentNote({ ns }: { readonly ns: number }) {
  return ns > 0 ? <span class="earlier" data-silent>nothing reported for {formatDuration(BigInt(Math.round(ns)))}</span> : null;
}

function readingText(pen: Pen, trace: Trace, { value, reason }: Reading): string {
  if (value === null) return reason;
  if (typeof value === 'string') return value;
  return pen.discrete ? shortText(value, pen.states) : resolvedText(value, resolutionOf(trace));
}

function resolutionOf(trace: Trace): number {
  const span = trace.maximum - trace.minimum;
  return span > 0 ? span / 2000 : Math.abs(trace.maximum) * 1e-4;
}

function PinCells({ controller, pen }: { readonly controller: TrendController; readonly pen: Pen }) {
  const pins = useStore(controller.pins);
  const view = useStore(controller.view);
  useStore(controller.traces);
  const a = view.a === null ? undefined : pins.a?.get(pen.name);
  const b = view.b === null ? undefined : pins.b?.get(pen.name);
  const change = a && b ? difference(valueOf(a), valueOf(b)) : null;
  return (
    <Fragment>
      <PinCell controller={controller} pen={pen} time={view.a} at={a} pin="a" />
      <PinCell controller={controller} pen={pen} time={view.b} at={b} pin="b" />
      <td class="number" data-pin="delta" data-exact={change === null || pen.discrete ? '' : exactText(change)}>
        {change === null || pen.discrete ? '' : shortText(change)}
      </td>
    </Fragment>
  );
}

function valueOf({ value, quality }: Instant): Value {
  return severity(quality) === 'bad' ? null : value;
}

/** What the engine answers for a pinned moment. `data-exact` has every digit of it. */
function PinCell({ controller, pen, time, at, pin }: {
  readonly controller: TrendController; readonly pen: Pen; readonly time: bigint | null; readonly at: Instant | undefined; readonly pin: string;
}) {
  if (time === null || !at) return <td class="number" data-pin={pin} data-exact="" />;
  const gap = controller.gapAt(pen.name, time, at.sampled);
  if (gap) return <td class="number bad" data-pin={pin} data-exact="">No data: {gap}</td>;
  if (severity(at.quality) === 'bad') {
    const text = at.sampled === null ? 'no sample yet' : `Bad: ${qualityName(at.quality)}`;
    return <td class="number bad" data-pin={pin} data-exact="">{text}</td>;
  }
  const exact = exactText(at.value, pen.states);
  return (
    <td
      class={`number${severity(at.quality) === 'uncertain' ? ' uncertain' : ''}`}
      data-pin={pin}
      data-exact={exact}
      title={`${exact} · ${qualityName(at.quality)}`}
    >
      {shortText(at.value, pen.states)}
      <SilentNote ns={controller.silentNs(pen.name, time)} />
    </td>
  );
}

function Figure({ value, states, digits = 7 }: { readonly value: Value | undefined; readonly states?: readonly string[]; readonly digits?: number }) {
  if (value === undefined || value === null) return <td class="number" />;
  const text = states?.length ? exactText(value, states) : typeof value === 'number' && !Number.isInteger(value) ? roundText(value, digits) : String(value);
  return <td class="number" title={String(value)} data-exact={String(value)}>{text}</td>;
}

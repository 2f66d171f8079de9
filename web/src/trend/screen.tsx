// The Trend screen.
import { useEffect, useMemo, useState } from 'preact/hooks';
import type { Finding } from '../api/findings';
import { errorText } from '../api/request';
import { expose } from '../app/probe';
import { location$ } from '../app/route';
import { useStore } from '../model/store';
import { formatCivil, SECOND_NS, type Range } from '../model/time';
import { Menu } from '../ui/menu';
import { copyText, tell } from '../ui/notice';
import { Chart, CursorSummary } from './chart';
import { TrendController } from './controller';
import { copyForms } from './copy';
import { downloadDrawn, downloadSamples } from './csv';
import { zoomToPins } from './gestures';
import { PenTable } from './pen_table';
import { TagSearch } from './search';
import { readingsText } from './readings_text';
import { TimeBar } from './time_bar';

const FINDINGS_SHOWN = 50;
const MARGIN_NS_MIN = 60n * SECOND_NS;

export function TrendScreen() {
  const controller = useMemo(() => new TrendController(), []);
  useEffect(() => controller.start(), [controller]);
  useEffect(() => expose('trend', () => controller.snapshot()), [controller]);
  const view = useStore(controller.view);
  const problem = useStore(controller.problem);
  const lanes = useStore(controller.lanes);
  const [chosen, setChosen] = useState<string | null>(null);
  const pen = chosen !== null && view.tags.includes(chosen) ? chosen : (view.tags[0] ?? null);
  return (
    <main class={`trend${view.chartOnly ? ' chart-only' : ''}`}>
      <h1 class="sr">Trend</h1>
      {!view.chartOnly && (
        <div class="bars">
          <div class="bar">
            <TagSearch label="Add a tag" placeholder="Add a tag: part of its name, unit, description  ( / )" taken={view.tags} eager={!location$.value.search.includes('tag=')} onTake={(tag) => controller.add(tag)} />
            <Actions controller={controller} />
          </div>
          <TimeBar controller={controller} />
        </div>
      )}
      {problem && <p class="problem" role="alert">{problem}</p>}
      {view.tags.length === 0 && (
        <div class="empty">
          <h2>No pens yet</h2>
          <p>Type a part of a tag’s name above and press Enter. Tags of one unit share a lane; the address of this page is the view, so it can be sent to a colleague.</p>
        </div>
      )}
      <div class={lanes.length === 0 ? 'invisible' : ''}>
        <Chart controller={controller} pen={pen} />
        {!view.chartOnly && lanes.length > 0 && <CursorSummary controller={controller} />}
      </div>
      {!view.chartOnly && <PenTable controller={controller} chosen={pen} onChoose={setChosen} />}
      {!view.chartOnly && <FindingsList controller={controller} />}
      {!view.chartOnly && lanes.length > 0 && <KeyHelp />}
    </main>
  );
}

function Actions({ controller }: { readonly controller: TrendController }) {
  const view = useStore(controller.view);
  const range = useStore(controller.range);
  if (view.tags.length === 0) return null;
  const copies = [
    ...copyForms(view, range).map((form) => ({ name: form.name, run: () => void copyText(form.text, form.name) })),
    { name: 'Readings (table)', run: () => void copyText(readingsText(controller), 'Readings') },
  ];
  const samples = () => {
    tell('Fetching the samples…');
    downloadSamples(view, range).catch((error: unknown) => tell(errorText(error)));
  };
  return (
    <div class="actions">
      {view.a !== null && view.b !== null && <button type="button" onClick={() => zoomToPins(controller)}>Zoom to A–B</button>}
      {view.a !== null && <button type="button" onClick={() => controller.clearPins()}>Clear A, B</button>}
      <Menu label="Copy as" items={copies}>Copy as ▾</Menu>
      <Menu
        label="CSV"
        items={[
          { name: 'All samples of the view', run: samples },
          { name: 'Points as drawn', run: () => downloadDrawn(controller.drawnPoints(), range) },
        ]}
      >
        CSV ▾
      </Menu>
    </div>
  );
}

/** What is marked on the lines, in words; a click looks closer. */
function FindingsList({ controller }: { readonly controller: TrendController }) {
  const findings = useStore(controller.findings);
  if (findings.length === 0) return null;
  const shown = [...findings].sort((left, right) => right.score - left.score).slice(0, FINDINGS_SHOWN);
  return (
    <details class="marked">
      <summary>{findings.length} findings of {controller.view.value.detector}{findings.length > FINDINGS_SHOWN ? `, the ${FINDINGS_SHOWN} highest` : ''}</summary>
      <ul>
        {shown.map((finding, at) => (
          <li key={at}>
            <button type="button" class="plain" onClick={() => controller.zoomTo(aroundOf(finding))}>{formatCivil(finding.start, controller.zone, 0)}</button>
            <b>{finding.tag}</b> {finding.explanation}
          </li>
        ))}
      </ul>
    </details>
  );
}

function aroundOf({ start, end }: Finding): Range {
  const margin = end - start < MARGIN_NS_MIN ? MARGIN_NS_MIN : end - start;
  return { start: start - margin, end: end + margin };
}

function KeyHelp() {
  return (
    <details class="keys">
      <summary>Keys and gestures</summary>
      <p>
        Drag zooms, Shift-drag pans, the wheel and two fingers zoom. A click pins cursor A, the next B. With the chart in focus: <kbd>←</kbd> <kbd>→</kbd> a pixel
        (<kbd>Shift</kbd> twenty, <kbd>Ctrl</kbd> to the next sample of the chosen row), <kbd>Enter</kbd> pins, <kbd>Z</kbd> zooms to A–B, <kbd>+</kbd> <kbd>−</kbd> zoom,
        <kbd>[</kbd> <kbd>]</kbd> a period back and forward, <kbd>L</kbd> live, <kbd>Esc</kbd> clears, <kbd>/</kbd> searches. Alt-click on a pen isolates it.
      </p>
    </details>
  );
}

// The Trend screen.
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { AnnotationDialog } from '../annotations/dialog';
import { AnnotationTable, frameOf } from '../annotations/table';
import { errorText } from '../api/request';
import { expose } from '../app/probe';
import { location$ } from '../app/route';
import { may, mayOn, who } from '../app/who';
import { useStore } from '../model/store';
import { formatCivil } from '../model/time';
import { Menu } from '../ui/menu';
import { copyText, tell } from '../ui/notice';
import { ViewsMenu } from '../views/menu';
import { Chart, CursorSummary } from './chart';
import { TrendController } from './controller';
import { copyForms } from './copy';
import { downloadDrawn, downloadPlot, downloadSamples } from './download';
import { zoomToPins } from './gestures';
import { PenTable } from './pen_table';
import { TagSearch } from './search';
import { readingsText } from './readings_text';
import { TimeBar } from './time_bar';

const ANNOTATIONS_SHOWN = 200;
const FINDINGS_SHOWN = 50;

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
            <div class="actions">
              <Actions controller={controller} />
              <ViewsMenu controller={controller} />
            </div>
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
      {!view.chartOnly && <AnnotationList controller={controller} />}
      {!view.chartOnly && <FindingsList controller={controller} />}
      {!view.chartOnly && (
        <AnnotationDialog dialog={controller.dialog} zone={controller.zone} tags={view.tags} periods={controller.periods()} onChange={() => void controller.annotations.read()} />
      )}
      {!view.chartOnly && lanes.length > 0 && <KeyHelp />}
    </main>
  );
}

function Actions({ controller }: { readonly controller: TrendController }) {
  const view = useStore(controller.view);
  const range = useStore(controller.range);
  const caller = useStore(who);
  if (view.tags.length === 0) return null;
  const copies = [
    ...copyForms(view, range).map((form) => ({ name: form.name, run: () => void copyText(form.text, form.name) })),
    { name: 'Readings (table)', run: () => void copyText(readingsText(controller), 'Readings') },
  ];
  const fetching = (file: Promise<void>) => {
    tell('Fetching…');
    file.catch((error: unknown) => tell(errorText(error)));
  };
  const shown = view.tags.filter((tag) => !view.hidden.includes(tag));
  const downloads = [
    { name: 'All samples, CSV', run: () => fetching(downloadSamples(view.tags, range, 'csv')) },
    { name: 'All samples, Parquet', run: () => fetching(downloadSamples(view.tags, range, 'parquet')) },
    { name: 'Points as drawn, CSV', run: () => downloadDrawn(controller.drawnPoints(), range) },
    { name: 'Points as drawn, Parquet', run: () => fetching(downloadPlot(shown, controller.shownRange(), controller.pointsAsked())) },
  ];
  return (
    <>
      {view.a !== null && view.b !== null && <button type="button" onClick={() => zoomToPins(controller)}>Zoom to A–B</button>}
      {view.a !== null && <button type="button" onClick={() => controller.clearPins()}>Clear A, B</button>}
      {may(caller, 'write') && <button type="button" onClick={() => controller.annotate()}>Annotate</button>}
      <Menu label="Copy as" items={copies}>Copy as ▾</Menu>
      <Menu label="Download" items={downloads}>Download ▾</Menu>
    </>
  );
}

/** The texts on the lines as rows; the time of one leads to its frame. */
function AnnotationList({ controller }: { readonly controller: TrendController }) {
  const annotations = useStore(controller.annotations);
  const more = useStore(controller.annotations.more);
  const chosen = useStore(controller.chosenAnnotation);
  const caller = useStore(who);
  const details = useRef<HTMLDetailsElement>(null);
  useEffect(() => {
    if (chosen !== null && details.current) details.current.open = true;
  }, [chosen]);
  if (annotations.length === 0) return null;
  return (
    <details class="marked" open ref={details}>
      <summary>
        {annotations.length}{more && ' and more'} {annotations.length === 1 ? 'annotation' : 'annotations'}
        {annotations.length > ANNOTATIONS_SHOWN && `, the first ${ANNOTATIONS_SHOWN} in rows: look at less time for the others`}
      </summary>
      <AnnotationTable
        annotations={annotations.slice(0, ANNOTATIONS_SHOWN)}
        zone={controller.zone}
        dialog={controller.dialog}
        mayChange={({ tags }) => tags.every((tag) => mayOn(caller, 'write', tag))}
        chosen={chosen}
        link={(annotation, text) => <button type="button" class="plain link" onClick={() => controller.zoomTo(frameOf(annotation))}>{text}</button>}
      />
    </details>
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
            <button type="button" class="plain" onClick={() => controller.zoomTo(frameOf(finding))}>{formatCivil(finding.start, controller.zone, 0)}</button>
            <b>{finding.tag}</b> {finding.explanation}
          </li>
        ))}
      </ul>
    </details>
  );
}

function KeyHelp() {
  return (
    <details class="keys">
      <summary>Keys and gestures</summary>
      <p>
        Drag zooms, Shift-drag pans, the wheel and two fingers zoom. A click pins cursor A, the next B. With the chart in focus: <kbd>←</kbd> <kbd>→</kbd> a pixel
        (<kbd>Shift</kbd> twenty, <kbd>Ctrl</kbd> to the next sample of the chosen row), <kbd>Enter</kbd> pins, <kbd>Z</kbd> zooms to A–B, <kbd>+</kbd> <kbd>−</kbd> zoom,
        <kbd>[</kbd> <kbd>]</kbd> a period back and forward, <kbd>L</kbd> live, <kbd>N</kbd> annotates what is pinned, <kbd>Esc</kbd> clears, <kbd>/</kbd> searches. Alt-click on a pen isolates it.
      </p>
      <p>Thin dashes stand where a sloped tag reported nothing for much longer than usual. Dots are Uncertain, hatching is Bad, yellow is annotated, red was found by a detector.</p>
    </details>
  );
}

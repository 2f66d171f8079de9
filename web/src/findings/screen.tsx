// Asks a detector about tags over a time, and lists what it finds with its explanation. The question is in the address.
import { useEffect, useState } from 'preact/hooks';
import { fetchFindings, listDetectors, type Finding } from '../api/findings';
import type { DetectorParameter } from '../api/messages';
import { errorText } from '../api/request';
import { expose } from '../app/probe';
import { location$, navigate, tagAddress, trendAddress } from '../app/route';
import { useStore } from '../model/store';
import { formatCivil, formatDuration, formatRfc3339 } from '../model/time';
import { browserZone } from '../model/zone';
import { roundText } from '../model/value';
import { Problem } from '../ui/parts';
import { usePolled } from '../ui/polled';

const FINDINGS_SHOWN = 500;
/** From this score on a finding is critical. */
const CRITICAL = 2;
const PARAMETER = 'p.';

interface Draft {
  readonly detector: string;
  readonly tags: string;
  readonly start: string;
  readonly end: string;
  readonly parameters: Readonly<Record<string, string>>;
}

function questionOf(search: string): Draft {
  const parameters = new URLSearchParams(search);
  return {
    detector: parameters.get('detector') ?? 'spike',
    tags: parameters.get('tags') ?? '**',
    start: parameters.get('start') ?? '*-24h',
    end: parameters.get('end') ?? '*',
    parameters: Object.fromEntries([...parameters].filter(([name]) => name.startsWith(PARAMETER)).map(([name, value]) => [name.slice(PARAMETER.length), value])),
  };
}

function addressOf({ detector, tags, start, end, parameters }: Draft): string {
  const given = Object.entries(parameters).filter(([, value]) => value !== '').map(([name, value]) => [PARAMETER + name, value]);
  return `/findings?${new URLSearchParams([['detector', detector], ['tags', tags], ['start', start], ['end', end], ...given, ['run', '1']])}`;
}

/** Numbers and truth values as such, everything else as the text that it is. */
function parameterValue(text: string): string | number | boolean {
  if (text === 'true' || text === 'false') return text === 'true';
  return /^-?\d+(\.\d+)?([eE][+-]?\d+)?$/.test(text) ? Number(text) : text;
}

export function FindingsScreen() {
  const { search } = useStore(location$);
  const asked = questionOf(search);
  const [draft, setDraft] = useState(asked);
  const [answer, setAnswer] = useState<{ found: readonly Finding[] | null; error: string; running: boolean }>({ found: null, error: '', running: false });
  const detectors = usePolled(listDetectors, 0, []);
  const [run, setRun] = useState(0);

  useEffect(() => setDraft(questionOf(search)), [search]);
  useEffect(() => {
    if (new URLSearchParams(search).get('run') !== '1') return;
    const abort = new AbortController();
    setAnswer((before) => ({ ...before, error: '', running: true }));
    const { detector, tags, start, end, parameters } = questionOf(search);
    const question = {
      tags: tags.split(/[\s,]+/).filter(Boolean), start, end, detector,
      parameters: Object.fromEntries(Object.entries(parameters).map(([name, text]) => [name, parameterValue(text)])),
    };
    fetchFindings(question, abort.signal).then(
      (found) => setAnswer({ found, error: '', running: false }),
      (error: unknown) => {
        if (!abort.signal.aborted) setAnswer((before) => ({ ...before, error: errorText(error), running: false }));
      },
    );
    return () => abort.abort();
  }, [search, run]);
  useEffect(() => expose('findings', () => ({ question: asked, running: answer.running, error: answer.error, found: answer.found?.map((finding) => ({ ...finding, start: String(finding.start), end: String(finding.end) })) ?? null })));

  const chosen = detectors.value?.find((detector) => detector.name === draft.detector);
  return (
    <main class="page">
      <div class="page-head"><h1>Findings</h1></div>
      <form
        class="question"
        onSubmit={(event) => {
          event.preventDefault();
          navigate(addressOf(draft));
          setRun((count) => count + 1);
        }}
      >
        <label>Detector
          <select value={draft.detector} onChange={(event) => setDraft({ ...draft, detector: event.currentTarget.value, parameters: {} })}>
            {(detectors.value ?? [{ name: draft.detector }]).map((detector) => <option key={detector.name} value={detector.name}>{detector.name}</option>)}
          </select>
        </label>
        <label class="wide">Tags
          <input type="text" value={draft.tags} spellcheck={false} title="Names and globs: area1/**, */pressure" onInput={(event) => setDraft({ ...draft, tags: event.currentTarget.value })} />
        </label>
        <label>Start<input type="text" value={draft.start} spellcheck={false} onInput={(event) => setDraft({ ...draft, start: event.currentTarget.value })} /></label>
        <label>End<input type="text" value={draft.end} spellcheck={false} onInput={(event) => setDraft({ ...draft, end: event.currentTarget.value })} /></label>
        <button type="submit" class="primary" disabled={answer.running}>{answer.running ? 'Looking…' : 'Find'}</button>
        {chosen && <p class="soft detector-about">{chosen.description}</p>}
        {(chosen?.parameters ?? []).length > 0 && (
          <details class="parameters" open={Object.values(draft.parameters).some(Boolean)}>
            <summary>Parameters</summary>
            <div>{(chosen?.parameters ?? []).map((parameter) => (
              <Parameter
                key={parameter.name}
                parameter={parameter}
                value={draft.parameters[parameter.name ?? ''] ?? ''}
                onInput={(value) => setDraft({ ...draft, parameters: { ...draft.parameters, [parameter.name ?? '']: value } })}
              />
            ))}</div>
          </details>
        )}
      </form>
      <Problem text={detectors.error || answer.error} />
      {answer.found && <Found found={answer.found} />}
      {!answer.found && !answer.running && !answer.error && <p class="empty">Choose a detector and tags, and press Find. Bad samples are never scored; a score of 1 is anomalous, 2 critical.</p>}
    </main>
  );
}

function Parameter({ parameter, value, onInput }: { readonly parameter: DetectorParameter; readonly value: string; readonly onInput: (value: string) => void }) {
  return (
    <label title={[parameter.description, parameter.unit && `unit: ${parameter.unit}`, parameter.allowed && `allowed: ${parameter.allowed}`].filter(Boolean).join('\n')}>
      {(parameter.name ?? '').replaceAll('_', ' ')}
      <input type="text" value={value} placeholder={parameter.default_value || 'not set'} spellcheck={false} onInput={(event) => onInput(event.currentTarget.value)} />
    </label>
  );
}

function Found({ found }: { readonly found: readonly Finding[] }) {
  const shown = [...found].sort((left, right) => right.score - left.score).slice(0, FINDINGS_SHOWN);
  return (
    <>
      <p role="status" class="soft">
        {found.length === 0 ? 'Nothing was found.' : `${found.length} findings, the highest scores first${found.length > FINDINGS_SHOWN ? `; ${FINDINGS_SHOWN} are shown` : ''}. Times in ${browserZone}.`}
      </p>
      {found.length > 0 && (
        <div class="table-scroll" tabIndex={0} role="region" aria-label="Findings">
          <table data-testid="findings">
            <thead>
              <tr>
                <th scope="col" class="number">Score</th><th scope="col">Tag</th><th scope="col">Start</th><th scope="col" class="number">Length</th>
                <th scope="col">Explanation</th><th scope="col"><span class="sr">Trend</span></th>
              </tr>
            </thead>
            <tbody>{shown.map((finding, row) => (
              <tr key={row}>
                <td class={`number status ${finding.score >= CRITICAL ? 'bad' : 'uncertain'}`}>{roundText(finding.score, 3)}</td>
                <th scope="row"><a href={tagAddress(finding.tag)}>{finding.tag}</a></th>
                <td>{formatCivil(finding.start, browserZone, 0)}</td>
                <td class="number">{formatDuration(finding.end - finding.start)}</td>
                <td>{finding.explanation}</td>
                <td><a href={around(finding)}>Trend</a></td>
              </tr>
            ))}</tbody>
          </table>
        </div>
      )}
    </>
  );
}

/** The finding in the middle of a trend, its bounds pinned. */
function around({ tag, start, end }: Finding): string {
  const length = end > start ? end - start : 1_000_000_000n;
  const margin = length < 60_000_000_000n ? 120_000_000_000n : length;
  return trendAddress([tag], {
    start: formatRfc3339(start - margin), end: formatRfc3339(end + margin), a: formatRfc3339(start), b: formatRfc3339(end > start ? end : start + length),
  });
}

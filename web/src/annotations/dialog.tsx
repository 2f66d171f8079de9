// What is done with annotations: written, changed, removed, and their versions read. Each is asked in a dialog over the screen.
import { useEffect, useState } from 'preact/hooks';
import { createAnnotation, removeAnnotation, updateAnnotation, versionsOf, type Annotation, type Remark } from '../api/annotations';
import { ApiError, errorText } from '../api/request';
import { mayOn, who } from '../app/who';
import { useStore, type Store } from '../model/store';
import { formatCivil, formatRfc3339, parseTime, zoneLabel, type Range } from '../model/time';
import { Modal } from '../ui/modal';
import { tell } from '../ui/notice';
import { Problem } from '../ui/parts';

export interface Draft extends Remark {
  /** The annotation that is changed; none for a new one. */
  readonly of?: Annotation;
}

export type DialogState =
  | { readonly kind: 'write'; readonly draft: Draft }
  | { readonly kind: 'remove'; readonly annotation: Annotation }
  | { readonly kind: 'versions'; readonly annotation: Annotation };

export type DialogStore = Store<DialogState | null>;

/** A stretch of time that the form offers, by its name. */
export interface Period extends Range {
  readonly name: string;
}

interface Props {
  readonly dialog: DialogStore;
  readonly zone: string;
  /** Tags that may be taken beside those of the annotation. */
  readonly tags: readonly string[];
  readonly periods: readonly Period[];
  /** Something was changed. */
  readonly onChange: () => void;
}

export function AnnotationDialog(props: Props) {
  const state = useStore(props.dialog);
  const close = () => props.dialog.set(null);
  if (state === null) return null;
  if (state.kind === 'write') return <WriteDialog key={state.draft.of?.id ?? ''} {...props} draft={state.draft} onClose={close} />;
  if (state.kind === 'remove') return <RemoveDialog {...props} annotation={state.annotation} onClose={close} />;
  return <VersionsDialog zone={props.zone} annotation={state.annotation} onClose={close} />;
}

interface Bounds {
  readonly from: string;
  readonly to: string;
}

function WriteDialog({ draft, zone, tags, periods, onChange, onClose }: Props & { readonly draft: Draft; readonly onClose: () => void }) {
  const caller = useStore(who);
  const civil = ({ start, end }: Range): Bounds => ({ from: formatCivil(start, zone), to: end === start ? '' : formatCivil(end, zone) });
  const [range, setRange] = useState<Range>(draft);
  const [bounds, setBounds] = useState<Bounds>(civil(draft));
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set(draft.tags));
  const [text, setText] = useState(draft.text);
  const [base, setBase] = useState(draft.of);
  const [problem, setProblem] = useState('');
  const [saving, setSaving] = useState(false);
  const offered = [...new Set([...(draft.of?.tags ?? []), ...tags])];

  const take = (period: Range) => {
    setRange(period);
    setBounds(civil(period));
  };
  /** What stands in a field, or the instant itself where nobody has touched it: a civil time may occur twice. */
  const timeOf = (typed: string, untouched: bigint, name: string): bigint => {
    if (typed.trim() === formatCivil(untouched, zone)) return untouched;
    const time = parseTime(typed, zone, BigInt(Date.now()) * 1_000_000n);
    if (time === null) throw new Error(`${name}: “${typed}” is no time. Examples: 2026-01-31 06:00, *-1h`);
    return time;
  };
  const remark = (): Remark => {
    const start = timeOf(bounds.from, range.start, 'From');
    const end = bounds.to.trim() ? timeOf(bounds.to, range.end, 'To') : start;
    if (end < start) throw new Error('The end must be after the start.');
    if (chosen.size === 0) throw new Error('Choose a tag that the text is about.');
    if (!text.trim()) throw new Error('Write what there is to say.');
    return { tags: offered.filter((tag) => chosen.has(tag)), start, end, text };
  };
  const save = async () => {
    setProblem('');
    setSaving(true);
    try {
      if (base) await updateAnnotation(base.id, base.version, remark());
      else await createAnnotation(remark());
      onChange();
      onClose();
      tell(base ? 'The annotation is changed.' : 'The annotation is kept.');
    } catch (error) {
      setProblem(error instanceof ApiError && base ? await conflictText(error, base, setBase) : errorText(error));
      setSaving(false);
    }
  };
  return (
    <Modal title={draft.of ? `Annotation ${draft.of.id}` : 'New annotation'} onClose={onClose} onSubmit={() => void save()} testId="annotation-form">
      {periods.length > 0 && (
        <div class="segments" role="group" aria-label="Over">
          {periods.map((period) => (
            <button key={period.name} type="button" aria-pressed={bounds.from === civil(period).from && bounds.to === civil(period).to} onClick={() => take(period)}>{period.name}</button>
          ))}
        </div>
      )}
      <div class="pair">
        <label>From<input type="text" spellcheck={false} autocomplete="off" value={bounds.from} onInput={(event) => setBounds({ ...bounds, from: event.currentTarget.value })} /></label>
        <label>To, or nothing for a moment<input type="text" spellcheck={false} autocomplete="off" value={bounds.to} onInput={(event) => setBounds({ ...bounds, to: event.currentTarget.value })} /></label>
      </div>
      <p class="soft">{zoneLabel(zone, range.start)}</p>
      <fieldset>
        <legend>Tags</legend>
        {offered.map((tag) => (
          <label key={tag} class="check">
            <input
              type="checkbox"
              checked={chosen.has(tag)}
              onChange={() => setChosen((before) => {
                const next = new Set(before);
                if (!next.delete(tag)) next.add(tag);
                return next;
              })}
            />
            <span>{tag}{!mayOn(caller, 'write', tag) && <span class="soft"> without the right to write</span>}</span>
          </label>
        ))}
      </fieldset>
      <label>Text<textarea rows={4} autofocus value={text} onInput={(event) => setText(event.currentTarget.value)} /></label>
      <Problem text={problem} />
      <div class="dialog-buttons">
        <button type="button" onClick={onClose}>Cancel</button>
        <button type="submit" class="primary" disabled={saving}>Save</button>
      </div>
    </Modal>
  );
}

/** A refusal in words. After somebody else's change the next save is one of that version. */
async function conflictText(error: ApiError, base: Annotation, setBase: (annotation: Annotation) => void): Promise<string> {
  if (error.code !== 'ABORTED') return errorText(error);
  const [now] = await versionsOf(base.id).catch(() => []);
  if (!now) return errorText(error);
  setBase(now);
  return `Somebody has changed this annotation meanwhile. Version ${now.version}${now.author && `, by ${now.author}`}: “${now.text}”. Save again to replace it.`;
}

function RemoveDialog({ annotation, onChange, onClose }: Props & { readonly annotation: Annotation; readonly onClose: () => void }) {
  const [problem, setProblem] = useState('');
  const remove = async () => {
    try {
      await removeAnnotation(annotation.id, annotation.version);
      onClose();
      tell('The annotation is removed.');
    } catch (error) {
      setProblem(error instanceof ApiError && error.code === 'ABORTED' ? 'Somebody has changed this annotation meanwhile. Close this and look at it again.' : errorText(error));
    }
    onChange();
  };
  return (
    <Modal title={`Remove annotation ${annotation.id}?`} onClose={onClose} onSubmit={() => void remove()} testId="annotation-remove">
      <p class="remark">{annotation.text}</p>
      <p class="soft">It is gone from every trend and list. Its versions are kept, and the audit log tells who removed it.</p>
      <Problem text={problem} />
      <div class="dialog-buttons">
        <button type="button" autofocus onClick={onClose}>Keep</button>
        <button type="submit" class="danger">Remove</button>
      </div>
    </Modal>
  );
}

function VersionsDialog({ annotation, zone, onClose }: { readonly annotation: Annotation; readonly zone: string; readonly onClose: () => void }) {
  const [versions, setVersions] = useState<readonly Annotation[] | null>(null);
  const [problem, setProblem] = useState('');
  useEffect(() => {
    versionsOf(annotation.id).then(setVersions, (error: unknown) => setProblem(errorText(error)));
  }, [annotation.id]);
  return (
    <Modal title={`Versions of annotation ${annotation.id}`} onClose={onClose} onSubmit={onClose} testId="annotation-versions">
      <Problem text={problem} />
      <ol class="versions">
        {(versions ?? []).map((version) => (
          <li key={version.version} value={version.version}>
            <span class="soft">{formatRfc3339(version.time).slice(0, 19)}Z{version.author && ` · ${version.author}`}</span>
            {version.removed ? <span class="bad">removed</span> : <span class="remark">{version.text}</span>}
            {!version.removed && <span class="soft">{formatCivil(version.start, zone)}{version.end !== version.start && ` – ${formatCivil(version.end, zone)}`} · {version.tags.join(', ')}</span>}
          </li>
        ))}
      </ol>
      <div class="dialog-buttons"><button type="submit">Close</button></div>
    </Modal>
  );
}

// Keeping views: the present one under a name, and the others by their rows.
import { useState } from 'preact/hooks';
import type { SavedView } from '../api/messages';
import { ApiError, errorText } from '../api/request';
import { deleteView, saveView } from '../api/views';
import { may, who } from '../app/who';
import { useStore } from '../model/store';
import { Modal } from '../ui/modal';
import { Moment, Problem } from '../ui/parts';
import { isOwn, kindText, type Listing } from './menu';

interface Props {
  readonly listing: Listing;
  /** The present view; null where there is nothing to keep. */
  readonly content: string | null;
  readonly onOpen: (view: SavedView) => void;
  readonly onRefresh: () => Promise<void>;
  readonly onClose: () => void;
}

const REFUSALS: Readonly<Record<string, string>> = {
  ALREADY_EXISTS: 'is the name of another view of yours.',
  ABORTED: 'was changed meanwhile, in another window or by somebody else. The list has it as it is now; try again.',
  NOT_FOUND: 'is not there any more, or it is not yours.',
};

/** A row that is being renamed, or about to be deleted. */
interface Asked {
  readonly id: string;
  readonly what: 'rename' | 'delete';
}

export function ViewsDialog({ listing, content, onOpen, onRefresh, onClose }: Props) {
  const caller = useStore(who);
  const [name, setName] = useState('');
  const [shared, setShared] = useState(false);
  const [asked, setAsked] = useState<Asked | null>(null);
  const [problem, setProblem] = useState('');
  const [done, setDone] = useState('');
  const [taken, setTaken] = useState<SavedView | null>(null);
  const me = caller?.name ?? '';

  /** Does one thing, reads the list again, and says what came of it: whoever reads of a change sees the list as it is now. */
  const act = async (run: () => Promise<unknown>, words: string, about: string): Promise<void> => {
    setProblem('');
    setDone('');
    setTaken(null);
    const failure = await run().then(() => null, (error: unknown) => error ?? 'failed');
    await onRefresh();
    if (failure === null) {
      setDone(words);
      setAsked(null);
      return;
    }
    const code = failure instanceof ApiError ? failure.code : '';
    setProblem(code in REFUSALS ? `“${about}” ${REFUSALS[code]}` : errorText(failure));
    if (code === 'ALREADY_EXISTS') setTaken(listing.views.find((view) => view.name === about && isOwn(view, me)) ?? null);
  };
  const change = (view: SavedView, changes: Partial<SavedView>, words: string) => {
    const { id = '0', version = 0, name: own = '', shared: everybody = false, content: kept = '' } = { ...view, ...changes };
    return act(() => saveView({ id, version, name: own, shared: everybody, content: kept }), words, own);
  };
  const save = () => {
    const own = name.trim();
    if (content === null) return;
    if (!own) setProblem('Give the view a name.');
    else void act(() => saveView({ name: own, shared, content }), `“${own}” is kept.`, own);
  };
  return (
    <Modal title="Views" wide onClose={onClose} onSubmit={save} testId="views">
      {content !== null && (
        <div class="save-view">
          <label>Name of this view<input type="text" autofocus autocomplete="off" value={name} onInput={(event) => setName(event.currentTarget.value)} /></label>
          <label class="check"><input type="checkbox" checked={shared} onChange={(event) => setShared(event.currentTarget.checked)} /><span>Everybody sees it</span></label>
          <button type="submit" class="primary">Save</button>
        </div>
      )}
      <Problem text={problem || listing.error} />
      {taken && content !== null && <p><button type="button" onClick={() => void change(taken, { content, shared }, `“${taken.name}” is overwritten.`)}>Overwrite “{taken.name}”</button></p>}
      <p class={done ? 'status good' : 'sr'} role="status">{done}</p>
      {listing.loaded && listing.views.length === 0 && !listing.error && <p class="soft">No view is kept yet.</p>}
      {listing.views.length > 0 && (
        <div class="table-scroll tall" tabIndex={0} role="region" aria-label="Kept views">
          <table class="kept">
            <thead><tr><th scope="col">Name</th><th scope="col">Who sees it</th><th scope="col">Saved</th><th scope="col"><span class="sr">Change</span></th></tr></thead>
            <tbody>
              {listing.views.map((view) => (
                <tr key={view.id} data-view={view.name}>
                  <th scope="row">
                    <button type="button" class="plain link" onClick={() => { onClose(); onOpen(view); }}>{view.name}</button>
                  </th>
                  <td>{kindText(view, me)}</td>
                  <td><Moment ns={view.time} /></td>
                  <td>
                    <RowActions
                      view={view}
                      own={isOwn(view, me)}
                      mayDelete={isOwn(view, me) || may(caller, 'administer')}
                      content={content}
                      asked={asked !== null && asked.id === view.id ? asked.what : null}
                      onAsk={(what) => setAsked(what && { id: view.id ?? '', what })}
                      onChange={(changes, words) => void change(view, changes, words)}
                      onDelete={() => void act(() => deleteView(view.id ?? '0'), `“${view.name}” is deleted.`, view.name ?? '')}
                    />
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      <div class="dialog-buttons"><button type="button" onClick={onClose}>Close</button></div>
    </Modal>
  );
}

interface RowProps {
  readonly view: SavedView;
  readonly own: boolean;
  readonly mayDelete: boolean;
  readonly content: string | null;
  readonly asked: Asked['what'] | null;
  readonly onAsk: (what: Asked['what'] | null) => void;
  readonly onChange: (changes: Partial<SavedView>, words: string) => void;
  readonly onDelete: () => void;
}

function RowActions({ view, own, mayDelete, content, asked, onAsk, onChange, onDelete }: RowProps) {
  const [name, setName] = useState(view.name ?? '');
  if (asked === 'rename') {
    return (
      <>
        <input
          type="text"
          aria-label="New name"
          autofocus
          value={name}
          onInput={(event) => setName(event.currentTarget.value)}
          onKeyDown={(event) => {
            if (event.key !== 'Enter') return;
            event.preventDefault();
            onChange({ name: name.trim() }, `“${view.name}” is now “${name.trim()}”.`);
          }}
        />
        <button type="button" class="plain link" onClick={() => onChange({ name: name.trim() }, `“${view.name}” is now “${name.trim()}”.`)}>Rename</button>
        <button type="button" class="plain link" onClick={() => onAsk(null)}>Cancel</button>
      </>
    );
  }
  if (asked === 'delete') {
    return (
      <>
        <button type="button" class="danger" onClick={onDelete}>Delete it</button>
        <button type="button" class="plain link" onClick={() => onAsk(null)}>Keep it</button>
      </>
    );
  }
  return (
    <>
      {own && content !== null && <button type="button" class="plain link" onClick={() => onChange({ content }, `“${view.name}” is overwritten.`)}>Overwrite</button>}
      {own && <button type="button" class="plain link" onClick={() => onAsk('rename')}>Rename</button>}
      {own && <button type="button" class="plain link" onClick={() => onChange({ shared: !view.shared }, `“${view.name}” is ${view.shared ? 'private' : 'shared'}.`)}>{view.shared ? 'Make private' : 'Share'}</button>}
      {mayDelete && <button type="button" class="plain link" onClick={() => onAsk('delete')}>Delete</button>}
    </>
  );
}

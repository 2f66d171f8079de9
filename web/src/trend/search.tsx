// Finding a tag by half its name: a list as you type, Enter takes the marked one. The historian searches; requests that were typed over are aborted.
import { useEffect, useRef, useState } from 'preact/hooks';
import { listTags } from '../api/catalog';
import type { Tag } from '../api/messages';
import { errorText, isAbort } from '../api/request';
import { unitText } from '../model/unit';

const DEBOUNCE_MS = 60;
const PAGE_SIZE = 50;

interface Props {
  readonly label: string;
  readonly placeholder: string;
  readonly taken: readonly string[];
  /** Take the focus at once, and with it show what there is. */
  readonly eager: boolean;
  readonly onTake: (tag: Tag) => void;
}

export function TagSearch({ label, placeholder, taken, eager, onTake }: Props) {
  const [text, setText] = useState('');
  const [open, setOpen] = useState(false);
  const [found, setFound] = useState<{ text: string; tags: readonly Tag[]; error: string } | null>(null);
  const [marked, setMarked] = useState(0);
  const enterPending = useRef(false);
  const input = useRef<HTMLInputElement>(null);
  const list = useRef<HTMLUListElement>(null);

  useEffect(() => {
    if (!open) return;
    const abort = new AbortController();
    const timer = setTimeout(async () => {
      try {
        const { tags } = await listTags(text, PAGE_SIZE, '', abort.signal);
        setFound({ text, tags, error: '' });
        setMarked(0);
        const first = tags[0];
        if (enterPending.current && first) take(first);
        enterPending.current = false;
      } catch (error) {
        if (!isAbort(error)) setFound({ text, tags: [], error: errorText(error) });
      }
    }, text ? DEBOUNCE_MS : 0);
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [text, open]);

  useEffect(() => {
    if (eager) input.current?.focus();
  }, []);

  useEffect(() => {
    const focus = (event: KeyboardEvent) => {
      const target = event.target as HTMLElement;
      if (event.key !== '/' || target.closest('input, select, textarea, dialog')) return;
      event.preventDefault();
      input.current?.focus();
    };
    addEventListener('keydown', focus);
    return () => removeEventListener('keydown', focus);
  }, []);

  useEffect(() => list.current?.children[marked]?.scrollIntoView({ block: 'nearest' }), [marked]);

  const take = (tag: Tag) => {
    onTake(tag);
    setText('');
    setOpen(false);
    setFound(null);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === '/' && text === '') event.preventDefault();
    const tags = found?.tags ?? [];
    if (event.key === 'ArrowDown' || event.key === 'ArrowUp') {
      event.preventDefault();
      if (!open) setOpen(true);
      else if (tags.length > 0) setMarked((at) => (at + (event.key === 'ArrowDown' ? 1 : tags.length - 1)) % tags.length);
    } else if (event.key === 'Enter') {
      event.preventDefault();
      const tag = tags[marked];
      if (open && tag && found?.text === text) take(tag);
      else if (text) enterPending.current = true;
    } else if (event.key === 'Escape') {
      setOpen(false);
    }
  };

  const shown = open ? (found?.tags ?? []) : [];
  return (
    <div class="search" onFocusOut={(event) => {
      if (!event.currentTarget.contains(event.relatedTarget as Node | null)) setOpen(false);
    }}>
      <input
        ref={input}
        type="search"
        role="combobox"
        list={undefined}
        aria-label={label}
        aria-expanded={open}
        aria-controls="search-list"
        aria-autocomplete="list"
        aria-activedescendant={shown[marked] ? `search-option-${marked}` : undefined}
        aria-keyshortcuts="/"
        placeholder={placeholder}
        autocomplete="off"
        spellcheck={false}
        value={text}
        onFocus={() => setOpen(true)}
        onClick={() => setOpen(true)}
        onInput={(event) => {
          setText(event.currentTarget.value);
          setOpen(true);
        }}
        onKeyDown={onKeyDown}
      />
      <ul id="search-list" role="listbox" aria-label="Tags found" ref={list} class={`search-list${open ? '' : ' closed'}`} tabIndex={-1}>
        {shown.map((tag, at) => (
          <li
            key={tag.name}
            id={`search-option-${at}`}
            role="option"
            aria-selected={at === marked}
            class={taken.includes(tag.name) ? 'taken' : ''}
            onPointerDown={(event) => event.preventDefault()}
            onClick={() => take(tag)}
          >
            <span class="found-name"><Marked text={tag.name} words={text} /></span>
            <span class="found-unit">{unitText(tag.unit ?? '')}</span>
            <span class="found-about"><Marked text={[tag.description, tag.device].filter(Boolean).join(' · ')} words={text} /></span>
          </li>
        ))}
        {open && found && shown.length === 0 && (
          <li role="option" aria-selected={false} aria-disabled="true" class="found-none">{found.error || 'No tag matches.'}</li>
        )}
      </ul>
    </div>
  );
}

/** The text with the typed words marked in it. */
function Marked({ text, words }: { readonly text: string; readonly words: string }) {
  const parts = words.trim().split(/\s+/).filter(Boolean).map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  if (parts.length === 0) return <>{text}</>;
  const pieces = text.split(new RegExp(`(${parts.join('|')})`, 'gi'));
  return <>{pieces.map((piece, at) => (at % 2 === 1 ? <mark key={at}>{piece}</mark> : piece))}</>;
}

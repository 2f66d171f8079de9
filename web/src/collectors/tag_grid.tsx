// The tags of a device in rows, of which only those in sight are drawn. Arrow keys walk through them, Enter opens the details of one.
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import type { CollectedTag } from '../api/collectors';
import type { Tag } from '../api/messages';
import { qualityName, qualityWords, severity } from '../model/quality';
import { unitText } from '../model/unit';
import { shortText } from '../model/value';
import { stateNames } from '../tags/current';
import { useNarrow } from '../ui/narrow';
import { ageText } from '../ui/parts';
import { deliveryText, errorBeyond, tagLevel } from './level';

const ROW_HEIGHT = 28;
const NARROW_ROW_HEIGHT = 66;
const MARGIN_ROWS = 10;

interface Props {
  readonly tags: readonly CollectedTag[];
  readonly definitions: ReadonlyMap<string, Tag> | null;
  readonly now: number;
  readonly chosen: string;
  /** What was looked for: another list begins at its top. */
  readonly question: string;
  /** What to say where there is no row. */
  readonly nothing: string;
  readonly onChoose: (name: string) => void;
  /** Names of the rows that are drawn, whenever they change. */
  readonly onSight: (names: readonly string[]) => void;
}

export function TagGrid({ tags, definitions, now, chosen, question, nothing, onChoose, onSight }: Props) {
  const rowHeight = useNarrow() ? NARROW_ROW_HEIGHT : ROW_HEIGHT;
  const scroller = useRef<HTMLDivElement>(null);
  const [window_, setWindow] = useState({ first: 0, count: 40 });
  /** The row that Tab comes to, and the one that gets the focus as soon as it is drawn. */
  const [active, setActive] = useState('');
  const wanted = useRef<number | null>(null);

  const look = () => {
    const element = scroller.current;
    if (!element) return;
    const first = Math.max(0, Math.floor(element.scrollTop / rowHeight) - MARGIN_ROWS);
    const count = Math.ceil(element.clientHeight / rowHeight) + 2 * MARGIN_ROWS;
    setWindow((before) => (before.first === first && before.count === count ? before : { first, count }));
  };
  useLayoutEffect(() => {
    const element = scroller.current;
    if (!element) return;
    look();
    const observer = new ResizeObserver(look);
    observer.observe(element);
    return () => observer.disconnect();
  }, [tags.length, rowHeight]);
  useEffect(() => scroller.current?.scrollTo({ top: 0 }), [question]);
  useLayoutEffect(() => {
    if (wanted.current === null) return;
    const button = scroller.current?.querySelector<HTMLElement>(`[data-place="${wanted.current}"] button`);
    if (!button) return;
    wanted.current = null;
    button.focus({ preventScroll: true });
  });

  const rows = tags.slice(window_.first, window_.first + window_.count);
  const names = rows.map(({ name }) => name);
  useEffect(() => onSight(names), [names.join('\n')]);
  const reached = [active, chosen].find((name) => names.includes(name)) ?? names[0];

  const walk = (event: KeyboardEvent) => {
    const element = scroller.current;
    const row = (event.target as Element).closest<HTMLElement>('[data-place]');
    if (!element || !row) return;
    const page = Math.max(1, Math.floor(element.clientHeight / rowHeight) - 2);
    const step = { ArrowUp: -1, ArrowDown: 1, PageUp: -page, PageDown: page, Home: -tags.length, End: tags.length }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const place = Math.min(tags.length - 1, Math.max(0, Number(row.dataset['place']) + step));
    wanted.current = place;
    setActive(tags[place]?.name ?? '');
    const head = element.querySelector<HTMLElement>('.grid-head')?.offsetHeight ?? 0;
    const top = place * rowHeight;
    if (top < element.scrollTop) element.scrollTop = top;
    else if (top + rowHeight + head > element.scrollTop + element.clientHeight) element.scrollTop = top + rowHeight + head - element.clientHeight;
    look();
  };
  return (
    <div class="grid collected" role="table" aria-label="Collected tags" aria-rowcount={tags.length + 1}>
      <div class="grid-scroll" ref={scroller} onScroll={look} onKeyDown={walk} tabIndex={0} role="rowgroup" aria-label="Rows">
        <div class="grid-row grid-head" role="row" aria-rowindex={1}>
          <span role="columnheader">Tag</span>
          <span role="columnheader">Delivery</span>
          <span role="columnheader" class="number">Value</span>
          <span role="columnheader">Unit</span>
          <span role="columnheader">Quality</span>
          <span role="columnheader" class="number">Age</span>
          <span role="columnheader">Address</span>
          <span role="columnheader">Last error</span>
        </div>
        <div class="grid-pad" style={{ height: `${tags.length * rowHeight}px` }} role="presentation">
          <div style={{ transform: `translateY(${window_.first * rowHeight}px)` }} role="presentation">
            {rows.map((tag, at) => (
              <Row
                key={tag.name}
                tag={tag}
                definition={definitions?.get(tag.name)}
                place={window_.first + at}
                now={now}
                chosen={tag.name === chosen}
                reached={tag.name === reached}
                onChoose={onChoose}
                onReach={setActive}
              />
            ))}
          </div>
        </div>
        {tags.length === 0 && <p class="empty">{nothing}</p>}
      </div>
    </div>
  );
}

interface RowProps {
  readonly tag: CollectedTag;
  readonly definition: Tag | undefined;
  readonly place: number;
  readonly now: number;
  readonly chosen: boolean;
  readonly reached: boolean;
  readonly onChoose: (name: string) => void;
  readonly onReach: (name: string) => void;
}

function Row({ tag, definition, place, now, chosen, reached, onChoose, onReach }: RowProps) {
  const level = tagLevel(tag);
  const { last } = tag;
  return (
    <div
      class={`grid-row ${level}${chosen ? ' chosen' : ''}`}
      role="row"
      aria-rowindex={place + 2}
      data-place={place}
      data-tag={tag.name}
      onClick={() => onChoose(tag.name)}
    >
      <span role="cell" class="row-name" title={tag.name}>
        <button
          type="button"
          class="plain link"
          aria-expanded={chosen}
          tabIndex={reached ? 0 : -1}
          onFocus={() => onReach(tag.name)}
        >
          {tag.name}
        </button>
      </span>
      <span role="cell" class={`row-delivery ${tag.delivery === 'delivering' ? '' : 'uncertain'}`} title={deliveryText(tag)}>{tag.delivery}</span>
      <span role="cell" class="row-value number">{last ? shortText(last.value, definition && stateNames(definition)) || '—' : ''}</span>
      <span role="cell" class="row-unit">{unitText(definition?.unit ?? '')}</span>
      <span role="cell" class={`row-quality status ${last ? severity(last.quality) : 'uncertain'}`} title={last ? qualityName(last.quality) : ''}>{last ? qualityWords(last.quality) : 'no sample'}</span>
      <span role="cell" class="row-age number">{last ? ageText(last.time, now) : ''}</span>
      <span role="cell" class="row-address soft" title={tag.address}>{tag.address}</span>
      <span role="cell" class="row-error bad" title={tag.error}>{errorBeyond(tag)}</span>
    </div>
  );
}

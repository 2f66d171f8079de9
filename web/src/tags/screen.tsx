// All tags with their current values. Only the rows in sight are drawn, and only their values are asked for.
import { useEffect, useRef, useState } from 'preact/hooks';
import { listTags } from '../api/catalog';
import type { Tag } from '../api/messages';
import { connection, errorText, isAbort } from '../api/request';
import { expose } from '../app/probe';
import { location$, navigate, tagAddress, trendAddress } from '../app/route';
import { qualityName, severity } from '../model/quality';
import { useStore } from '../model/store';
import { unitText } from '../model/unit';
import { shortText } from '../model/value';
import { ageText, Problem } from '../ui/parts';
import { usePolled } from '../ui/polled';
import { currentValues, stateNames, type Current } from './current';

const PAGE_SIZE = 1_000;
const ROW_HEIGHT = 28;
const MARGIN_ROWS = 10;
const REFRESH_MS = 2_000;
const DEBOUNCE_MS = 80;

interface Listing {
  readonly match: string;
  readonly tags: readonly Tag[];
  readonly next: string;
  readonly total: number | null;
}

export function TagsScreen() {
  const match = new URLSearchParams(useStore(location$).search).get('match') ?? '';
  const { epoch } = useStore(connection);
  const [listing, setListing] = useState<Listing>({ match, tags: [], next: '', total: 0 });
  const [problem, setProblem] = useState('');
  const [loading, setLoading] = useState(true);
  const [window_, setWindow] = useState({ first: 0, count: 40 });
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  const scroller = useRef<HTMLDivElement>(null);
  const fetching = useRef(false);

  useEffect(() => {
    const abort = new AbortController();
    const timer = setTimeout(async () => {
      setLoading(true);
      try {
        const page = await listTags(match, PAGE_SIZE, '', abort.signal, true);
        setListing({ match, ...page });
        setProblem('');
        scroller.current?.scrollTo({ top: 0 });
      } catch (error) {
        if (!isAbort(error)) setProblem(errorText(error));
      }
      if (!abort.signal.aborted) setLoading(false);
    }, DEBOUNCE_MS);
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [match, epoch]);

  const more = async () => {
    if (fetching.current || !listing.next) return;
    fetching.current = true;
    try {
      const page = await listTags(listing.match, PAGE_SIZE, listing.next);
      setListing((before) => (before.next === listing.next ? { ...before, ...page, total: before.total, tags: [...before.tags, ...page.tags] } : before));
    } catch (error) {
      setProblem(errorText(error));
    }
    fetching.current = false;
  };

  const look = () => {
    const element = scroller.current;
    if (!element) return;
    const first = Math.max(0, Math.floor(element.scrollTop / ROW_HEIGHT) - MARGIN_ROWS);
    const count = Math.ceil(element.clientHeight / ROW_HEIGHT) + 2 * MARGIN_ROWS;
    setWindow((before) => (before.first === first && before.count === count ? before : { first, count }));
    if (element.scrollTop + element.clientHeight * 3 > listing.tags.length * ROW_HEIGHT) void more();
  };
  useEffect(() => {
    look();
    addEventListener('resize', look);
    return () => removeEventListener('resize', look);
  }, [listing]);

  const rows = listing.tags.slice(window_.first, window_.first + window_.count);
  const names = rows.map((tag) => tag.name);
  const polled = usePolled((signal) => currentValues(names, signal), REFRESH_MS, [names.join('\n')]);
  useEffect(() => expose('tags', () => ({
    match: listing.match, loaded: listing.tags.length, total: listing.total, complete: !loading && !listing.next, shown: names, values: Object.fromEntries(polled.value ?? []), chosen: [...chosen],
  })));

  const choose = (name: string) => setChosen((before) => {
    const next = new Set(before);
    if (!next.delete(name)) next.add(name);
    return next;
  });
  return (
    <main class="page fill">
      <div class="page-head">
        <h1>Tags</h1>
        <input
          type="search"
          aria-label="Filter tags"
          placeholder="Filter: words in name, description, unit, device, address"
          value={match}
          spellcheck={false}
          onInput={(event) => {
            const text = event.currentTarget.value;
            navigate(text ? `/tags?${new URLSearchParams({ match: text })}` : '/tags', 'replace');
          }}
        />
        <span class="soft" role="status">{loading ? 'loading…' : countText(listing)}</span>
        {chosen.size > 0 && <a class="button primary" href={trendAddress([...chosen])}>Trend of {chosen.size}</a>}
      </div>
      <Problem text={problem} />
      <div class="grid" role="table" aria-label="Tags" aria-rowcount={listing.total === null ? -1 : listing.total + 1}>
        <div class="grid-scroll" ref={scroller} onScroll={look} tabIndex={0} role="rowgroup" aria-label="Rows">
          <div class="grid-row grid-head" role="row" aria-rowindex={1}>
            <span role="columnheader"><span class="sr">Chosen</span></span>
            <span role="columnheader">Tag</span>
            <span role="columnheader" class="number">Value</span>
            <span role="columnheader">Unit</span>
            <span role="columnheader">Status</span>
            <span role="columnheader" class="number">Age</span>
            <span role="columnheader">Device</span>
            <span role="columnheader">Description</span>
          </div>
          <div class="grid-pad" style={{ height: `${listing.tags.length * ROW_HEIGHT}px` }} role="presentation">
            <div style={{ transform: `translateY(${window_.first * ROW_HEIGHT}px)` }} role="presentation">
              {rows.map((tag, at) => (
                <Row
                  key={tag.name}
                  tag={tag}
                  index={window_.first + at + 2}
                  current={polled.value?.get(tag.name)}
                  asked={polled.time > 0}
                  chosen={chosen.has(tag.name)}
                  onChoose={choose}
                />
              ))}
            </div>
          </div>
          {!loading && listing.tags.length === 0 && <p class="empty">{match ? 'No tag has all of these words.' : 'There are no tags yet: write samples, import a file, or configure a device.'}</p>}
        </div>
      </div>
    </main>
  );
}

function countText({ tags, next, total }: Listing): string {
  return `${(total ?? tags.length).toLocaleString('en')}${total === null && next ? ' and more' : ''} tags`;
}

interface RowProps {
  readonly tag: Tag;
  readonly index: number;
  readonly current: Current | undefined;
  readonly asked: boolean;
  readonly chosen: boolean;
  readonly onChoose: (name: string) => void;
}

function Row({ tag, index, current, asked, chosen, onChoose }: RowProps) {
  const level = current ? severity(current.quality) : 'good';
  return (
    <div class={`grid-row ${level}`} role="row" aria-rowindex={index}>
      <span role="cell"><input type="checkbox" aria-label={`Choose ${tag.name}`} checked={chosen} onChange={() => onChoose(tag.name)} /></span>
      <span role="cell" title={tag.name}><a href={tagAddress(tag.name)}>{tag.name}</a></span>
      <span role="cell" class="number">{current ? shortText(current.value, stateNames(tag)) : ''}</span>
      <span role="cell">{unitText(tag.unit ?? '')}</span>
      <span role="cell" class={`status ${level}`}>{current ? qualityName(current.quality) : asked ? <span class="soft">no sample</span> : ''}</span>
      <span role="cell" class="number">{current ? ageText(current.time, Date.now()) : ''}</span>
      <span role="cell">{tag.device}</span>
      <span role="cell" class="soft" title={tag.description}>{tag.description}</span>
    </div>
  );
}

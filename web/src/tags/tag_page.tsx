// One tag: what it is, what it reads now, the last hours, where samples are missing, and what was corrected.
import { useEffect, useMemo } from 'preact/hooks';
import { AnnotationDialog, type DialogState, type DialogStore } from '../annotations/dialog';
import { AnnotationTable, frameOf } from '../annotations/table';
import { annotationsOf } from '../api/annotations';
import { getTag, listGaps } from '../api/catalog';
import { valueType, type Gap, type Tag } from '../api/messages';
import { fetchRows, cellOf, type Rows } from '../api/rows';
import { expose } from '../app/probe';
import { trendAddress } from '../app/route';
import { gapReason } from '../model/gap';
import { isInterpolated, qualityName, severity } from '../model/quality';
import { Store } from '../model/store';
import { formatRfc3339, parseTime } from '../model/time';
import { unitText } from '../model/unit';
import { exactText, shortText } from '../model/value';
import { browserZone } from '../model/zone';
import { ageText, Card, Facts, Moment, Problem } from '../ui/parts';
import { usePolled } from '../ui/polled';
import { currentValues, stateNames } from './current';
import { Sparkline } from './sparkline';

const ANNOTATIONS_SHOWN = 50;
const ANNOTATIONS_MS = 10_000;
const GAPS_SHOWN = 50;
const VERSIONS_SHOWN = 100;

export function TagPage({ name }: { readonly name: string }) {
  const tag = usePolled((signal) => getTag(name, signal), 0, [name]);
  const current = usePolled((signal) => currentValues([name], signal), 2_000, [name]);
  useEffect(() => expose('tag', () => ({ name, tag: tag.value, current: current.value?.get(name) ?? null })));
  if (tag.time > 0 && !tag.value) {
    return (
      <main class="page">
        <h1>{name}</h1>
        <p class="problem">There is no such tag, or you may not read it.</p>
      </main>
    );
  }
  const found = tag.value;
  const now = current.value?.get(name);
  const level = now ? severity(now.quality) : 'good';
  return (
    <main class="page">
      <div class="page-head">
        <h1 class="tag-title">{name}</h1>
        <a class="button primary" href={trendAddress([name])}>Open in Trend</a>
      </div>
      <Problem text={tag.error} />
      {found && (
        <div class="cards">
          <Card title="Now" wide>
            <p class={`reading ${level}`}>
              <b>{now ? shortText(now.value, stateNames(found)) || '—' : '—'}</b> {unitText(found.unit ?? '')}
            </p>
            <Facts
              rows={[
                ['Status', <span class={`status ${level}`}>{now ? qualityName(now.quality) : 'no sample'}</span>],
                ['Age', now ? ageText(now.time, Date.now()) : ''],
                ['Sampled', <Moment ns={now?.time} />],
              ]}
            />
            <Sparkline tag={found} />
          </Card>
          <Card title="Definition"><Definition tag={found} /></Card>
          <Annotations name={name} />
          <Gaps name={name} />
          <Corrections tag={found} />
        </div>
      )}
    </main>
  );
}

function Definition({ tag }: { readonly tag: Tag }) {
  const range = tag.range_low !== undefined || tag.range_high !== undefined ? `${tag.range_low ?? '…'} to ${tag.range_high ?? '…'}` : '';
  return (
    <Facts
      rows={[
        ['Description', tag.description || '—'],
        ['Type', valueType(tag)],
        ['Unit', tag.unit || '—'],
        ['Between samples', tag.stepped ? 'holds its value (stepped)' : 'straight line (sloped)'],
        ['Range', range || '—'],
        ...(tag.state_set?.length ? [['States', tag.state_set.map((state, at) => `${at} ${state}`).join(', ')] as const] : []),
        ['Device', tag.device || 'written by clients'],
        ['Address', tag.address ? <code>{tag.address}</code> : '—'],
        ['Created', <Moment ns={tag.create_time} />],
        ['Changed', <Moment ns={tag.update_time} />],
      ]}
    />
  );
}

/** What people have said of the tag, the latest first; a time leads to its frame in the Trend, where the texts are changed. */
function Annotations({ name }: { readonly name: string }) {
  const dialog = useMemo<DialogStore>(() => new Store<DialogState | null>(null), []);
  const polled = usePolled((signal) => annotationsOf(name, signal), ANNOTATIONS_MS, [name]);
  const all = polled.value?.annotations ?? [];
  const shown = all.slice(-ANNOTATIONS_SHOWN).reverse();
  useEffect(() => expose('annotations', () => all.map(({ id, text }) => ({ id, text }))));
  return (
    <Card title="Annotations" wide note={polled.value ? `${all.length}${polled.value.more ? ' and more' : ''}` : ''}>
      <Problem text={polled.error} />
      {shown.length === 0 ? <p class="soft">Nobody has written any.</p> : (
        <AnnotationTable
          annotations={shown}
          zone={browserZone}
          dialog={dialog}
          mayChange={() => false}
          link={(annotation, text) => {
            const { start, end } = frameOf(annotation);
            return <a href={trendAddress(annotation.tags, { start: formatRfc3339(start), end: formatRfc3339(end) })}>{text}</a>;
          }}
        />
      )}
      <AnnotationDialog dialog={dialog} zone={browserZone} tags={[]} periods={[]} onChange={() => undefined} />
    </Card>
  );
}

function Gaps({ name }: { readonly name: string }) {
  const polled = usePolled((signal) => listGaps([name], null, signal), 30_000, [name]);
  const gaps = (polled.value ?? []).slice(-GAPS_SHOWN).reverse();
  return (
    <Card title="Gaps" note={polled.value ? `${polled.value.length} recorded` : ''}>
      <Problem text={polled.error} />
      {gaps.length === 0 ? <p class="soft">No gap is recorded.</p> : (
        <div class="table-scroll" tabIndex={0} role="region" aria-label="Gaps">
          <table>
            <thead><tr><th scope="col">From</th><th scope="col">To</th><th scope="col">Reason</th><th scope="col">Detail</th></tr></thead>
            <tbody>{gaps.map((gap: Gap) => (
              <tr key={gap.number}>
                <td><Moment ns={gap.start} /></td>
                <td>{gap.end === undefined ? 'still open' : <Moment ns={gap.end} />}</td>
                <td>{gapReason(gap.reason)}</td>
                <td>{gap.detail}</td>
              </tr>
            ))}</tbody>
          </table>
        </div>
      )}
    </Card>
  );
}

function Corrections({ tag }: { readonly tag: Tag }) {
  const polled = usePolled(
    (signal) => fetchRows('superseded', { tags: [tag.name], start: '0001-01-01T00:00:00Z', end: '*+1d', limit: VERSIONS_SHOWN }, signal), 0, [tag.name],
  );
  const rows: Rows | null = polled.value;
  return (
    <Card title="Superseded samples" note={rows ? `${rows.rows}${rows.rows >= VERSIONS_SHOWN ? ' and more' : ''}` : ''}>
      <Problem text={polled.error} />
      {rows && rows.rows === 0 && <p class="soft">No sample was replaced or deleted.</p>}
      {rows && rows.rows > 0 && (
        <div class="table-scroll" tabIndex={0} role="region" aria-label="Superseded samples">
          <table>
            <thead><tr><th scope="col">Timestamp</th><th scope="col" class="number">Value before</th><th scope="col">Quality</th><th scope="col" class="number">Replaced by write</th></tr></thead>
            <tbody>{Array.from({ length: rows.rows }, (_, row) => {
              const quality = Number(rows.data['quality']?.[row] ?? 0);
              return (
                <tr key={row}>
                  <td><Moment ns={parseTime(String(rows.data['timestamp']?.[row]), 'UTC', 0n) ?? 0n} /></td>
                  <td class="number">{exactText(cellOf(rows, row), stateNames(tag))}</td>
                  <td class={`status ${severity(quality)}`}>{qualityName(quality)}{isInterpolated(quality) ? ' (interpolated)' : ''}</td>
                  <td class="number">{String(rows.data['replaced_by']?.[row] ?? '')}</td>
                </tr>
              );
            })}</tbody>
          </table>
        </div>
      )}
    </Card>
  );
}

// The details of one collected tag: what the device said of it in full, and its gaps.
import { useMemo } from 'preact/hooks';
import type { CollectedTag } from '../api/collectors';
import type { Tag } from '../api/messages';
import { tagAddress, trendAddress } from '../app/route';
import { qualityName, qualityWords, severity } from '../model/quality';
import { formatDuration } from '../model/time';
import { unitText } from '../model/unit';
import { exactText } from '../model/value';
import { stateNames } from '../tags/current';
import { agoText, Facts, Moment } from '../ui/parts';
import { GapTable } from './gap_table';
import { deliveryText } from './level';

interface Props {
  readonly tag: CollectedTag;
  readonly definition: Tag | undefined;
  readonly now: number;
  readonly onClose: () => void;
}

export function TagDetail({ tag, definition, now, onClose }: Props) {
  const { last } = tag;
  const names = useMemo(() => [tag.name], [tag.name]);
  const shown = useMemo(() => new Set(names), [names]);
  return (
    <section class="card tag-detail" aria-label={`Details of ${tag.name}`} data-testid="tag-detail">
      <div class="detail-head">
        <h2 class="tag-title">{tag.name}</h2>
        <a class="button primary" href={trendAddress([tag.name])}>Open in Trend</a>
        <a class="button" href={tagAddress(tag.name)}>Page of the tag</a>
        <button type="button" onClick={onClose}>Close</button>
      </div>
      {tag.error && <p class="problem"><b>Does not deliver</b> since <Moment ns={tag.errorTime} />: {tag.error}</p>}
      {definition?.description && <p>{definition.description}</p>}
      <Facts
        rows={[
          ['Delivery', deliveryText(tag)],
          ['Value', last && last.value !== null ? `${exactText(last.value, definition && stateNames(definition))} ${unitText(definition?.unit ?? '')}` : '—'],
          ['Quality', last ? <><span class={`status ${severity(last.quality)}`}>{qualityWords(last.quality)}</span>{severity(last.quality) !== 'good' && <span class="soft"> {qualityName(last.quality)}</span>}</> : 'no sample'],
          ['Sampled', last ? <><Moment ns={last.time} />, {agoText(last.time, now)}</> : 'never'],
          ['Asked for every', tag.interval > 0n ? formatDuration(tag.interval) : 'not known'],
          ['Address', <code>{tag.address}</code>],
        ]}
      />
      <h3>Gaps</h3>
      <GapTable key={tag.name} tags={names} shown={shown} of={tag.name} />
    </section>
  );
}

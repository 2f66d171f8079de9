// What there is: tags and the ledger of gaps.
import { formatRfc3339, type Range } from '../model/time';
import type { Gap, ListGapsResponse, ListTagsResponse, Tag } from './messages';
import { ApiError, requestJson } from './request';

const GAPS_PAGE = 10_000;

export interface TagPage {
  readonly tags: readonly Tag[];
  readonly next: string;
  /** How many there are in all pages; null where it was not asked for. */
  readonly total: number | null;
}

/** Tags in which every word of `match` occurs, in the order of names; with their number in all pages where that is asked for. */
export async function listTags(match: string, pageSize: number, pageToken = '', signal?: AbortSignal, total = false): Promise<TagPage> {
  const parameters = new URLSearchParams({ page_size: String(pageSize) });
  if (match.trim()) parameters.set('match', match.trim());
  if (pageToken) parameters.set('page_token', pageToken);
  if (total) parameters.set('total', 'true');
  const answer = await requestJson<ListTagsResponse>(`tags?${parameters}`, { signal });
  return { tags: answer.tags ?? [], next: answer.next_page_token ?? '', total: answer.total === undefined ? null : Number(answer.total) };
}

/** A tag by its name, or null where there is none that the caller may read. */
export async function getTag(name: string, signal?: AbortSignal): Promise<Tag | null> {
  try {
    return await requestJson<Tag>(`tags/${name.split('/').map(encodeURIComponent).join('/')}`, { signal });
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return null;
    throw error;
  }
}

/** Gaps of the ledger that may concern these tags, in a range or at any time, in the order of their recording. */
export async function listGaps(tags: readonly string[], range: Range | null, signal?: AbortSignal): Promise<readonly Gap[]> {
  const bounds = range && { start: formatRfc3339(range.start), end: formatRfc3339(range.end) };
  const gaps: Gap[] = [];
  for (let from = 1; ;) {
    const answer = await requestJson<ListGapsResponse>('gaps', { body: { tags, ...bounds, from, page_size: GAPS_PAGE }, signal });
    gaps.push(...(answer.gaps ?? []));
    from = Number(answer.next ?? 0);
    if (!from) return gaps;
  }
}

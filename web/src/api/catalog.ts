// What there is: tags and the ledger of gaps.
import type { Gap, ListGapsResponse, ListTagsResponse, Tag } from './messages';
import { ApiError, requestJson } from './request';

const GAPS_PAGE = 10_000;

export interface TagPage {
  readonly tags: readonly Tag[];
  readonly next: string;
}

/** Tags in which every word of `match` occurs, in the order of names. */
export async function listTags(match: string, pageSize: number, pageToken = '', signal?: AbortSignal): Promise<TagPage> {
  const parameters = new URLSearchParams({ page_size: String(pageSize) });
  if (match.trim()) parameters.set('match', match.trim());
  if (pageToken) parameters.set('page_token', pageToken);
  const answer = await requestJson<ListTagsResponse>(`tags?${parameters}`, { signal });
  return { tags: answer.tags ?? [], next: answer.next_page_token ?? '' };
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

const ledger: Gap[] = [];
let ledgerNext = 1;

/** The ledger of gaps so far. Only what was recorded since the last call is fetched. */
export async function listGaps(signal?: AbortSignal): Promise<readonly Gap[]> {
  for (;;) {
    const answer = await requestJson<ListGapsResponse>(`gaps?from=${ledgerNext}&page_size=${GAPS_PAGE}`, { signal });
    for (const gap of answer.gaps ?? []) {
      if (Number(gap.number ?? 0) < ledgerNext) continue;
      ledger.push(gap);
      ledgerNext = Number(gap.number ?? ledgerNext) + 1;
    }
    if (!Number(answer.next ?? 0)) return ledger;
  }
}

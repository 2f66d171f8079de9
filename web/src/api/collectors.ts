// What the collectors know of their tags: how far each has come, its latest sample, and why it does not deliver.
import { shortestFloat32, type Value } from '../model/value';
import type { ListTagsResponse, ListTagStatusResponse, Tag, TagSamples, TagStatus } from './messages';
import { requestJson } from './request';

const PAGE_SIZE = 10_000;

export interface CollectedTag {
  readonly name: string;
  readonly device: string;
  readonly address: string;
  /** `wanted`, `created` or `delivering`. */
  readonly delivery: string;
  /** Of its latest sample; null while there is none. */
  readonly last: { readonly value: Value; readonly quality: number; readonly time: string } | null;
  /** How often it is asked for, in nanoseconds; 0 where that is not known. */
  readonly interval: bigint;
  /** Why it does not deliver; empty when it does, or nothing is known yet. */
  readonly error: string;
  /** Since when; 0 is never. */
  readonly errorTime: string;
}

/** Collected tags in the order of their names: all that one may read, those of a device, or some by name. */
export async function collectedTags(which: { readonly device?: string; readonly tags?: readonly string[] }, signal?: AbortSignal): Promise<readonly CollectedTag[]> {
  return everyPage(async (page) => {
    const answer = await requestJson<ListTagStatusResponse>('collectors/tags', { body: { ...which, ...page }, signal });
    return [(answer.tags ?? []).map(collectedTag), answer.next_page_token];
  });
}

/** Definitions of the tags of a device, by name. */
export async function definitionsOf(device: string, signal?: AbortSignal): Promise<ReadonlyMap<string, Tag>> {
  const tags = await everyPage(async (page) => {
    const answer = await requestJson<ListTagsResponse>('tags', { body: { filter: `device=${device}`, ...page }, signal });
    return [answer.tags ?? [], answer.next_page_token];
  });
  return new Map(tags.map((tag) => [tag.name, tag]));
}

async function everyPage<T>(read: (page: { readonly page_size: number; readonly page_token: string }) => Promise<[items: readonly T[], next: string | undefined]>): Promise<readonly T[]> {
  const all: T[] = [];
  for (let token = ''; ;) {
    const [items, next] = await read({ page_size: PAGE_SIZE, page_token: token });
    all.push(...items);
    if (!next) return all;
    token = next;
  }
}

function collectedTag(status: TagStatus): CollectedTag {
  return {
    name: status.tag ?? '',
    device: status.device ?? '',
    address: status.address ?? '',
    delivery: status.delivery ?? '',
    last: lastOf(status.last),
    interval: BigInt(status.interval ?? 0),
    error: status.last_error ?? '',
    errorTime: status.last_error_time ?? '0',
  };
}

function lastOf(samples: TagSamples | undefined): CollectedTag['last'] {
  const time = samples?.timestamps?.[0];
  if (samples === undefined || time === undefined) return null;
  return { value: samples.nulls?.length ? null : valueOf(samples), quality: samples.qualities?.[0] ?? 0, time };
}

function valueOf({ values = {} }: TagSamples): Value {
  for (const [type, column] of Object.entries(values)) {
    const value = column?.values?.[0];
    if (value !== undefined) return type === 'f32' && typeof value === 'number' ? shortestFloat32(value) : value;
  }
  return null;
}

// Texts of people on tags, over a time or a range of time.
import { formatRfc3339, type Range } from '../model/time';
import type { AnnotationMessage, ListAnnotationsResponse } from './messages';
import { requestJson } from './request';

export interface Annotation {
  readonly id: string;
  readonly version: number;
  readonly tags: readonly string[];
  readonly start: bigint;
  /** Equals the start where a moment is meant; otherwise not within. */
  readonly end: bigint;
  readonly text: string;
  readonly author: string;
  /** When this version was written. */
  readonly time: bigint;
  readonly removed: boolean;
}

export interface AnnotationPage {
  readonly annotations: readonly Annotation[];
  /** There are more than one page holds. */
  readonly more: boolean;
}

/** What somebody says of tags: the whole of the next version. */
export interface Remark {
  readonly tags: readonly string[];
  readonly start: bigint;
  readonly end: bigint;
  readonly text: string;
}

const PAGE_SIZE = 1_000;
const PAGES_MAX = 10;

function annotationOf(message: AnnotationMessage): Annotation {
  const start = BigInt(message.start_time ?? 0);
  return {
    id: message.id ?? '0',
    version: message.version ?? 0,
    tags: message.tags ?? [],
    start,
    end: BigInt(message.end_time ?? start),
    text: message.text ?? '',
    author: message.author ?? '',
    time: BigInt(message.time ?? 0),
    removed: message.removed ?? false,
  };
}

async function listPage(body: unknown, signal?: AbortSignal): Promise<[Annotation[], next: string]> {
  const answer = await requestJson<ListAnnotationsResponse>('annotations', { body, signal });
  return [(answer.annotations ?? []).map(annotationOf), answer.next_page_token ?? ''];
}

/** Those that touch a range, in the order of their starts: the first page. */
export async function listAnnotations(tags: readonly string[], range: Range, signal?: AbortSignal): Promise<AnnotationPage> {
  const body = { tags, start: formatRfc3339(range.start), end: formatRfc3339(range.end), page_size: PAGE_SIZE };
  const [annotations, next] = await listPage(body, signal);
  return { annotations, more: next !== '' };
}

/** All of a tag, page after page; of very many the first. */
export async function annotationsOf(tag: string, signal?: AbortSignal): Promise<AnnotationPage> {
  const all: Annotation[] = [];
  let token = '';
  for (let page = 0; page < PAGES_MAX; page++) {
    const [annotations, next] = await listPage({ tags: [tag], page_size: PAGE_SIZE, page_token: token }, signal);
    all.push(...annotations);
    token = next;
    if (!token) break;
  }
  return { annotations: all, more: token !== '' };
}

/** The versions of one, the newest first; the newest is what it is now. */
export async function versionsOf(id: string, signal?: AbortSignal): Promise<Annotation[]> {
  const [versions] = await listPage({ id, versions: true, page_size: PAGE_SIZE }, signal);
  return versions.sort((left, right) => right.version - left.version);
}

function remarkBody({ tags, start, end, text }: Remark): Record<string, unknown> {
  return { tags, start: formatRfc3339(start), ...(end === start ? {} : { end: formatRfc3339(end) }), text };
}

export async function createAnnotation(remark: Remark): Promise<void> {
  await requestJson('annotations/create', { body: remarkBody(remark) });
}

/** Refused with the code ABORTED where it has another version than the one that was seen. */
export async function updateAnnotation(id: string, version: number, remark: Remark): Promise<void> {
  await requestJson('annotations/update', { body: { id, version, ...remarkBody(remark) } });
}

export async function removeAnnotation(id: string, version: number): Promise<void> {
  await requestJson('annotations/delete', { body: { id, version } });
}

// The change feed as server-sent events. Read with fetch, because `EventSource` cannot send a token; it resumes behind the last event like one.
import { parseTime } from '../model/time';
import type { Value } from '../model/value';
import { ApiError, isAbort, request } from './request';

export interface FeedSample {
  readonly tag: string;
  readonly time: bigint;
  readonly value: Value;
  readonly quality: number;
}

export interface FeedListener {
  samples(samples: readonly FeedSample[]): void;
  /** What was missed is no longer in the journal: read the range again. */
  gone(): void;
  state(state: 'open' | 'waiting'): void;
}

const RETRY_MS = [500, 1_000, 2_000, 5_000];

/** Follows the tags until the signal is aborted, or the historian says that one may not. */
export async function follow(tags: readonly string[], listener: FeedListener, signal: AbortSignal): Promise<void> {
  let position = '';
  let failures = 0;
  const path = `subscribe?${new URLSearchParams(tags.map((tag) => ['tag', tag]))}`;
  while (!signal.aborted) {
    try {
      const headers: Record<string, string> = position ? { 'last-event-id': position } : {};
      const response = await request(path, { accept: 'text/event-stream', headers, signal });
      listener.state('open');
      failures = 0;
      await readEvents(response, (event, id, data) => {
        if (id) position = id;
        if (event === 'samples') listener.samples(samplesOf(data));
      });
    } catch (error) {
      if (signal.aborted || isAbort(error)) return;
      if (error instanceof ApiError && error.status === 416) {
        position = '';
        listener.gone();
      } else if (error instanceof ApiError && (error.status === 401 || error.status === 403)) {
        listener.state('waiting');
        return;
      }
    }
    if (signal.aborted) return;
    listener.state('waiting');
    await new Promise((done) => setTimeout(done, RETRY_MS[Math.min(failures, RETRY_MS.length - 1)]));
    failures += 1;
  }
}

async function readEvents(response: Response, deliver: (event: string, id: string, data: string) => void): Promise<void> {
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  if (!reader) return;
  let rest = '';
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    rest += value.replaceAll('\r\n', '\n');
    const blocks = rest.split('\n\n');
    rest = blocks.pop() ?? '';
    for (const block of blocks) {
      const fields = { event: 'message', id: '', data: '' };
      for (const line of block.split('\n')) {
        const [, name, text = ''] = /^(event|id|data): ?(.*)$/.exec(line) ?? [];
        if (name === 'data') fields.data += text;
        else if (name === 'event' || name === 'id') fields[name] = text;
      }
      if (fields.data) deliver(fields.event, fields.id, fields.data);
    }
  }
}

function samplesOf(data: string): FeedSample[] {
  const columns = (JSON.parse(data) as { data: Record<string, readonly Value[]> }).data;
  return (columns['tag'] ?? []).map((tag, row) => ({
    tag: String(tag),
    time: parseTime(String(columns['timestamp']?.[row]), 'UTC', 0n) ?? 0n,
    value: columns['text']?.[row] ?? columns['integer']?.[row] ?? columns['value']?.[row] ?? null,
    quality: Number(columns['quality']?.[row] ?? 0),
  }));
}

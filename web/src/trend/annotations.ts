// The annotations of the pens in the view. They are read with each settled view, and every few seconds while the page is in sight: what somebody
// else writes comes here without a reload, at the cost of one small request.
import { listAnnotations, type Annotation } from '../api/annotations';
import { ApiError, connection, isAbort } from '../api/request';
import { Store } from '../model/store';
import type { Range } from '../model/time';

const POLL_MS = 5_000;

interface Question {
  readonly tags: readonly string[];
  readonly range: Range;
}

export class Annotations extends Store<readonly Annotation[]> {
  /** There are more than are shown. */
  readonly more = new Store<boolean>(false);
  private abort: AbortController | null = null;
  private key = '';
  private shown = '';
  private refused = false;
  private timer: ReturnType<typeof setInterval> | undefined;

  constructor(private readonly question: () => Question) {
    super([]);
  }

  start(): void {
    this.timer = setInterval(() => {
      // One at a time: an answer that takes longer than the period is waited for.
      if (document.visibilityState === 'visible' && !this.abort && !this.refused && connection.value.disconnectedSince === null) void this.read();
    }, POLL_MS);
  }

  stop(): void {
    clearInterval(this.timer);
    this.abort?.abort();
  }

  /** Where the view is another one than before, or anything may have changed. */
  follow(again: boolean): void {
    const { tags, range } = this.question();
    const key = JSON.stringify([tags, String(range.start), String(range.end)]);
    if (key === this.key && !again) return;
    this.key = key;
    this.refused = false;
    void this.read();
  }

  async read(): Promise<void> {
    this.abort?.abort();
    const abort = new AbortController();
    this.abort = abort;
    const { tags, range } = this.question();
    try {
      const { annotations, more } = tags.length > 0 ? await listAnnotations(tags, range, abort.signal) : { annotations: [], more: false };
      if (abort.signal.aborted) return;
      // The same answer leaves the drawing alone.
      const shown = JSON.stringify(annotations, (_, part: unknown) => (typeof part === 'bigint' ? String(part) : part));
      if (shown !== this.shown) this.set(annotations);
      this.shown = shown;
      this.more.set(more);
    } catch (error) {
      // While the historian is away, or is busy, what was known stays; what it refuses is not asked again in this view.
      if (!isAbort(error) && error instanceof ApiError && error.status >= 400 && error.status < 500 && error.status !== 429) this.refuse();
    } finally {
      if (this.abort === abort) this.abort = null;
    }
  }

  private refuse(): void {
    this.refused = true;
    this.shown = '';
    this.set([]);
    this.more.set(false);
  }
}

// What is known beside the traces, such as figures and findings: one question at a time, the next one supersedes it, and the same one is not
// asked twice.
import { ApiError, isAbort } from '../api/request';
import { Store } from '../model/store';

interface AskOptions {
  /** Also where the question is the same as before. */
  readonly again?: boolean;
  /** Waits whether another question follows. */
  readonly delayMs?: number;
}

export class Answer<T> extends Store<T> {
  private key = '';
  private abort = new AbortController();
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly empty: T,
    private readonly onFailure: (error: unknown) => void = () => undefined,
  ) {
    super(empty);
  }

  ask(question: readonly unknown[], read: (signal: AbortSignal) => Promise<T>, { again = false, delayMs = 0 }: AskOptions = {}): void {
    const key = JSON.stringify(question, (_, part: unknown) => (typeof part === 'bigint' ? String(part) : part));
    if (!again && key === this.key) return;
    this.stop();
    this.key = key;
    this.abort = new AbortController();
    const { signal } = this.abort;
    this.timer = setTimeout(async () => {
      try {
        const value = await read(signal);
        if (!signal.aborted) this.set(value);
      } catch (error) {
        if (signal.aborted || isAbort(error)) return;
        // While the historian is away, what was known stays.
        if (!(error instanceof ApiError && error.status === 0)) this.set(this.empty);
        this.onFailure(error);
      }
    }, delayMs);
  }

  /** Nothing is asked, and nothing known. */
  clear(): void {
    this.stop();
    this.key = '';
    this.set(this.empty);
  }

  stop(): void {
    clearTimeout(this.timer);
    this.abort.abort();
  }
}

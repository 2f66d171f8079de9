// An answer that is asked again every so often. What was read stays on the screen while the historian is away.
import { useEffect, useState } from 'preact/hooks';
import { ApiError, connection, errorText, isAbort } from '../api/request';
import { useStore } from '../model/store';

export interface Polled<T> {
  readonly value: T | null;
  /** Of the last answer, on the browser's clock. */
  readonly time: number;
  readonly error: string;
  readonly forbidden: boolean;
}

/** `everyMs` may depend on the answer: a long one is asked for less often. 0 is once. */
export function usePolled<T>(read: (signal: AbortSignal) => Promise<T>, everyMs: number | ((value: T | null) => number), dependencies: readonly unknown[]): Polled<T> {
  const [state, setState] = useState<Polled<T>>({ value: null, time: 0, error: '', forbidden: false });
  const { epoch } = useStore(connection);
  useEffect(() => {
    const abort = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    let last: T | null = null;
    const ask = async () => {
      try {
        const value = await read(abort.signal);
        last = value;
        if (!abort.signal.aborted) setState({ value, time: Date.now(), error: '', forbidden: false });
      } catch (error) {
        if (isAbort(error) || abort.signal.aborted) return;
        const forbidden = error instanceof ApiError && error.status === 403;
        setState((before) => ({ ...before, error: errorText(error), forbidden }));
        if (error instanceof ApiError && error.status > 0 && error.status < 500) return;
      }
      const wait = typeof everyMs === 'number' ? everyMs : everyMs(last);
      if (wait > 0 && !abort.signal.aborted) timer = setTimeout(ask, document.visibilityState === 'hidden' ? wait * 5 : wait);
    };
    void ask();
    return () => {
      abort.abort();
      clearTimeout(timer);
    };
  }, [epoch, ...dependencies]);
  return state;
}

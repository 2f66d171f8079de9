// The present, for ages that grow while one looks at them.
import { useEffect, useState } from 'preact/hooks';
import { clockAheadMs } from '../api/request';

/** Milliseconds since 1970 by the clock of the historian, every so often. */
export function useNow(everyMs: number): number {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), everyMs);
    return () => clearInterval(timer);
  }, [everyMs]);
  return now + clockAheadMs.value;
}

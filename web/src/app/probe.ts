// `window.historian`: the state of the page as JSON, for tests and scripts, so that nobody has to guess it from pixels.
import { connection, requestLog } from '../api/request';
import { theme } from './theme';
import { who } from './who';

const parts = new Map<string, () => unknown>();

/** Shows a part of the state until the returned function is called. */
export function expose(name: string, read: () => unknown): () => void {
  parts.set(name, read);
  return () => {
    if (parts.get(name) === read) parts.delete(name);
  };
}

declare global {
  interface Window {
    historian: { state(): unknown };
  }
}

export function startProbe(): void {
  window.historian = {
    state: () => ({
      path: window.location.pathname,
      search: window.location.search,
      theme: theme.value,
      who: who.value,
      connection: connection.value,
      requests: requestLog,
      ...Object.fromEntries([...parts].map(([name, read]) => [name, read()])),
    }),
  };
}

// Where we are: the path chooses the screen, the query string is its state.
import { Store } from '../model/store';

export interface Location {
  readonly path: string;
  readonly search: string;
}

export const location$ = new Store<Location>(here());

/** The view of the Trend as it was left, so that going back to it from another screen does not lose it. */
export function lastTrend(): string {
  return `/${trendSearch}`;
}

let trendSearch = '';
const remember = ({ path, search }: Location) => {
  if (path === '/') trendSearch = search;
};
remember(location$.value);
location$.subscribe(remember);

function here(): Location {
  return { path: window.location.pathname, search: window.location.search };
}

export function startRouting(): void {
  addEventListener('popstate', () => location$.set(here()));
  addEventListener('click', (event) => {
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const anchor = (event.target as Element | null)?.closest('a');
    if (!anchor || anchor.target || anchor.hasAttribute('download') || anchor.origin !== window.location.origin) return;
    if (anchor.pathname.startsWith('/api/')) return;
    event.preventDefault();
    navigate(anchor.pathname + anchor.search);
  });
}

/** Goes to an address of the page; `replace` leaves no entry behind. */
export function navigate(address: string, how: 'push' | 'replace' = 'push'): void {
  if (address === window.location.pathname + window.location.search) return;
  if (how === 'push') history.pushState(null, '', address);
  else history.replaceState(null, '', address);
  location$.set(here());
}

export function tagAddress(name: string): string {
  return `/tags/${name.split('/').map(encodeURIComponent).join('/')}`;
}

export function trendAddress(tags: readonly string[], extra: Readonly<Record<string, string>> = {}): string {
  return `/?${new URLSearchParams([...tags.map((tag) => ['tag', tag]), ...Object.entries(extra)])}`;
}

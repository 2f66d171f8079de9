// Light or dark: the system's choice until somebody chooses here.
import { Store } from '../model/store';
import type { Theme } from '../trend/palette';

const KEY = 'historian.theme';
const system = matchMedia('(prefers-color-scheme: dark)');

function chosen(): Theme | null {
  const stored = localStorage.getItem(KEY);
  return stored === 'light' || stored === 'dark' ? stored : null;
}

export const theme = new Store<Theme>(chosen() ?? (system.matches ? 'dark' : 'light'));

export function startTheme(): void {
  const apply = (value: Theme) => document.documentElement.setAttribute('data-theme', value);
  apply(theme.value);
  theme.subscribe(apply);
  system.addEventListener('change', () => {
    if (!chosen()) theme.set(system.matches ? 'dark' : 'light');
  });
}

export function switchTheme(): void {
  const next: Theme = theme.value === 'dark' ? 'light' : 'dark';
  localStorage.setItem(KEY, next);
  theme.set(next);
}

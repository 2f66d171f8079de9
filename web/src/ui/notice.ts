// One line that says what has just happened, and goes by itself.
import { Store } from '../model/store';

const SHOWN_MS = 4_000;

export const notice = new Store<string>('');
let timer: ReturnType<typeof setTimeout> | undefined;

export function tell(text: string): void {
  notice.set(text);
  clearTimeout(timer);
  timer = setTimeout(() => notice.set(''), SHOWN_MS);
}

/** Copies a text. Without a secure origin browsers have no clipboard API, only the command of old. */
export async function copyText(text: string, what: string): Promise<void> {
  try {
    if (navigator.clipboard) await navigator.clipboard.writeText(text);
    else copyBySelection(text);
    tell(`Copied: ${what}`);
  } catch {
    tell('The browser does not let the page copy.');
  }
}

function copyBySelection(text: string): void {
  const area = document.createElement('textarea');
  area.value = text;
  document.body.append(area);
  area.select();
  document.execCommand('copy');
  area.remove();
}

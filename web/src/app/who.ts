// Who one is to the historian, and what one may do: controls that would be refused are not there. The historian decides all the same.
import type { WhoAmI } from '../api/messages';
import { connection, requestJson } from '../api/request';
import { Store } from '../model/store';

export const who = new Store<WhoAmI | null>(null);

/** Asks now, and again after every sign-in and return of the historian. */
export function startWho(): void {
  const ask = () => void requestJson<WhoAmI>('whoami').then((answer) => who.set(answer), () => who.set(null));
  let { epoch } = connection.value;
  connection.subscribe((state) => {
    if (state.epoch !== epoch) ask();
    epoch = state.epoch;
  });
  ask();
}

/** Whether the caller has a right, on whichever tags. */
export function may(caller: WhoAmI | null, right: string): boolean {
  return (caller?.rights ?? []).some((granted) => granted.right === right);
}

/** Whether the caller has a right on a tag, as far as that can be told here: with doubtful globs the historian is to be asked. */
export function mayOn(caller: WhoAmI | null, right: string, tag: string): boolean {
  const granted = caller?.rights?.find((candidate) => candidate.right === right);
  if (!granted) return false;
  if (granted.everywhere || Number(granted.tags_left_out ?? 0) > 0) return true;
  return (granted.tags ?? []).some((pattern) => pattern === tag || /[[{\\]/.test(pattern) || globOf(pattern).test(tag));
}

/** `*` and `?` within a level, `**` across levels. */
function globOf(pattern: string): RegExp {
  const text = pattern
    .replace(/[.+^$()|\]}]/g, '\\$&')
    .replace(/(^|\/)\*\*(\/|$)|[*?]+/g, (found, before: string | undefined, behind: string | undefined) => {
      if (before === undefined) return found.replaceAll('*', '[^/]*').replaceAll('?', '[^/]');
      return behind ? `${before}(?:.*/)?` : `${before}.*`;
    });
  return new RegExp(`^${text}$`, 's');
}

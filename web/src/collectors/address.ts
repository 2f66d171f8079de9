// The address of the page of a device: what is looked for in its tags, and which of them is chosen.
import { navigate } from '../app/route';

export interface DeviceView {
  readonly match: string;
  readonly problemsOnly: boolean;
  readonly shows: 'tags' | 'gaps';
  /** The tag whose details are open; empty for none. */
  readonly chosen: string;
}

export function parseDeviceView(search: string): DeviceView {
  const parameters = new URLSearchParams(search);
  return {
    match: parameters.get('match') ?? '',
    problemsOnly: parameters.get('problems') === '1',
    shows: parameters.get('show') === 'gaps' ? 'gaps' : 'tags',
    chosen: parameters.get('at') ?? '',
  };
}

export function deviceAddress(device: string, { match = '', problemsOnly = false, shows = 'tags', chosen = '' }: Partial<DeviceView> = {}): string {
  const parameters = new URLSearchParams();
  if (match) parameters.set('match', match);
  if (problemsOnly) parameters.set('problems', '1');
  if (shows === 'gaps') parameters.set('show', 'gaps');
  if (chosen) parameters.set('at', chosen);
  const search = parameters.toString();
  return `/collectors/${encodeURIComponent(device)}${search && `?${search}`}`;
}

/** Another view of the same device; typing and choosing leave no entries behind. */
export function showView(device: string, view: DeviceView): void {
  navigate(deviceAddress(device, view), 'replace');
}

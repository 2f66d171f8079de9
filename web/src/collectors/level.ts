// How a device and a tag are: what is bad stands first, so that a red thing is found at a glance.
import type { CollectedTag } from '../api/collectors';
import type { DeviceStatus } from '../api/messages';
import { qualityName, severity } from '../model/quality';

export type Level = 'bad' | 'uncertain' | 'good';

export const RANK: Readonly<Record<Level, number>> = { bad: 0, uncertain: 1, good: 2 };

export function levelOf(device: DeviceStatus): Level {
  const missing = Number(device.items_wanted ?? 0) - Number(device.items_delivering ?? 0);
  if (device.state === 'backoff' || device.state === 'stopped' || (missing > 0 && missing === Number(device.items_wanted ?? 0))) return 'bad';
  if (device.state !== 'running' || missing > 0 || Number(device.undelivered_tags ?? 0) > 0) return 'uncertain';
  return 'good';
}

/** Anything but good is a problem. A tag of which nothing is known yet is one, too, until its first sample. */
export function tagLevel(tag: CollectedTag): Level {
  if (tag.error || (tag.last && severity(tag.last.quality) === 'bad')) return 'bad';
  if (tag.delivery !== 'delivering' || !tag.last) return 'uncertain';
  return severity(tag.last.quality);
}

/** Those with a problem first; otherwise the order stays, so that nothing moves while values do. */
export function problemsFirst(tags: readonly CollectedTag[]): readonly CollectedTag[] {
  const byLevel: Readonly<Record<Level, CollectedTag[]>> = { bad: [], uncertain: [], good: [] };
  for (const tag of tags) byLevel[tagLevel(tag)].push(tag);
  return [...byLevel.bad, ...byLevel.uncertain, ...byLevel.good];
}

const DELIVERY: Readonly<Record<string, string>> = {
  wanted: 'wanted: the device has not taken it',
  created: 'created: the device has taken it, and it does not deliver',
  delivering: 'delivering',
};

export function deliveryText({ delivery }: CollectedTag): string {
  return DELIVERY[delivery] ?? delivery;
}

/** The last error without the quality that stands beside it. */
export function errorBeyond({ error, last }: CollectedTag): string {
  const name = last ? qualityName(last.quality) : '';
  return name && error.startsWith(`${name}: `) ? error.slice(name.length + 2) : error;
}

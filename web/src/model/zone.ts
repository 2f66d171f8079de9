// Civil time of a zone. `Intl` knows the rules; an offset is asked once per quarter of an hour, because zones change on such edges.
const QUARTER_MS = 900_000;
const CACHE_MAX = 20_000;

const formats = new Map<string, Intl.DateTimeFormat>();
const offsets = new Map<string, number>();

/** The zone of the browser, as an IANA name. */
export const browserZone = Intl.DateTimeFormat().resolvedOptions().timeZone || 'UTC';

/** `local` is the browser's zone; a name that the browser does not know is UTC. */
export function resolveZone(zone: string): string {
  const name = zone === 'local' ? browserZone : zone;
  try {
    new Intl.DateTimeFormat('en', { timeZone: name });
    return name;
  } catch {
    return 'UTC';
  }
}

/** Offset of the zone from UTC at an instant, in milliseconds. */
export function offsetMs(zone: string, instantMs: number): number {
  if (zone === 'UTC') return 0;
  const quarter = Math.floor(instantMs / QUARTER_MS);
  const key = `${zone} ${quarter}`;
  let offset = offsets.get(key);
  if (offset === undefined) {
    offset = askOffset(zone, quarter * QUARTER_MS);
    if (offsets.size > CACHE_MAX) offsets.clear();
    offsets.set(key, offset);
  }
  return offset;
}

function askOffset(zone: string, instantMs: number): number {
  let format = formats.get(zone);
  if (!format) {
    format = new Intl.DateTimeFormat('en-US', {
      timeZone: zone, hourCycle: 'h23', year: 'numeric', month: 'numeric', day: 'numeric', hour: 'numeric', minute: 'numeric', second: 'numeric',
    });
    formats.set(zone, format);
  }
  const part: Record<string, number> = {};
  for (const { type, value } of format.formatToParts(instantMs)) part[type] = Number(value);
  const civil = Date.UTC(part['year'] ?? 1970, (part['month'] ?? 1) - 1, part['day'] ?? 1, part['hour'] ?? 0, part['minute'] ?? 0, part['second'] ?? 0);
  return civil - instantMs;
}

/** Civil time as milliseconds of a clock that shows it: read it with the UTC getters of `Date`. */
export function civilMs(zone: string, instantMs: number): number {
  return instantMs + offsetMs(zone, instantMs);
}

/** The instant of a civil time. Of an hour that occurs twice the first; a time that the clocks skip counts by the offset before. */
export function instantOfCivil(zone: string, civil: number): number {
  const before = offsetMs(zone, civil - 86_400_000);
  const after = offsetMs(zone, civil + 86_400_000);
  const early = civil - before;
  if (offsetMs(zone, early) === before) return early;
  const late = civil - after;
  return offsetMs(zone, late) === after ? late : early;
}

/** Moves an instant by days of the zone's calendar, which may have 23 or 25 hours. */
export function addDays(zone: string, instantMs: number, days: number): number {
  return instantOfCivil(zone, civilMs(zone, instantMs) + days * 86_400_000);
}

/** Moves an instant by months; a day that the month does not have is its last. */
export function addMonths(zone: string, instantMs: number, months: number): number {
  const civil = civilMs(zone, instantMs);
  const date = new Date(civil);
  const month = date.getUTCFullYear() * 12 + date.getUTCMonth() + months;
  const last = new Date(Date.UTC(Math.floor(month / 12), (month % 12) + 1, 0)).getUTCDate();
  const day = Date.UTC(Math.floor(month / 12), month % 12, Math.min(date.getUTCDate(), last));
  return instantOfCivil(zone, day + (civil - Math.floor(civil / 86_400_000) * 86_400_000));
}

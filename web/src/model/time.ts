// Times: nanoseconds since 1970 as BigInt, the expressions of the API (`*-8h`, RFC 3339), and how they are written. Nothing here goes through
// a float of seconds, which would resolve no better than a quarter of a microsecond.
import { addDays, addMonths, civilMs, instantOfCivil, offsetMs } from './zone';

export const NS_PER_MS = 1_000_000n;
export const SECOND_NS = 1_000_000_000n;

const STEP_NS: Record<string, bigint> = {
  ns: 1n, us: 1_000n, ms: NS_PER_MS, s: SECOND_NS, m: 60n * SECOND_NS, h: 3_600n * SECOND_NS,
};
const RFC3339 = /^(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?)?(Z|[+-]\d\d:\d\d)?$/i;
const RELATIVE = /^([*ty])((?:[+-]\d+(?:ns|us|ms|mo|y|w|d|h|m|s))*)$/;

export interface Range {
  readonly start: bigint;
  readonly end: bigint;
}

/** Splits into whole milliseconds, rounded down, and the nanoseconds beyond them. */
export function splitMs(ns: bigint): [ms: number, rest: bigint] {
  let ms = ns / NS_PER_MS;
  if (ms * NS_PER_MS > ns) ms -= 1n;
  return [Number(ms), ns - ms * NS_PER_MS];
}

function onMs(ns: bigint, change: (ms: number) => number): bigint {
  const [ms, rest] = splitMs(ns);
  return BigInt(change(ms)) * NS_PER_MS + rest;
}

/** Moves an instant by calendar days of the zone. */
export function shiftDays(ns: bigint, zone: string, days: number): bigint {
  return onMs(ns, (ms) => addDays(zone, ms, days));
}

/** The instant that an expression of the API means, or null where it cannot be read. */
export function parseTime(text: string, zone: string, now: bigint): bigint | null {
  const expression = text.trim();
  const relative = RELATIVE.exec(expression);
  if (relative) return relativeTime(relative[1] ?? '*', relative[2] ?? '', zone, now);
  const match = RFC3339.exec(expression);
  if (!match) return null;
  const [, year, month, day, hour = '0', minute = '0', second = '0', fraction = '', offset] = match;
  const civil = Date.UTC(Number(year), Number(month) - 1, Number(day), Number(hour), Number(minute), Number(second));
  if (new Date(civil).getUTCDate() !== Number(day)) return null;
  const rest = BigInt(fraction.padEnd(9, '0'));
  return BigInt(instantOf(civil, offset, zone)) * NS_PER_MS + rest;
}

function instantOf(civil: number, offset: string | undefined, zone: string): number {
  if (!offset) return instantOfCivil(zone, civil);
  if (offset === 'Z' || offset === 'z') return civil;
  const minutes = Number(offset.slice(1, 3)) * 60 + Number(offset.slice(4, 6));
  return civil - (offset.startsWith('-') ? -minutes : minutes) * 60_000;
}

function relativeTime(anchor: string, steps: string, zone: string, now: bigint): bigint {
  let time = now;
  if (anchor !== '*') {
    const [ms] = splitMs(now);
    const midnight = instantOfCivil(zone, Math.floor(civilMs(zone, ms) / 86_400_000) * 86_400_000);
    time = BigInt(anchor === 'y' ? addDays(zone, midnight, -1) : midnight) * NS_PER_MS;
  }
  for (const [, sign, digits, unit = 's'] of steps.matchAll(/([+-])(\d+)(ns|us|ms|mo|y|w|d|h|m|s)/g)) {
    const count = Number(digits) * (sign === '-' ? -1 : 1);
    if (unit === 'd' || unit === 'w') time = onMs(time, (ms) => addDays(zone, ms, unit === 'w' ? count * 7 : count));
    else if (unit === 'mo' || unit === 'y') time = onMs(time, (ms) => addMonths(zone, ms, unit === 'y' ? count * 12 : count));
    else time += BigInt(count) * (STEP_NS[unit] ?? 1n);
  }
  return time;
}

/** Whether an expression moves with the clock. */
export function isRelative(text: string): boolean {
  return RELATIVE.test(text.trim());
}

/** The expression for so long before now, in the largest unit that says it without a fraction of a second. */
export function beforeNow(span: bigint): string {
  const seconds = span / SECOND_NS > 0n ? span / SECOND_NS : 1n;
  for (const [unit, length] of [['h', 3_600n], ['m', 60n]] as const) if (seconds % length === 0n) return `*-${seconds / length}${unit}`;
  return `*-${seconds}s`;
}

function fractionOf(ms: number, rest: bigint): string {
  const ns = BigInt(((ms % 1000) + 1000) % 1000) * NS_PER_MS + rest;
  return ns === 0n ? '' : `.${ns.toString().padStart(9, '0').replace(/0+$/, '')}`;
}

/** RFC 3339 in UTC with as many decimals as it needs: what requests and links carry. */
export function formatRfc3339(ns: bigint): string {
  const [ms, rest] = splitMs(ns);
  return `${new Date(ms).toISOString().slice(0, 19)}${fractionOf(ms, rest)}Z`;
}

/** Civil date and time in a zone, without its name: for tables and readouts. `decimals` of a second, or as many as it needs. */
export function formatCivil(ns: bigint, zone: string, decimals?: number): string {
  const [ms, rest] = splitMs(ns);
  const text = new Date(civilMs(zone, ms)).toISOString().slice(0, 19).replace('T', ' ');
  const fraction = fractionOf(ms, rest);
  if (decimals === undefined) return text + fraction;
  return decimals === 0 ? text : `${text}.${fraction.slice(1, decimals + 1).padEnd(decimals, '0')}`;
}

/** Name of a zone with its offset at an instant, such as `Europe/Berlin (UTC+01:00)`. */
export function zoneLabel(zone: string, ns: bigint): string {
  if (zone === 'UTC') return 'UTC';
  const minutes = offsetMs(zone, splitMs(ns)[0]) / 60_000;
  const size = Math.abs(minutes);
  const two = (number: number) => String(number).padStart(2, '0');
  return `${zone} (UTC${minutes < 0 ? '−' : '+'}${two(Math.floor(size / 60))}:${two(size % 60)})`;
}

/** A length of time in its two largest units: `3 h 20 min`, `1.25 ms`. */
export function formatDuration(ns: bigint): string {
  const size = ns < 0n ? -ns : ns;
  const sign = ns < 0n ? '−' : '';
  if (size < 1_000n) return `${sign}${size} ns`;
  if (size < NS_PER_MS) return `${sign}${trim(Number(size) / 1e3)} µs`;
  if (size < SECOND_NS) return `${sign}${trim(Number(size) / 1e6)} ms`;
  const seconds = Number(size) / 1e9;
  if (seconds < 60) return `${sign}${trim(seconds)} s`;
  const units: [name: string, seconds: number][] = [['d', 86_400], ['h', 3_600], ['min', 60], ['s', 1]];
  let left = Math.round(seconds);
  const parts: string[] = [];
  for (const [name, length] of units) {
    const count = Math.floor(left / length);
    left -= count * length;
    if (count > 0) parts.push(`${count} ${name}`);
  }
  return sign + parts.slice(0, 2).join(' ');
}

function trim(number: number): string {
  return String(Number(number.toPrecision(4)));
}

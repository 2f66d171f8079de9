// How values are written: exactly where they are asked of the engine, rounded where they are read off a line.

/** A value as the JSON of the API has it: 64-bit integers beyond 2^53 and non-finite floats are text. */
export type Value = number | string | boolean | null;

/** All digits that tell the value apart from its neighbours. */
export function exactText(value: Value, states?: readonly string[]): string {
  if (value === null) return '';
  if (typeof value === 'boolean') return String(value);
  // A state without a name keeps its number.
  if (states?.length) return states[Number(value)] || String(value);
  return String(value);
}

/** What fits a narrow column: texts and integers whole, floats to ten digits. */
export function shortText(value: Value, states?: readonly string[]): string {
  if (typeof value !== 'number' || states?.length || Number.isInteger(value)) return exactText(value, states);
  return roundText(value, 10);
}

/** A float to so many significant digits, without an exponent where that is readable. */
export function roundText(value: number, digits: number): string {
  if (!Number.isFinite(value)) return String(value);
  const rounded = Number(value.toPrecision(digits));
  return String(rounded);
}

/** Digits that mean something at a resolution: a pixel of an axis, say. */
export function resolvedText(value: number, resolution: number): string {
  if (!Number.isFinite(value)) return String(value);
  if (Number.isInteger(value)) return String(value);
  const decimals = Math.min(12, Math.max(0, Math.ceil(-Math.log10(resolution || 1e-6))));
  return value.toFixed(decimals);
}

/** Difference of two values of one tag, exact for integers, null where there is none. */
export function difference(from: Value, to: Value): Value {
  if (from === null || to === null || typeof from === 'boolean' || typeof to === 'boolean') return null;
  if (typeof from === 'number' && typeof to === 'number' && !(Number.isInteger(from) && Number.isInteger(to))) return to - from;
  if (!/^-?\d+$/.test(String(from)) || !/^-?\d+$/.test(String(to))) return null;
  const exact = BigInt(to) - BigInt(from);
  return Number.isSafeInteger(Number(exact)) ? Number(exact) : exact.toString();
}

/** The shortest decimal that reads back as the same 32-bit float. */
export function shortestFloat32(value: number): number {
  if (!Number.isFinite(value)) return value;
  for (let digits = 1; digits < 9; digits++) {
    const candidate = Number(value.toPrecision(digits));
    if (Math.fround(candidate) === Math.fround(value)) return candidate;
  }
  return value;
}

const MAGNITUDES = ['', 'k', 'M', 'G', 'T', 'P'];

/** A count with a prefix: 12.3 k. */
export function countText(count: number): string {
  let at = 0;
  while (Math.abs(count) >= 10_000 && at < MAGNITUDES.length - 1) {
    count /= 1000;
    at += 1;
  }
  return at === 0 ? roundText(count, 4) : `${roundText(count, 3)} ${MAGNITUDES[at]}`;
}

/** Bytes in binary units. */
export function bytesText(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let at = 0;
  while (bytes >= 1024 && at < units.length - 1) {
    bytes /= 1024;
    at += 1;
  }
  return `${at === 0 ? bytes : bytes.toFixed(1)} ${units[at]}`;
}

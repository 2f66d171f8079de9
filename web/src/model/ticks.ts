// Where the time axis has its marks: on round civil times of the zone, so that a day begins at its midnight also where clocks change.
import { addMonths, civilMs, instantOfCivil } from './zone';
import { NS_PER_MS, splitMs, type Range } from './time';

export interface Tick {
  readonly time: bigint;
  readonly label: string;
}

const DAY_MS = 86_400_000;
const STEPS_NS: readonly number[] = [1, 2, 5, 10, 20, 50, 100, 200, 500].flatMap((step) => [step, step * 1e3, step * 1e6]).sort((a, b) => a - b)
  .concat([1, 2, 5, 10, 15, 30].map((step) => step * 1e9))
  .concat([1, 2, 5, 10, 15, 30].map((step) => step * 60e9))
  .concat([1, 2, 3, 6, 12].map((step) => step * 3600e9))
  .concat([1, 2, 7, 14].map((step) => step * 86_400e9));
const MONTHS = [1, 3, 6, 12, 24, 60, 120, 600];
const NAMES = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

/** At most about `count` marks. A label has the date on a second line where the day begins, and on the first mark. */
export function timeTicks(range: Range, zone: string, count: number): Tick[] {
  const span = Number(range.end - range.start);
  const step = STEPS_NS.find((candidate) => span / candidate <= count);
  if (step === undefined) return monthTicks(range, zone, count);
  const times = step >= 3600e9 ? civilTimes(range, zone, step / 1e6) : evenTimes(range, BigInt(step));
  let day = '';
  return times.map((time) => {
    const [ms, rest] = splitMs(time);
    const date = new Date(civilMs(zone, ms));
    const today = `${date.getUTCDate()} ${NAMES[date.getUTCMonth()]} ${date.getUTCFullYear()}`;
    if (step >= 86_400e9) {
      const label = today === day ? '' : `${date.getUTCDate()} ${NAMES[date.getUTCMonth()]}`;
      const year = String(date.getUTCFullYear());
      const turned = day.slice(-4) !== year;
      day = today;
      return { time, label: turned ? `${label}\n${year}` : label };
    }
    const clock = clockLabel(date, ms, rest, step);
    const label = today === day ? clock : `${clock}\n${today}`;
    day = today;
    return { time, label };
  });
}

function clockLabel(date: Date, ms: number, rest: bigint, step: number): string {
  const text = date.toISOString();
  if (step >= 60e9) return text.slice(11, 16);
  if (step >= 1e9) return text.slice(11, 19);
  const fraction = (BigInt(((ms % 1000) + 1000) % 1000) * NS_PER_MS + rest).toString().padStart(9, '0');
  return `${text.slice(17, 19)}.${fraction.slice(0, step >= 1e6 ? 3 : step >= 1e3 ? 6 : 9)} s`;
}

function evenTimes(range: Range, step: bigint): bigint[] {
  const times: bigint[] = [];
  let time = (range.start / step) * step;
  if (time < range.start) time += step;
  for (; time <= range.end; time += step) times.push(time);
  return times;
}

function civilTimes(range: Range, zone: string, stepMs: number): bigint[] {
  const times: bigint[] = [];
  const first = civilMs(zone, splitMs(range.start)[0]);
  // Weeks begin on Monday, and 1970 began on a Thursday.
  const anchor = stepMs % (7 * DAY_MS) === 0 ? 4 * DAY_MS : 0;
  let civil = Math.floor((first - anchor) / stepMs) * stepMs + anchor;
  for (;;) {
    const time = BigInt(instantOfCivil(zone, civil)) * NS_PER_MS;
    if (time > range.end) return times;
    if (time >= range.start && time !== times.at(-1)) times.push(time);
    civil += stepMs;
  }
}

function monthTicks(range: Range, zone: string, count: number): Tick[] {
  const span = Number(range.end - range.start) / (30.44 * 86_400e9);
  const step = MONTHS.find((candidate) => span / candidate <= count) ?? 1200;
  const date = new Date(civilMs(zone, splitMs(range.start)[0]));
  const first = Math.floor((date.getUTCFullYear() * 12 + date.getUTCMonth()) / step) * step;
  let at = instantOfCivil(zone, Date.UTC(Math.floor(first / 12), first % 12, 1));
  const ticks: Tick[] = [];
  for (;;) {
    const time = BigInt(at) * NS_PER_MS;
    if (time > range.end) return ticks;
    const civil = new Date(civilMs(zone, at));
    const year = String(civil.getUTCFullYear());
    const month = NAMES[civil.getUTCMonth()] ?? '';
    const turned = ticks.length === 0 || civil.getUTCMonth() === 0;
    if (time >= range.start) ticks.push({ time, label: step >= 12 ? year : turned ? `${month}\n${year}` : month });
    at = addMonths(zone, at, step);
  }
}

// What pointers and keys do to the range. One surface lies over all lanes, so a gesture is the same wherever it begins: drag zooms, Shift-drag and
// two fingers pan, pinch and wheel zoom around the pointer, a click pins a cursor.
import type { Range } from '../model/time';
import { formatRfc3339 } from '../model/time';
import type { TrendController } from './controller';

export interface Selection {
  readonly left: number;
  readonly right: number;
}

const CLICK_SLACK = 4;

interface Touch {
  readonly id: number;
  readonly startX: number;
  x: number;
}

export class Gestures {
  private readonly touches = new Map<number, Touch>();
  private began: { range: Range; panning: boolean; moved: boolean } | null = null;

  constructor(
    private readonly surface: HTMLElement,
    private readonly controller: TrendController,
    private readonly select: (selection: Selection | null) => void,
  ) {}

  attach(): () => void {
    const { surface } = this;
    const handlers: [keyof HTMLElementEventMap, (event: never) => void][] = [
      ['pointerdown', (event: PointerEvent) => this.down(event)],
      ['pointermove', (event: PointerEvent) => this.move(event)],
      ['pointerup', (event: PointerEvent) => this.up(event, false)],
      ['pointercancel', (event: PointerEvent) => this.up(event, true)],
      ['pointerleave', (event: PointerEvent) => {
        if (event.pointerType === 'mouse' && !this.began) this.controller.cursor.set(null);
      }],
    ];
    for (const [name, handler] of handlers) surface.addEventListener(name, handler as EventListener);
    const wheel = (event: WheelEvent) => this.wheel(event);
    surface.addEventListener('wheel', wheel, { passive: false });
    return () => {
      for (const [name, handler] of handlers) surface.removeEventListener(name, handler as EventListener);
      surface.removeEventListener('wheel', wheel);
    };
  }

  /** Widens (above 1) or narrows the range around a place of it, 0 to 1. */
  zoomBy(factor: number, around: number): void {
    this.controller.preview(scaled(this.controller.range.value, factor, around));
  }

  private fraction(clientX: number): number {
    const box = this.surface.getBoundingClientRect();
    return Math.min(1, Math.max(0, (clientX - box.left) / box.width));
  }

  private down(event: PointerEvent): void {
    if (event.pointerType === 'mouse' && event.button !== 0) return;
    this.surface.setPointerCapture(event.pointerId);
    this.touches.set(event.pointerId, { id: event.pointerId, startX: event.clientX, x: event.clientX });
    if (this.touches.size === 1) this.began = { range: this.controller.range.value, panning: event.shiftKey, moved: false };
    else if (this.began) {
      this.select(null);
      this.began = { range: this.controller.range.value, panning: true, moved: true };
      for (const touch of this.touches.values()) this.touches.set(touch.id, { id: touch.id, startX: touch.x, x: touch.x });
    }
  }

  private move(event: PointerEvent): void {
    const touch = this.touches.get(event.pointerId);
    if (!touch || !this.began) {
      if (event.pointerType === 'mouse') this.controller.cursor.set(timeAt(this.controller.range.value, this.fraction(event.clientX)));
      return;
    }
    touch.x = event.clientX;
    if (Math.abs(touch.x - touch.startX) > CLICK_SLACK) this.began.moved = true;
    if (!this.began.moved) return;
    if (this.touches.size === 2) this.pinch(this.began.range);
    else if (this.began.panning) this.controller.preview(panned(this.began.range, this.fraction(touch.startX) - this.fraction(touch.x)), 'later');
    else {
      const box = this.surface.getBoundingClientRect();
      const edges = [touch.startX, touch.x].map((x) => Math.min(box.width, Math.max(0, x - box.left))).sort((a, b) => a - b);
      this.select({ left: edges[0] ?? 0, right: edges[1] ?? 0 });
    }
  }

  private pinch(range: Range): void {
    const [one, two] = [...this.touches.values()];
    if (!one || !two) return;
    const [from1, from2] = [this.fraction(one.startX), this.fraction(two.startX)];
    const [to1, to2] = [this.fraction(one.x), this.fraction(two.x)];
    if (Math.abs(to2 - to1) < 0.02) return;
    const factor = (from2 - from1) / (to2 - to1);
    if (!(factor > 0)) return;
    const span = Number(range.end - range.start);
    const start = from1 - to1 * factor;
    const startTime = range.start + BigInt(Math.round(start * span));
    this.controller.preview({ start: startTime, end: startTime + BigInt(Math.round(span * factor)) }, 'later');
  }

  private up(event: PointerEvent, cancelled: boolean): void {
    const touch = this.touches.get(event.pointerId);
    if (!touch) return;
    this.touches.delete(event.pointerId);
    const began = this.began;
    if (!began || this.touches.size > 0) return;
    this.began = null;
    this.select(null);
    if (cancelled) {
      this.controller.preview(began.range, 'later');
      return;
    }
    const { range } = this.controller;
    if (!began.moved) {
      const time = timeAt(range.value, this.fraction(event.clientX));
      this.controller.cursor.set(time);
      this.controller.pin(time);
    } else if (began.panning) {
      this.controller.settle();
    } else {
      const edges = [timeAt(began.range, this.fraction(touch.startX)), timeAt(began.range, this.fraction(event.clientX))];
      const [start, end] = edges.sort((a, b) => (a < b ? -1 : 1));
      if (start !== undefined && end !== undefined) this.controller.zoomTo({ start, end });
    }
  }

  private wheel(event: WheelEvent): void {
    event.preventDefault();
    if (Math.abs(event.deltaX) > Math.abs(event.deltaY) || event.shiftKey) {
      const distance = (event.deltaX || event.deltaY) / this.surface.clientWidth;
      this.controller.preview(panned(this.controller.range.value, distance));
    } else {
      this.zoomBy(Math.exp(Math.max(-200, Math.min(200, event.deltaY)) * 0.002), this.fraction(event.clientX));
    }
  }
}

export function timeAt(range: Range, fraction: number): bigint {
  return range.start + BigInt(Math.round(Number(range.end - range.start) * fraction));
}

function panned(range: Range, fraction: number): Range {
  const distance = BigInt(Math.round(Number(range.end - range.start) * fraction));
  return { start: range.start + distance, end: range.end + distance };
}

function scaled(range: Range, factor: number, around: number): Range {
  const span = Number(range.end - range.start);
  const centre = timeAt(range, around);
  const start = centre - BigInt(Math.round(span * factor * around));
  return { start, end: start + BigInt(Math.max(1, Math.round(span * factor))) };
}

/** Keys of the chart; true where the key was taken. */
export function chartKey(event: KeyboardEvent, controller: TrendController, gestures: Gestures, width: number, pen: string | null): boolean {
  const { start, end } = controller.range.value;
  const span = end - start;
  const at = controller.cursor.value;
  const pixel = span / BigInt(Math.max(1, Math.round(width)));
  const moveCursor = (pixels: bigint) => {
    const next = (at ?? start + span / 2n) + pixel * pixels;
    controller.cursor.set(next < start ? start : next > end ? end : next);
  };
  const direction = event.key === 'ArrowLeft' ? -1 : 1;
  switch (event.key) {
    case 'ArrowLeft':
    case 'ArrowRight':
      if (event.altKey) return false;
      if (event.ctrlKey) {
        if (pen) void controller.stepSample(pen, direction);
      } else moveCursor(BigInt(direction * (event.shiftKey ? 20 : 1)));
      return true;
    case 'Enter':
    case ' ':
      if (at !== null) controller.pin(at);
      return true;
    case 'a':
    case 'A':
      if (at !== null) controller.change({ a: at }, 'replace');
      return true;
    case 'b':
    case 'B':
      if (at !== null) controller.change({ b: at }, 'replace');
      return true;
    case 'n':
    case 'N':
      if (event.ctrlKey || event.altKey) return false;
      controller.annotate();
      return true;
    case 'Escape':
      controller.clearPins();
      return true;
    case 'z':
    case 'Z':
      zoomToPins(controller);
      return true;
    case '+':
    case '=':
    case '-':
      gestures.zoomBy(event.key === '-' ? 2 : 0.5, at === null || at < start || at > end ? 0.5 : Number(at - start) / Number(span));
      return true;
    case 'PageUp':
    case '[':
      controller.step(-1);
      return true;
    case 'PageDown':
    case ']':
      controller.step(1);
      return true;
    case 'l':
    case 'L':
      controller.setLive(!controller.view.value.live);
      return true;
    default:
      return false;
  }
}

/** The range between the pinned cursors. */
export function zoomToPins(controller: TrendController): void {
  const { a, b } = controller.view.value;
  if (a === null || b === null || a === b || formatRfc3339(a) === formatRfc3339(b)) return;
  controller.zoomTo(a < b ? { start: a, end: b } : { start: b, end: a });
}

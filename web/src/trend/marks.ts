// Annotations on the pens of a view: where they stand on a line, and which of them one flag at the edge of a lane stands for.
import type { Annotation } from '../api/annotations';
import type { Range } from '../model/time';
import { readTrace, type Trace } from './trace';

export interface Mark {
  readonly annotation: Annotation;
  readonly kind: 'moment' | 'range';
  /** What the line reads at a moment; null where it has nothing to stand on. */
  readonly value: number | null;
}

export function isMoment({ start, end }: Annotation): boolean {
  return start === end;
}

/** Those on one pen, in the order of their starts. */
export function marksOf(annotations: readonly Annotation[], pen: string, trace: Trace | undefined): Mark[] {
  return annotations.filter(({ tags }) => tags.includes(pen)).map((annotation): Mark => {
    if (!isMoment(annotation)) return { annotation, kind: 'range', value: null };
    const value = trace ? readTrace(trace, Number(annotation.start - trace.origin)).value : null;
    return { annotation, kind: 'moment', value: typeof value === 'number' && Number.isFinite(value) ? value : null };
  });
}

/** A flag of a lane: annotations that begin close beside each other share one. */
export interface Flag {
  /** Of the width of the lane, 0 to 1. */
  readonly at: number;
  readonly annotations: readonly Annotation[];
}

const FLAG_PIXELS = 26;

export function flagsOf(annotations: readonly Annotation[], pens: readonly string[], range: Range, width: number): Flag[] {
  const span = Number(range.end - range.start);
  const flags: { at: number; annotations: Annotation[] }[] = [];
  for (const annotation of annotations) {
    if (annotation.start > range.end || annotation.end < range.start || !annotation.tags.some((tag) => pens.includes(tag))) continue;
    const at = Math.max(0, Number(annotation.start - range.start) / span);
    const last = flags.at(-1);
    if (last && (at - last.at) * width < FLAG_PIXELS) last.annotations.push(annotation);
    else flags.push({ at, annotations: [annotation] });
  }
  return flags;
}

/** Those that the moving cursor is on: within a range, or a few pixels beside a moment. */
export function annotationsAt(annotations: readonly Annotation[], time: bigint, slack: bigint): Annotation[] {
  return annotations.filter(({ start, end }) => (start === end ? time >= start - slack && time <= start + slack : time >= start && time < end));
}

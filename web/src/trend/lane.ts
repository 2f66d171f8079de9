// Lanes: numbers of one unit share a lane and its scale; booleans, states and texts are rows of one lane, because they have no scale.
import type { Tag } from '../api/messages';
import { valueType } from '../api/messages';
import { unitText } from '../model/unit';

export interface Pen {
  readonly name: string;
  readonly tag: Tag;
  readonly stepped: boolean;
  readonly discrete: boolean;
  readonly states: readonly string[];
  /** Place among the pens of the view: decides the colour. */
  readonly index: number;
}

export interface Lane {
  readonly key: string;
  readonly discrete: boolean;
  /** As people read it. */
  readonly unit: string;
  /** As the catalog has it. */
  readonly code: string;
  readonly pens: readonly Pen[];
}

export function penOf(tag: Tag, index: number): Pen {
  const type = valueType(tag);
  const discrete = type === 'bool' || type === 'string' || type === 'state';
  const states = tag.state_set?.length ? tag.state_set : type === 'bool' ? ['false', 'true'] : [];
  return { name: tag.name, tag, stepped: discrete || (tag.stepped ?? false), discrete, states, index };
}

/** In the order in which their first pens stand; rows without a scale come last. */
export function lanesOf(pens: readonly Pen[]): Lane[] {
  const lanes = new Map<string, Pen[]>();
  for (const pen of pens) {
    const key = pen.discrete ? 'states' : `unit ${pen.tag.unit ?? ''}`;
    lanes.set(key, [...(lanes.get(key) ?? []), pen]);
  }
  return [...lanes]
    .map(([key, own]): Lane => ({ key, discrete: key === 'states', unit: unitText(own[0]?.tag.unit ?? ''), code: own[0]?.tag.unit ?? '', pens: own }))
    .sort((left, right) => Number(left.discrete) - Number(right.discrete));
}

// Current values of a handful of tags.
import { valueType, type Tag } from '../api/messages';
import { cellOf, fetchRows } from '../api/rows';
import { parseTime } from '../model/time';
import { shortestFloat32, type Value } from '../model/value';

export interface Current {
  readonly value: Value;
  readonly quality: number;
  readonly time: string;
}

export async function currentValues(tags: readonly string[], signal?: AbortSignal): Promise<Map<string, Current>> {
  if (tags.length === 0) return new Map();
  const rows = await fetchRows('current', { tags, types: true }, signal);
  return new Map(Array.from({ length: rows.rows }, (_, row): [string, Current] => [
    String(rows.data['tag']?.[row]),
    {
      value: rows.data['type']?.[row] === 'f32' ? single(cellOf(rows, row)) : cellOf(rows, row),
      quality: Number(rows.data['quality']?.[row] ?? 0),
      time: String(parseTime(String(rows.data['timestamp']?.[row]), 'UTC', 0n) ?? 0n),
    },
  ]));
}

/** Among tags of several types a 32-bit float comes as the nearest double. */
function single(value: Value): Value {
  return typeof value === 'number' ? shortestFloat32(value) : value;
}

/** Names of the numbers of a state; a boolean among numbers is 0 or 1. */
export function stateNames(tag: Tag): readonly string[] {
  if (tag.state_set?.length) return tag.state_set;
  return valueType(tag) === 'bool' ? ['false', 'true'] : [];
}

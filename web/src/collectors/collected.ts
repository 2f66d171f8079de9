// The tags of a device as they are now. A long list is asked for less often than the rows in sight, which stay as fresh as those of a short one.
import { useMemo, useRef } from 'preact/hooks';
import { collectedTags, type CollectedTag } from '../api/collectors';
import { usePolled, type Polled } from '../ui/polled';

const REFRESH_MS = 2_000;
/** Of a list that is asked for whole each time. */
const SHORT_TAGS = 1_000;

export function useCollected(device: string, inSight: readonly string[]): Polled<readonly CollectedTag[]> {
  const list = usePolled(
    (signal) => collectedTags({ device }, signal), (tags) => REFRESH_MS * Math.max(1, Math.ceil((tags?.length ?? 0) / SHORT_TAGS)), [device],
  );
  const names = (list.value?.length ?? 0) > SHORT_TAGS ? inSight : [];
  const sight = usePolled(
    async (signal) => (names.length > 0 ? collectedTags({ device, tags: names }, signal) : []), names.length > 0 ? REFRESH_MS : 0, [device, names.join('\n')],
  );
  // What was seen of rows since the list was read, also of those that are out of sight again.
  const later = useRef({ list: 0, tags: new Map<string, CollectedTag>() });
  const tags = useMemo(() => {
    if (later.current.list !== list.time) later.current = { list: list.time, tags: new Map() };
    if (sight.time > list.time) for (const tag of sight.value ?? []) later.current.tags.set(tag.name, tag);
    return list.value && list.value.map((tag) => later.current.tags.get(tag.name) ?? tag);
  }, [list.time, sight.time]);
  return { ...list, value: tags };
}

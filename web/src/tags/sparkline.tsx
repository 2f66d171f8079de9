// The last hours of a tag in a small drawing, by the same rules as the Trend.
import { useEffect, useRef, useState } from 'preact/hooks';
import { listGaps } from '../api/catalog';
import type { Tag } from '../api/messages';
import { fetchPlot, NO_POINTS } from '../api/plot';
import { clockAheadMs } from '../api/request';
import { surroundingsOf } from '../api/spacing';
import { theme as themeStore } from '../app/theme';
import { useStore } from '../model/store';
import { NS_PER_MS, type Range } from '../model/time';
import { LaneDrawing } from '../trend/drawing';
import { penOf, type Lane } from '../trend/lane';
import { isSparse, silenceOf } from '../trend/silence';
import { gapsOf, traceOf, type Trace } from '../trend/trace';
import { usePolled } from '../ui/polled';

const HOURS = 8n;
const HEIGHT = 150;
const REFRESH_MS = 30_000;

export function Sparkline({ tag }: { readonly tag: Tag }) {
  const host = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(0);
  const theme = useStore(themeStore);
  useEffect(() => {
    if (!host.current) return;
    const observer = new ResizeObserver(([entry]) => setWidth(Math.round(entry?.contentRect.width ?? 0)));
    observer.observe(host.current);
    return () => observer.disconnect();
  }, []);
  const pen = penOf(tag, 0);
  const lane: Lane = { key: 'tag', discrete: pen.discrete, unit: '', code: '', pens: [pen] };
  const polled = usePolled(async (signal): Promise<{ range: Range; trace: Trace } | null> => {
    if (width === 0) return null;
    const end = BigInt(Date.now() + clockAheadMs.value) * NS_PER_MS;
    const range = { start: end - HOURS * 3_600_000_000_000n, end };
    const points = (await fetchPlot([tag], range, width * 4, signal)).get(tag.name) ?? NO_POINTS;
    const gaps = await listGaps([tag.name], range, signal).catch(() => []);
    const around = !pen.stepped && isSparse(points) ? (await surroundingsOf([tag.name], range, signal)).get(tag.name) : undefined;
    const silence = silenceOf(points, around);
    return { range, trace: traceOf(points, { stepped: pen.stepped, discrete: pen.discrete, end, gaps: gapsOf(gaps, tag.name), silence }) };
  }, REFRESH_MS, [tag.name, width]);
  return (
    <div class="sparkline" ref={host}>
      {polled.value && width > 0 && (
        <LaneDrawing
          scene={{ lane, range: polled.value.range, traces: new Map([[tag.name, polled.value.trace]]), compared: new Map(), findings: [], corrections: new Map(), annotations: [], scale: null, hidden: [], theme }}
          zone="local"
          width={width}
          height={HEIGHT}
          withTimes
        />
      )}
    </div>
  );
}

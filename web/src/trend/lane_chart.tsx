// One lane of the Trend: the drawing of what the controller knows of its pens.
import { useMemo } from 'preact/hooks';
import { theme as themeStore } from '../app/theme';
import { useStore } from '../model/store';
import type { TrendController } from './controller';
import type { Scene } from './draw';
import { LaneDrawing } from './drawing';
import type { Lane } from './lane';

interface Props {
  readonly controller: TrendController;
  readonly lane: Lane;
  readonly width: number;
  readonly height: number;
  readonly withTimes: boolean;
}

export function LaneChart({ controller, lane, width, height, withTimes }: Props) {
  const range = useStore(controller.range);
  const traces = useStore(controller.traces);
  const compared = useStore(controller.compared);
  const findings = useStore(controller.findings);
  const corrections = useStore(controller.corrections);
  const annotations = useStore(controller.annotations);
  const { hidden, zone, scales } = useStore(controller.view);
  const scale = lane.discrete ? null : (scales[lane.code] ?? null);
  const theme = useStore(themeStore);
  const scene = useMemo<Scene>(
    () => ({ lane, range, traces, compared, findings, corrections, annotations, hidden, scale, theme }),
    [lane, range, traces, compared, findings, corrections, annotations, hidden, scale, theme],
  );
  return <LaneDrawing scene={scene} zone={zone} width={width} height={height} withTimes={withTimes} />;
}

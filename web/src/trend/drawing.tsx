// A scene on the screen: a uPlot with the axes, and our drawing on it. All lanes have the same left edge and width, so that a moment is one
// vertical line.
import { useEffect, useRef } from 'preact/hooks';
import uPlot from 'uplot';
import { timeTicks, type Tick } from '../model/ticks';
import { resolveZone } from '../model/zone';
import { drawLane, FONT, laneScale, type Scene } from './draw';

export const AXIS_WIDTH = 66;
export const RIGHT_MARGIN = 20;
export const TIME_AXIS_HEIGHT = 40;
const PIXELS_PER_TICK = 96;
const PIXELS_PER_CHARACTER = 5.8;
const LABEL_LENGTH_MAX = 10;

interface Props {
  readonly scene: Scene;
  readonly zone: string;
  readonly width: number;
  readonly height: number;
  readonly withTimes: boolean;
}

export function LaneDrawing({ scene, zone, width, height, withTimes }: Props) {
  const host = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const current = useRef({ scene, zone, width });
  current.current = { scene, zone: resolveZone(zone), width };
  const { lane, theme } = scene;

  useEffect(() => {
    if (!host.current) return;
    const created = new uPlot(options(width, height, withTimes, lane.discrete, current), dataOf(scene), host.current);
    plot.current = created;
    return () => {
      created.destroy();
      plot.current = null;
    };
  }, [lane.discrete, withTimes, theme]);

  useEffect(() => plot.current?.setSize({ width, height }), [width, height]);
  useEffect(() => {
    const shown = plot.current;
    // The scale of times is an offset, so a window that moves leaves it as it was: the marks are to be found anew all the same.
    shown?.batch(() => {
      shown.setData(dataOf(scene));
      shown.redraw(false, true);
    });
  }, [scene, zone]);

  return <div class="lane-canvas" ref={host} role="img" aria-label={`Trend of ${lane.pens.map((pen) => pen.name).join(', ')}`} />;
}

interface Current {
  readonly current: { readonly scene: Scene; readonly zone: string; readonly width: number };
}

/** uPlot sees only the corners of what is drawn: they make its scales. */
function dataOf(scene: Scene): uPlot.AlignedData {
  return [[0, Number(scene.range.end - scene.range.start)], [...laneScale(scene)]];
}

function options(
  width: number, height: number, withTimes: boolean, discrete: boolean, current: Current,
): uPlot.Options {
  const style = getComputedStyle(document.documentElement);
  const colour = (name: string) => style.getPropertyValue(name).trim();
  const font = `11px ${FONT}`;
  const axis = { stroke: colour('--text-soft'), font, grid: { stroke: colour('--grid'), width: 1 }, ticks: { stroke: colour('--grid'), width: 1, size: 4 } };
  const ticks = () => timeTicks(current.current.scene.range, current.current.zone, Math.max(2, Math.floor((current.current.width - AXIS_WIDTH) / PIXELS_PER_TICK)));
  return {
    width,
    height,
    padding: [8, RIGHT_MARGIN, withTimes ? 0 : 4, 0],
    legend: { show: false },
    cursor: { show: false },
    scales: {
      x: { time: false, range: () => [0, Number(current.current.scene.range.end - current.current.scene.range.start)] },
      y: { range: (_, minimum, maximum) => [minimum, maximum] },
    },
    axes: [
      {
        ...axis,
        size: withTimes ? TIME_AXIS_HEIGHT : 0,
        gap: 3,
        splits: () => ticks().map(({ time }) => Number(time - current.current.scene.range.start)),
        values: () => (withTimes ? ticks().map((tick) => (isCut(tick, current.current) ? '' : tick.label)) : []),
      },
      {
        ...axis,
        size: AXIS_WIDTH,
        gap: 4,
        space: 26,
        values: (_, splits) => (discrete ? splits.map(() => '') : splits.map(axisLabel(splits))),
        grid: { ...axis.grid, show: !discrete },
        ticks: { ...axis.ticks, show: !discrete },
      },
    ],
    series: [{}, { scale: 'y', paths: () => null, points: { show: false } }],
    hooks: { draw: [(plot) => drawLane(plot, current.current.scene)] },
  };
}

/** Whether a label would go beyond the right edge of the canvas. */
function isCut({ time, label }: Tick, { scene: { range }, width }: Current['current']): boolean {
  const room = (Number(range.end - time) / Number(range.end - range.start)) * (width - AXIS_WIDTH - RIGHT_MARGIN) + RIGHT_MARGIN;
  return (Math.max(...label.split('\n').map((line) => line.length)) * PIXELS_PER_CHARACTER) / 2 > room;
}

/** Decimals that write a step as it is. */
function decimalsOf(step: number): number {
  for (let decimals = 0; decimals < 12; decimals++) {
    const scaled = step * 10 ** decimals;
    if (scaled >= 1 - 1e-6 && Math.abs(scaled - Math.round(scaled)) < 1e-6) return decimals;
  }
  return 12;
}

/** Labels of a scale: whole where they fit, otherwise how far they are above the lowest. */
function axisLabel(splits: number[]): (value: number) => string {
  const step = Math.abs((splits[1] ?? 1) - (splits[0] ?? 0)) || 1;
  const decimals = decimalsOf(step);
  const base = splits[0] ?? 0;
  if (splits.every((value) => value.toFixed(decimals).length <= LABEL_LENGTH_MAX)) return (value) => value.toFixed(decimals);
  return (value) => (value === base ? base.toExponential(2) : `+${Number((value - base).toPrecision(6))}`);
}

// The table under the chart as tab-separated text, with every digit that the engine answered.
import { formatRfc3339 } from '../model/time';
import { qualityName, severity } from '../model/quality';
import { exactText } from '../model/value';
import type { TrendController } from './controller';

export function readingsText(controller: TrendController): string {
  const { a, b } = controller.view.value;
  const pins = controller.pins.value;
  const head = ['tag', 'unit', `A ${a === null ? '' : formatRfc3339(a)}`, `B ${b === null ? '' : formatRfc3339(b)}`, 'average', 'minimum', 'maximum', '% good'];
  const rows = controller.pens().map((pen) => {
    const pinned = [pins.a?.get(pen.name), pins.b?.get(pen.name)].map((at) =>
      at ? (severity(at.quality) === 'bad' ? qualityName(at.quality) : exactText(at.value, pen.states)) : '');
    const figures = controller.statistics.value.get(pen.name);
    return [
      pen.name, pen.tag.unit ?? '', ...pinned,
      ...[figures?.average, figures?.minimum, figures?.maximum, figures?.percentGood].map((value) => exactText(value ?? null)),
    ];
  });
  return [head, ...rows].map((row) => row.map((cell) => cell.replace(/[\t\r\n]/g, ' ')).join('\t')).join('\n');
}

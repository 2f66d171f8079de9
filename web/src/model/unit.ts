// Units are UCUM codes in the catalog; people read the usual signs.
const SIGNS: Record<string, string> = {
  Cel: '°C', '[degF]': '°F', K: 'K', 'W.h': 'Wh', 'kW.h': 'kWh', 'MW.h': 'MWh', 'uS/cm': 'µS/cm', Ohm: 'Ω', deg: '°', 'm[H2O]': 'mH₂O', '[psi]': 'psi',
};

export function unitText(unit: string): string {
  return SIGNS[unit] ?? unit.replace(/\b(mm|cm|dm|km|m)2\b/g, '$1²').replace(/\b(mm|cm|dm|km|m)3\b/g, '$1³').replace(/\./g, '·');
}

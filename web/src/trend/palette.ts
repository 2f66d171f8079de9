// Colours of pens: Okabe and Ito's, which colour-blind people tell apart, darkened or lightened where a line on the ground of the theme would
// have a contrast below 3:1. Pens of one lane differ in their dashes as well.
export type Theme = 'light' | 'dark';

export const PEN_COLOURS: Readonly<Record<Theme, readonly string[]>> = {
  light: ['#0072b2', '#d55e00', '#00805d', '#b4609a', '#a06a00', '#2b87b8', '#1a1a1a', '#7d7500'],
  dark: ['#56b4e9', '#e69f00', '#22c59a', '#e08fbf', '#ff7a3d', '#f0e442', '#f2f2f2', '#5d9de6'],
};

const DASHES: readonly (readonly number[])[] = [[], [9, 3], [9, 3, 2, 3], [4, 2], [14, 3, 4, 3], [2, 2]];

/** Of annotations: a marker pen and its edge, as no pen, Bad band or finding has it. */
export const ANNOTATION_COLOURS: Readonly<Record<Theme, { readonly fill: string; readonly edge: string }>> = {
  light: { fill: '#ffd54a', edge: '#5c4700' },
  dark: { fill: '#ffd54a', edge: '#12161a' },
};

export function penColour(theme: Theme, index: number): string {
  const colours = PEN_COLOURS[theme];
  return colours[index % colours.length] ?? '#888888';
}

/** Dashes of the pen at a place of its lane. */
export function penDash(place: number): readonly number[] {
  return DASHES[place % DASHES.length] ?? [];
}

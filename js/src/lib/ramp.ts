// Colour of a magnitude in [0, 1]: ramps whose lightness alone carries the value, so that no hue needs to be told apart.

/** "signed" has two sides: 0.5 is zero. */
export type Hue = "blue" | "amber" | "teal" | "rose" | "signed";

type Rgb = readonly [number, number, number];

const STOPS: Record<Hue, readonly string[]> = {
  blue: ["#f6f9fd", "#d3e3f5", "#97bfe6", "#4c8bca", "#1b4f91"],
  amber: ["#fefaf2", "#fbe6bf", "#f3bf6b", "#cf812a", "#854509"],
  teal: ["#f3fbf9", "#c8ebe3", "#7fcbbb", "#2f9684", "#0d594d"],
  rose: ["#fef7f9", "#f9d7e1", "#ee9fb6", "#cc5279", "#821f45"],
  signed: ["#1b4f91", "#8fb8e0", "#f7f7f7", "#f0b585", "#9a3b00"],
};

const DARK_STOPS: Record<Hue, readonly string[]> = {
  blue: ["#161b22", "#1b3350", "#235a92", "#4d97d8", "#b5dcff"],
  amber: ["#1b1813", "#42300f", "#8a5e14", "#d59a35", "#ffe0a3"],
  teal: ["#131b1a", "#10403a", "#187567", "#45b5a1", "#b3f2e4"],
  rose: ["#1d1518", "#4d1c30", "#93335a", "#da6f98", "#ffc9dc"],
  signed: ["#8cc8ff", "#2a639c", "#1b1e23", "#94511a", "#ffb773"],
};

const STEPS = 256;

/** A table of colours and, for each, the text colour that reads on it. */
export interface Ramp {
  readonly fills: readonly string[];
  readonly texts: readonly string[];
}

const cache = new Map<string, Ramp>();

export function ramp(hue: Hue, dark: boolean): Ramp {
  const key = `${hue}${dark}`;
  let made = cache.get(key);
  if (!made) {
    const colours = table((dark ? DARK_STOPS : STOPS)[hue].map(parse));
    made = { fills: colours.map(css), texts: colours.map((c) => (contrast(c, [0, 0, 0]) >= contrast(c, [255, 255, 255]) ? "#000000" : "#ffffff")) };
    cache.set(key, made);
  }
  return made;
}

/** Place of a magnitude in a ramp's tables. */
export function step(value: number): number {
  return Math.round(Math.min(1, Math.max(0, value)) * (STEPS - 1));
}

function table(stops: Rgb[]): Rgb[] {
  return Array.from({ length: STEPS }, (_, i) => {
    const at = (i / (STEPS - 1)) * (stops.length - 1);
    const low = Math.min(Math.floor(at), stops.length - 2);
    const mix = at - low;
    return stops[low].map((c, channel) => c + (stops[low + 1][channel] - c) * mix) as unknown as Rgb;
  });
}

function parse(hex: string): Rgb {
  return [1, 3, 5].map((i) => Number.parseInt(hex.slice(i, i + 2), 16)) as unknown as Rgb;
}

function css([r, g, b]: Rgb): string {
  return `rgb(${Math.round(r)},${Math.round(g)},${Math.round(b)})`;
}

/** Contrast ratio of WCAG 2. */
export function contrast(a: Rgb, b: Rgb): number {
  const [light, dark] = [luminance(a), luminance(b)].sort((x, y) => y - x);
  return (light + 0.05) / (dark + 0.05);
}

function luminance(colour: Rgb): number {
  const [r, g, b] = colour.map((c) => {
    const s = c / 255;
    return s <= 0.04045 ? s / 12.92 : ((s + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

/** Line colours for pins and tracked tokens, apart in lightness and in hue (after Okabe and Ito 2008). */
export function lineColours(dark: boolean): readonly string[] {
  return dark
    ? ["#ffb454", "#6cb6ff", "#5ad1a8", "#f78fb3", "#e5d352", "#c69cf4"]
    : ["#c2410c", "#0b63b0", "#047857", "#b02a5b", "#7a6200", "#6d3fc0"];
}

/** The colour of a pin. */
export function seriesPin(place: number, dark: boolean): string {
  const colours = lineColours(dark);
  return colours[place % colours.length];
}

/** The colour of one of several lines. */
export function seriesColour(place: number, dark: boolean): string {
  return seriesPin(place + 1, dark);
}

/** Lines beyond the number of colours are told apart by their dashes. */
export function seriesDash(place: number): string {
  return ["", "7 3", "2 3", "9 3 2 3"][Math.floor(place / lineColours(false).length) % 4];
}

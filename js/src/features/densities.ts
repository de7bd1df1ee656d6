// How the latents' densities are spread, on a logarithmic axis, and between which bounds they are shown.

import { element, svg } from "../lib/dom";
import { lineColours } from "../lib/ramp";
import type { Theme } from "../lib/theme";
import type { FeatureData } from "./data";
import { share } from "./rows";

const BINS = 64;
const LEAST = -6;
const WIDE = 150;
const TALL = 26;

export function densityFilter(data: FeatureData, bounds: readonly [number, number], theme: Theme, choose: (bounds: [number, number]) => void): HTMLElement {
  const counts = histogram(data);
  const most = Math.max(1, ...counts.map(Math.sqrt));
  const each = WIDE / BINS;
  const [from, to] = bounds.map(place);
  const picture = svg("svg", { width: WIDE, height: TALL, class: "iw-densities", "aria-hidden": "true" });
  counts.forEach((count, bin) => {
    const tall = (TALL * Math.sqrt(count)) / most;
    const inside = (bin + 0.5) / BINS >= from && (bin + 0.5) / BINS <= to;
    picture.append(svg("rect", { x: bin * each, y: TALL - tall, width: each - 0.5, height: tall, fill: inside ? lineColours(theme.dark)[1] : theme.line }));
  });
  const said = element("span", { class: "iw-hint" }, words(bounds));
  const ends = (["least", "largest"] as const).map((which, end) => {
    const value = Math.round(BINS * (end ? to : from));
    const slider = element("input", { type: "range", min: 0, max: BINS, value, "aria-label": `${which} density`, "aria-valuetext": share(bounds[end]) });
    slider.addEventListener("change", () => {
      const other = bounds[1 - end];
      const mine = density(Number(slider.value), end === 1);
      choose(end ? [Math.min(other, mine), mine] : [mine, Math.max(other, mine)]);
    });
    slider.addEventListener("input", () => {
      const mine = density(Number(slider.value), end === 1);
      said.textContent = words(end ? [bounds[0], mine] : [mine, bounds[1]]);
    });
    return slider;
  });
  const label = element("div", { class: "iw-ranges" }, picture, ...ends);
  return element("div", { class: "iw-density-filter", title: "Show latents of these densities; the axis is logarithmic" }, element("span", { class: "iw-hint" }, "density"), label, said);
}

function words([low, high]: readonly [number, number]): string {
  if (low <= 0 && high >= 1) return "any";
  return `${share(low)} to ${share(high)}`;
}

const counted = new WeakMap<FeatureData, number[]>();

function histogram(data: FeatureData): number[] {
  const known = counted.get(data);
  if (known) return known;
  const counts = new Array<number>(BINS).fill(0);
  for (let latent = 0; latent < data.count; latent++) {
    const density = data.density(latent);
    if (density > 0) counts[Math.min(BINS - 1, Math.floor(BINS * place(density)))]++;
  }
  counted.set(data, counts);
  return counts;
}

/** Where a density lies on the axis, 0 to 1; none at all is at its beginning. */
function place(density: number): number {
  return density <= 0 ? 0 : Math.min(1, Math.max(0, 1 - Math.log10(density) / LEAST));
}

/** The density at a step of a slider; its ends are open. */
function density(step: number, upper: boolean): number {
  if (!upper && step <= 0) return 0;
  return step >= BINS ? 1 : 10 ** (LEAST * (1 - step / BINS));
}

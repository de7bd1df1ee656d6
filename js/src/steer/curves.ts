// The chart of one layer: m over scale, the mean with its interval, every item faintly, the controls dashed.

import { svg } from "../lib/dom";
import { lineColours } from "../lib/ramp";
import type { Theme } from "../lib/theme";
import { areaPath, linePath } from "../lib/paths";
import { extent, type Frame, heading, linear, rules, type Scale, tickText } from "../lib/axes";
import type { SteerData } from "./data";

export const HEIGHT = 292;
/** More items than these are not drawn one by one. */
const MOST_LINES = 400;
const DASHES = ["6 4", "2 4"];

export interface Plot {
  readonly picture: SVGSVGElement;
  /** The item whose line is nearest to a point of the picture. */
  readonly nearest: (x: number, y: number) => number | undefined;
}

export function plot(data: SteerData, layer: number, item: number, theme: Theme, width: number): Plot {
  const { scales } = data.header;
  const frame: Frame = { left: 46, right: width - 10, top: 24, bottom: HEIGHT - 40 };
  const ordered = data.order.map((place) => scales[place]);
  const x = linear(ordered[0], ordered[ordered.length - 1], frame.left + 12, frame.right - 12);
  const shown = Math.min(data.items, MOST_LINES);
  const [low, high] = range(data, layer, shown);
  const y = linear(low, high, frame.bottom, frame.top);
  const colours = lineColours(theme.dark);
  const picture = svg("svg", {
    width,
    height: HEIGHT,
    class: "iw-chart iw-curves",
    role: "img",
    "aria-label": `Propensity over scale at layer ${data.header.layers[layer]}, mean of ${data.items} items`,
  });
  picture.append(heading("m = logit(favoured) − logit(other)", frame, theme), ...rules(low, high, y, frame, theme), ...below(ordered, x, frame, theme));
  const path = (at: (place: number) => number): string =>
    linePath([...data.order].map((place) => [x(scales[place]), y(at(place))]));
  for (let each = 0; each < shown; each++) {
    picture.append(
      svg("path", { d: path((s) => data.m(0, layer, each, s)), fill: "none", stroke: colours[1], "stroke-opacity": faintness(shown) }),
    );
  }
  const band = areaPath(
    [...data.order].map((place) => {
      const [low, high] = data.band(layer, place);
      return [x(scales[place]), y(low), y(high)];
    }),
  );
  picture.append(svg("path", { d: band, fill: colours[1], "fill-opacity": 0.22, stroke: "none" }));
  data.header.curves.slice(1).forEach((_, control) => {
    const dash = { fill: "none", stroke: theme.faint, "stroke-width": 1.5, "stroke-dasharray": DASHES[control % 2] };
    picture.append(svg("path", { d: path((s) => data.mean(control + 1, layer, s)), ...dash }));
  });
  picture.append(svg("path", { d: path((s) => data.mean(0, layer, s)), fill: "none", stroke: colours[1], "stroke-width": 2.4 }));
  for (const place of data.order) {
    picture.append(svg("circle", { cx: x(scales[place]), cy: y(data.mean(0, layer, place)), r: 3, fill: colours[1] }));
  }
  if (item >= 0) {
    const d = path((s) => data.m(0, layer, item, s));
    picture.append(svg("path", { d, fill: "none", stroke: colours[0], "stroke-width": 2, class: "iw-chosen" }));
  }
  const nearest = (px: number, py: number): number | undefined => {
    const place = data.order.reduce((a, b) => (Math.abs(x(scales[b]) - px) < Math.abs(x(scales[a]) - px) ? b : a));
    const away = (each: number): number => Math.abs(y(data.m(0, layer, each, place)) - py);
    const found = Array.from({ length: data.items }, (_, i) => i).reduce((a, b) => (away(b) < away(a) ? b : a), 0);
    return data.items > 0 && away(found) < 40 ? found : undefined;
  };
  return { picture, nearest };
}

function range(data: SteerData, layer: number, shown: number): [number, number] {
  const values = data.order.flatMap((scale) => [
    ...Array.from({ length: shown }, (_, each) => data.m(0, layer, each, scale)),
    ...data.header.curves.map((_, curve) => data.mean(curve, layer, scale)),
  ]);
  return extent(values);
}

function faintness(lines: number): number {
  return Math.max(0.07, Math.min(0.4, 8 / lines));
}

function below(scales: readonly number[], x: Scale, frame: Frame, theme: Theme): SVGElement[] {
  const marks = scales.map((scale) =>
    svg("text", { x: x(scale), y: frame.bottom + 17, "text-anchor": "middle", fill: theme.faint }, tickText(scale)),
  );
  const middle = (frame.left + frame.right) / 2;
  const names = svg("text", { x: middle, y: frame.bottom + 34, "text-anchor": "middle", fill: theme.faint }, "scale of the vector");
  return [...marks, names];
}

// The mean slope of every layer with its interval, as a choice of layer.

import { svg } from "../lib/dom";
import { lineColours } from "../lib/ramp";
import type { Theme } from "../lib/theme";
import { extent, type Frame, heading, linear, rules } from "../lib/axes";
import { HEIGHT } from "./curves";
import type { SteerData } from "./data";

export function layerChart(data: SteerData, chosen: number, theme: Theme, width: number, choose: (layer: number) => void): SVGSVGElement {
  const { layers, curves } = data.header;
  const frame: Frame = { left: 42, right: width - 6, top: 24, bottom: HEIGHT - 40 };
  const [low, high] = extent(layers.flatMap((_, place) => curves.flatMap((_, curve) => data.interval(curve, place))));
  const y = linear(low, high, frame.bottom, frame.top);
  const each = (frame.right - frame.left) / layers.length;
  const x = (place: number): number => frame.left + (place + 0.5) * each;
  const colour = lineColours(theme.dark)[1];
  const picture = svg("svg", { width, height: HEIGHT, class: "iw-chart iw-layers", role: "group", "aria-label": "mean slope by layer" });
  const marked = { x: x(chosen) - each / 2, y: frame.top, width: each, height: frame.bottom - frame.top, rx: 3 };
  picture.append(svg("rect", { ...marked, fill: colour, "fill-opacity": 0.13 }));
  picture.append(heading("mean slope, 95 % interval", frame, theme), ...rules(low, high, y, frame, theme));
  layers.forEach((layer, place) => {
    curves.slice(1).forEach((_, control) => {
      const at = y(data.slope(control + 1, place));
      picture.append(svg("line", { x1: x(place) - 3, x2: x(place) + 3, y1: at, y2: at, stroke: theme.faint, "stroke-width": 1.6 }));
    });
    const [from, to] = data.interval(0, place);
    picture.append(
      svg("line", { x1: x(place), x2: x(place), y1: y(from), y2: y(to), stroke: colour, "stroke-width": 1.6 }),
      svg("circle", { cx: x(place), cy: y(data.slope(0, place)), r: place === chosen ? 4.2 : 3, fill: colour }),
    );
    if (place % Math.ceil(layers.length / 12) === 0) {
      picture.append(svg("text", { x: x(place), y: frame.bottom + 17, "text-anchor": "middle", fill: theme.faint }, String(layer)));
    }
    const target = svg("rect", { x: x(place) - each / 2, y: frame.top, width: each, height: frame.bottom - frame.top, fill: "transparent", class: "iw-target" });
    target.append(svg("title", {}, `layer ${layer}: slope ${data.slope(0, place).toFixed(3)} [${from.toFixed(3)}, ${to.toFixed(3)}]`));
    target.addEventListener("click", () => choose(place));
    picture.append(target);
  });
  const middle = (frame.left + frame.right) / 2;
  picture.append(svg("text", { x: middle, y: frame.bottom + 34, "text-anchor": "middle", fill: theme.faint }, "layer"));
  return picture;
}

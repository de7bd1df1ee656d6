// Every layer and scale at once: how far the mean of m is from where it is without the vector.

import { type Frame, heading, tickText } from "../lib/axes";
import { svg } from "../lib/dom";
import { lineColours, ramp, step } from "../lib/ramp";
import type { Theme } from "../lib/theme";
import { HEIGHT } from "./curves";
import type { SteerData } from "./data";

export function mapChart(data: SteerData, chosen: number, theme: Theme, width: number, choose: (layer: number) => void): SVGSVGElement {
  const { layers, scales } = data.header;
  const frame: Frame = { left: 34, right: width - 6, top: 24, bottom: HEIGHT - 40 };
  const tall = (frame.bottom - frame.top) / layers.length;
  const wide = (frame.right - frame.left) / scales.length;
  const moved = layers.map((_, layer) => data.order.map((place) => data.mean(0, layer, place) - base(data, layer)));
  const most = Math.max(1e-9, ...moved.flat().map(Math.abs));
  const up = ramp("blue", theme.dark).fills;
  const down = ramp("amber", theme.dark).fills;
  const picture = svg("svg", { width, height: HEIGHT, class: "iw-chart iw-layermap", role: "group", "aria-label": "change of m by layer and scale" });
  picture.append(heading(`change of m: amber −${most.toFixed(2)}, blue +${most.toFixed(2)}`, frame, theme));
  layers.forEach((layer, place) => {
    const y = frame.bottom - (place + 1) * tall;
    const row = svg("g", { class: "iw-target" });
    data.order.forEach((scale, column) => {
      const value = moved[place][column];
      const fill = (value < 0 ? down : up)[step(Math.abs(value) / most)];
      const cell = svg("rect", { x: frame.left + column * wide, y, width: wide - 1, height: Math.max(1, tall - 1), fill });
      cell.append(svg("title", {}, `layer ${layer}, scale ${tickText(scales[scale])}: m changes by ${value.toFixed(3).replace("-", "−")}`));
      row.append(cell);
    });
    row.addEventListener("click", () => choose(place));
    picture.append(row);
    if (place % Math.ceil(layers.length / 16) === 0) {
      picture.append(svg("text", { x: frame.left - 8, y: y + tall / 2 + 4, "text-anchor": "end", fill: theme.faint }, String(layer)));
    }
  });
  const outline = { x: frame.left - 1, y: frame.bottom - (chosen + 1) * tall - 1, width: frame.right - frame.left + 1, height: tall + 1 };
  picture.append(svg("rect", { ...outline, fill: "none", stroke: lineColours(theme.dark)[0], "stroke-width": 1.6, "pointer-events": "none" }));
  data.order.forEach((scale, column) => {
    const at = { x: frame.left + (column + 0.5) * wide, y: frame.bottom + 17, "text-anchor": "middle", fill: theme.faint };
    picture.append(svg("text", at, tickText(scales[scale])));
  });
  const middle = (frame.left + frame.right) / 2;
  picture.append(svg("text", { x: middle, y: frame.bottom + 34, "text-anchor": "middle", fill: theme.faint }, "scale of the vector"));
  return picture;
}

/** Mean m where nothing is added; where that was not measured, the mean over the scales. */
function base(data: SteerData, layer: number): number {
  const nothing = data.header.scales.indexOf(0);
  if (nothing >= 0) return data.mean(0, layer, nothing);
  return data.order.reduce((sum, place) => sum + data.mean(0, layer, place), 0) / data.order.length;
}

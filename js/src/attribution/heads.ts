// A cell for each head: what it adds, signed, on the columns of the bars.

import { svg } from "../lib/dom";
import { ramp, step } from "../lib/ramp";
import type { Theme } from "../lib/theme";
import { columnWidth, LEFT } from "./bars";
import { type Head, type Header, logits } from "./data";

const TOP = 18;
const LOWEST_ROW = 4;
const HIGHEST_ROW = 18;
const TALL = 260;

export function rowHeight(header: Header): number {
  const heads = header.heads[0]?.length ?? 0;
  return Math.max(LOWEST_ROW, Math.min(HIGHEST_ROW, TALL / Math.max(1, heads)));
}

/** The largest of what heads add, either way. */
export function largest(header: Header): number {
  return Math.max(1e-9, ...header.heads.flat().map(Math.abs));
}

export function heads(header: Header, cursor: Head | undefined, theme: Theme, width: number): SVGSVGElement {
  const column = columnWidth(header, width);
  const row = rowHeight(header);
  const count = header.heads[0]?.length ?? 0;
  const { fills } = ramp("signed", theme.dark);
  const most = largest(header);
  const picture = svg("svg", { width, height: TOP + count * row + 2, class: "iw-chart iw-heads", "aria-hidden": "true" });
  const every = Math.max(1, Math.ceil(22 / column));
  const x = (layer: number): number => LEFT + (layer + 1) * column;
  header.heads.forEach((values, layer) => {
    if (layer % every === 0) picture.append(svg("text", { x: x(layer) + column / 2, y: 12, "text-anchor": "middle", fill: theme.faint }, String(layer)));
    values.forEach((value, head) => {
      const fill = fills[step(0.5 + value / (2 * most))];
      const cell = svg("rect", { x: x(layer), y: TOP + head * row, width: Math.max(1, column - 1), height: Math.max(1, row - 1), fill, "data-head": `${layer}.${head}` });
      cell.append(svg("title", {}, `layer ${layer}, head ${head}: ${logits(value)}`));
      picture.append(cell);
    });
  });
  picture.append(svg("text", { x: LEFT - 8, y: 12, "text-anchor": "end", fill: theme.faint }, "layer"));
  picture.append(svg("text", { x: LEFT - 8, y: TOP + 12, "text-anchor": "end", fill: theme.faint }, "head 0"));
  if (count > 2) picture.append(svg("text", { x: LEFT - 8, y: TOP + count * row - 2, "text-anchor": "end", fill: theme.faint }, String(count - 1)));
  if (cursor) {
    const at = { x: x(cursor.layer) + 0.5, y: TOP + cursor.head * row + 0.5, width: Math.max(2, column - 2), height: Math.max(2, row - 2) };
    picture.append(svg("rect", { ...at, fill: "none", stroke: theme.text, "stroke-width": 1.6 }));
  }
  return picture;
}

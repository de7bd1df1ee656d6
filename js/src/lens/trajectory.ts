// Trajectories of pinned tokens, under the map and on its columns.

import { line } from "d3-shape";
import { svg } from "../lib/dom";
import { probability, short } from "../lib/text";
import type { Theme } from "../lib/theme";
import type { LensData, Point } from "./data";
import { columnWidth, LABEL } from "./map";

const HEIGHT = 124;
const TOP = 12;
const BOTTOM = 10;
const LOWEST = -12;

export interface Pinned {
  readonly id: number;
  readonly row: number;
  readonly site: number;
  readonly colour: string;
}

/** A picture of log-probability over layers. Open circles bound a token that is outside the top k from above. */
export function chart(data: LensData, pins: readonly Pinned[], theme: Theme, width: number): SVGSVGElement {
  const cell = columnWidth(width, data.columns);
  const x = (column: number): number => LABEL + (column + 0.5) * cell;
  const y = (value: number): number => TOP + (Math.min(0, Math.max(LOWEST, value)) / LOWEST) * (HEIGHT - BOTTOM - TOP);
  const picture = svg("svg", {
    width,
    height: HEIGHT,
    class: "iw-chart",
    role: "img",
    "aria-label": `Log-probability over layers of ${pins.length} pinned tokens`,
  });
  for (const tick of [0, -3, -6, -9, -12]) {
    picture.append(
      svg("line", { x1: LABEL, x2: LABEL + cell * data.columns, y1: y(tick), y2: y(tick), stroke: theme.line }),
      svg("text", { x: LABEL - 10, y: y(tick) + 4, "text-anchor": "end", fill: theme.faint }, probability(tick)),
    );
  }
  pins.forEach((pin) => picture.append(...trace(data, pin, x, y)));
  return picture;
}

function trace(
  data: LensData,
  pin: Pinned,
  x: (column: number) => number,
  y: (value: number) => number,
): SVGElement[] {
  const points = data.trajectory(pin.id, pin.site, pin.row);
  const path = line<Point>()
    .defined((point) => point.logprob !== undefined)
    .x((_, i) => x(i))
    .y((point) => y(point.logprob ?? 0))(points);
  const marks = points.map((point, i) => {
    const known = point.logprob !== undefined;
    const at = known ? (point.logprob as number) : point.below;
    const text = known ? probability(at) : `under ${probability(at)}`;
    const circle = svg("circle", {
      cx: x(i),
      cy: y(at),
      r: known ? 2.6 : 2.2,
      fill: known ? pin.colour : "none",
      stroke: pin.colour,
      "stroke-opacity": known ? 1 : 0.55,
    });
    circle.append(svg("title", {}, `layer ${point.layer}: ${short(data.text(pin.id), 24)} ${text}`));
    return circle;
  });
  return [svg("path", { d: path ?? "", fill: "none", stroke: pin.colour, "stroke-width": 1.8 }), ...marks];
}

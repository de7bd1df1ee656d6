// Over layers and under the map's columns: what the shown positions have (bands), and the ways of pinned tokens.

import { quantileSorted } from "d3-array";
import { svg } from "../lib/dom";
import { areaPath, linePath } from "../lib/paths";
import { short } from "../lib/text";
import type { Theme } from "../lib/theme";
import type { Grid } from "./grid";
import type { Mode } from "./modes";

const HEIGHT = 132;
const TOP = 14;
const BOTTOM = 10;
/** Fewer positions have no distribution worth a band. */
const FEWEST = 4;

export interface Pinned {
  readonly id: number;
  readonly row: number;
  readonly site: number;
  readonly colour: string;
}

/** Of all shown positions at a layer: 10 %, 25 %, 50 %, 75 % and 90 %. */
type Quantiles = readonly [number, number, number, number, number];

interface Scales {
  readonly x: (column: number) => number;
  readonly y: (value: number) => number;
}

/** The picture. Open circles bound a token that is outside the top k from above. */
export function chart(grid: Grid, mode: Mode, pins: readonly Pinned[], theme: Theme, width: number): SVGSVGElement {
  const cell = grid.columnWidth(width);
  const [low, high] = mode.axis.range(grid.data);
  const scales: Scales = {
    x: (column) => grid.label + (column + 0.5) * cell,
    y: (value) => {
      const share = (Math.min(high, Math.max(low, value)) - low) / (high - low);
      return HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - TOP);
    },
  };
  const picture = svg("svg", { width, height: HEIGHT, class: "iw-chart", role: "img", "aria-label": described(grid, mode, pins) });
  for (const tick of mode.axis.ticks(grid.data)) {
    const y = scales.y(tick);
    picture.append(
      svg("line", { x1: grid.label, x2: grid.label + cell * grid.columns, y1: y, y2: y, stroke: theme.line }),
      svg("text", { x: grid.label - 10, y: y + 4, "text-anchor": "end", fill: theme.faint }, mode.axis.tick(tick)),
    );
  }
  picture.append(...bands(grid, mode, theme, scales));
  for (const pin of pins) picture.append(...trace(grid, mode, pin, scales));
  return picture;
}

function described(grid: Grid, mode: Mode, pins: readonly Pinned[]): string {
  const band = grid.rows.length >= FEWEST ? `; bands are quantiles of ${grid.rows.length} positions` : "";
  return `${mode.axis.label} over layers, with ${pins.length} pinned tokens${band}`;
}

function bands(grid: Grid, mode: Mode, theme: Theme, { x, y }: Scales): SVGElement[] {
  if (grid.rows.length < FEWEST) return [];
  const found = quantiles(grid, mode);
  const between = (low: 0 | 1, high: 3 | 4, opacity: number): SVGElement => {
    const path = areaPath(found.map((q, i) => q && [x(i), y(q[low]), y(q[high])]));
    return svg("path", { d: path, fill: theme.faint, "fill-opacity": opacity });
  };
  const middle = linePath(found.map((q, i) => q && [x(i), y(q[2])]));
  const median = svg("path", { d: middle, fill: "none", stroke: theme.faint, "stroke-dasharray": "4 3", "stroke-width": 1.3 });
  const bounded = mode.name === "rank" ? "; beyond the top k as k" : mode.name === "difference" ? "; bounds as they are" : "";
  const site = grid.sites.length > 1 ? `${grid.data.header.sites[grid.sites[0]]}: ` : "";
  const title = `${site}${mode.axis.label} of ${grid.rows.length} positions: median, 25 to 75 % and 10 to 90 %${bounded}`;
  return [svg("g", { class: "iw-bands" }, svg("title", {}, title), between(0, 4, 0.12), between(1, 3, 0.16), median)];
}

/** Of the first site that is shown, at each column. */
export function quantiles(grid: Grid, mode: Mode): (Quantiles | undefined)[] {
  return Array.from({ length: grid.columns }, (_, column) => {
    const values: number[] = [];
    const { column: layer } = grid.place({ line: 0, column });
    for (const row of grid.rows) {
      const value = mode.axis.of(grid.data, { site: grid.sites[0], column: layer, row });
      if (value !== undefined) values.push(value);
    }
    if (values.length < FEWEST) return undefined;
    const sorted = values.sort((a, b) => a - b);
    return [0.1, 0.25, 0.5, 0.75, 0.9].map((share) => quantileSorted(sorted, share) ?? 0) as unknown as Quantiles;
  });
}

function trace(grid: Grid, mode: Mode, pin: Pinned, { x, y }: Scales): SVGElement[] {
  const { data } = grid;
  const points = Array.from({ length: grid.columns }, (_, column) => {
    const at = { site: pin.site, row: pin.row, column: grid.place({ line: 0, column }).column };
    return { known: mode.axis.token(data, pin.id, at), bound: mode.axis.bound?.(data, at) };
  });
  const path = linePath(points.map(({ known }, i) => (known === undefined ? undefined : [x(i), y(known)])));
  const marks = points.flatMap(({ known, bound }, column) => {
    const at = known ?? bound;
    if (at === undefined) return [];
    const solid = known !== undefined;
    const circle = svg("circle", {
      cx: x(column),
      cy: y(at),
      r: solid ? 2.6 : 2.2,
      fill: solid ? pin.colour : "none",
      stroke: pin.colour,
      "stroke-opacity": solid ? 1 : 0.55,
    });
    const said = `${solid ? "" : "beyond "}${mode.axis.tick(at)}`;
    circle.append(svg("title", {}, `layer ${grid.layer(column)}: ${short(data.text(pin.id), 24)} ${said}`));
    return [circle];
  });
  const way = svg("path", { d: path, class: "iw-way", fill: "none", stroke: pin.colour, "stroke-width": 1.8 });
  return [way, ...marks];
}

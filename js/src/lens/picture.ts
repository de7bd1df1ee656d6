// The map as a drawing, for papers: what is zoomed to, all of it, with the chart below.

import { svg } from "../lib/dom";
import { ramp, step } from "../lib/ramp";
import { short } from "../lib/text";
import type { Theme } from "../lib/theme";
import { type Grid, HEAD, LABEL, ROW } from "./grid";
import type { Mode } from "./modes";

/** More cells than these make files that no program opens. */
export const MOST_CELLS = 40_000;
const CELL = 64;

/** The picture of a grid, of whatever height that takes. */
export function picture(grid: Grid, mode: Mode, theme: Theme): SVGSVGElement {
  const cell = Math.max(10, Math.min(CELL, 1600 / grid.columns));
  const width = grid.label + cell * grid.columns;
  const whole = svg("svg", { width, height: grid.height, "font-family": "monospace", "font-size": 11 });
  for (let column = 0; column < grid.columns; column++) {
    const x = grid.label + (column + 0.5) * cell;
    whole.append(svg("text", { x, y: HEAD - 6, "text-anchor": "middle", fill: theme.faint }, String(grid.layer(column))));
  }
  for (let line = 0; line < grid.lines; line++) whole.append(...row(grid, mode, theme, line, cell));
  return whole;
}

function row(grid: Grid, mode: Mode, theme: Theme, line: number, cell: number): SVGElement[] {
  const y = HEAD + line * ROW;
  const { row: position, site } = grid.place({ line, column: 0 });
  const colours = ramp(mode.hue, theme.dark);
  const made: SVGElement[] = [];
  const label = { y: y + ROW / 2 + 4, "text-anchor": "end" };
  if (line % grid.sites.length === 0) {
    made.push(svg("text", { ...label, x: LABEL - 10, fill: theme.text }, short(grid.data.input(position), 15)));
  }
  if (grid.sites.length > 1) {
    made.push(svg("text", { ...label, x: grid.label - 8, fill: theme.faint }, grid.data.header.sites[site]));
  }
  for (let column = 0; column < grid.columns; column++) {
    const place = grid.place({ line, column });
    const magnitude = mode.magnitude(grid.data, place);
    if (magnitude === undefined) continue;
    const at = step(magnitude);
    const x = grid.label + column * cell;
    made.push(svg("rect", { x, y, width: cell - 1, height: ROW - 1, fill: colours.fills[at] }));
    if (cell < 30) continue;
    const text = short(grid.data.text(grid.data.topId(place)), Math.floor((cell - 6) / 6.8));
    made.push(svg("text", { x: x + 3, y: y + ROW / 2 + 4, fill: colours.texts[at] }, text));
  }
  return made;
}

/** Every shown cell's guesses as a table. */
export function rows(grid: Grid): (string | number)[][] {
  const { data } = grid;
  const { header } = data;
  const made: (string | number)[][] = [["site", "position", "token", "layer", "order", "top_id", "top_token", "logprob"]];
  for (let line = 0; line < grid.lines; line++) {
    for (let column = 0; column < grid.columns; column++) {
      const at = grid.place({ line, column });
      data.guesses(at).forEach((guess, order) => {
        const place = [header.sites[at.site], header.positions[at.row], data.input(at.row), header.layers[at.column], order];
        made.push([...place, guess.id, data.text(guess.id), guess.logprob]);
      });
    }
  }
  return made;
}

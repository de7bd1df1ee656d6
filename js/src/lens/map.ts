// The heat map: one line per token and site, one column per layer, drawn on a canvas that is as large as what is seen of it.

import { type Ramp, ramp, step } from "../lib/ramp";
import { short } from "../lib/text";
import type { Theme } from "../lib/theme";
import { type Cell, type Grid, HEAD, LABEL, ROW } from "./grid";
import type { Mode } from "./modes";

const TEXT_FROM = 30;
const FONT = '12px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace';
const CHARACTER = 7.25;

export interface Scene {
  readonly grid: Grid;
  readonly mode: Mode;
  readonly theme: Theme;
  readonly cursor: Cell | undefined;
  readonly pins: readonly { readonly cell: Cell; readonly colour: string }[];
  /** Opposite corners of what is being zoomed to. */
  readonly brush: readonly [Cell, Cell] | undefined;
}

export function draw(canvas: HTMLCanvasElement, scene: Scene, width: number, height: number, scroll: number): void {
  const context = prepared(canvas, width, height);
  if (!context) return;
  const { grid } = scene;
  const cell = grid.columnWidth(width);
  const first = Math.floor(scroll / ROW);
  const last = Math.min(grid.lines - 1, Math.ceil((scroll + height - HEAD) / ROW));
  drawHead(context, scene, cell);
  context.save();
  context.beginPath();
  context.rect(0, HEAD, width, height - HEAD);
  context.clip();
  const colours = ramp(scene.mode.hue, scene.theme.dark);
  for (let line = first; line <= last; line++) {
    const y = HEAD + line * ROW - scroll;
    drawLabel(context, scene, line, y);
    drawLine(context, scene, colours, line, y, cell);
  }
  drawMarks(context, scene, cell, scroll);
  context.restore();
}

function prepared(canvas: HTMLCanvasElement, width: number, height: number): CanvasRenderingContext2D | null {
  const ratio = globalThis.devicePixelRatio || 1;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
  }
  const context = canvas.getContext("2d");
  if (!context) return null;
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  context.font = FONT;
  context.textBaseline = "middle";
  return context;
}

function drawLabel(context: CanvasRenderingContext2D, scene: Scene, line: number, y: number): void {
  const { grid, theme } = scene;
  const { row, site } = grid.place({ line, column: 0 });
  const many = grid.sites.length > 1;
  context.textAlign = "right";
  if (!many || line % grid.sites.length === 0) {
    context.fillStyle = grid.data.generated(row) ? theme.accent : theme.text;
    context.fillText(short(grid.data.input(row), 15), LABEL - 10, y + ROW / 2);
    if (many && line) {
      context.fillStyle = theme.line;
      context.fillRect(0, y - 1, grid.label, 1);
    }
  }
  if (!many) return;
  context.fillStyle = theme.faint;
  context.fillText(siteName(grid.data.header.sites[site]), grid.label - 8, y + ROW / 2);
}

/** A site's name as there is room for it. */
function siteName(site: string): string {
  return short(site.replace("resid_", "").replace("_out", ""), 8);
}

function drawLine(
  context: CanvasRenderingContext2D,
  scene: Scene,
  colours: Ramp,
  line: number,
  y: number,
  cell: number,
): void {
  const { grid, mode } = scene;
  const room = Math.floor((cell - 8) / CHARACTER);
  context.textAlign = "left";
  for (let column = 0; column < grid.columns; column++) {
    const place = grid.place({ line, column });
    const magnitude = mode.magnitude(grid.data, place);
    if (magnitude === undefined) continue;
    const at = step(magnitude);
    const x = grid.label + column * cell;
    context.fillStyle = colours.fills[at];
    context.fillRect(x, y, Math.max(1, cell - 1), ROW - 1);
    if (cell < TEXT_FROM) continue;
    context.fillStyle = colours.texts[at];
    context.fillText(short(grid.data.text(grid.data.topId(place)), room), x + 4, y + ROW / 2);
  }
}

function drawMarks(context: CanvasRenderingContext2D, scene: Scene, cell: number, scroll: number): void {
  const { grid, theme } = scene;
  const frame = (from: Cell, to: Cell, colour: string, line: number): void => {
    const left = grid.label + Math.min(from.column, to.column) * cell;
    const top = HEAD + Math.min(from.line, to.line) * ROW - scroll;
    const width = (Math.abs(from.column - to.column) + 1) * cell;
    const height = (Math.abs(from.line - to.line) + 1) * ROW;
    context.strokeStyle = colour;
    context.lineWidth = line;
    context.strokeRect(left + line / 2 - 0.5, top + line / 2 - 0.5, Math.max(2, width - line), height - line);
  };
  for (const pin of scene.pins) frame(pin.cell, pin.cell, pin.colour, 2);
  if (scene.cursor) frame(scene.cursor, scene.cursor, theme.text, 1.5);
  if (scene.brush) {
    context.setLineDash([5, 3]);
    frame(scene.brush[0], scene.brush[1], theme.accent, 2);
    context.setLineDash([]);
  }
}

function drawHead(context: CanvasRenderingContext2D, scene: Scene, cell: number): void {
  const { grid, theme } = scene;
  const last = grid.columns - 1;
  context.fillStyle = theme.faint;
  context.textAlign = "center";
  const every = Math.max(1, Math.ceil(26 / cell));
  for (let column = 0; column <= last; column++) {
    const crowded = column !== last && last - column < every && every > 1;
    if ((column % every && column !== last) || crowded) continue;
    context.fillText(String(grid.layer(column)), grid.label + (column + 0.5) * cell, HEAD / 2);
  }
  context.textAlign = "right";
  context.fillText("layer", grid.label - 10, HEAD / 2);
}

// The heat map: one row per token, one column per layer, drawn on a canvas that is as large as what is seen of it.

import { type Ramp, ramp, step } from "../lib/ramp";
import { short } from "../lib/text";
import type { Theme } from "../lib/theme";
import type { LensData } from "./data";
import type { Mode } from "./modes";

export const ROW = 22;
export const HEAD = 20;
export const LABEL = 132;
const TEXT_FROM = 30;
const FONT = '12px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace';

export interface Cell {
  readonly row: number;
  readonly column: number;
}

export interface Scene {
  readonly data: LensData;
  readonly mode: Mode;
  readonly site: number;
  readonly theme: Theme;
  readonly cursor: Cell | undefined;
  readonly pins: readonly { readonly cell: Cell; readonly colour: string }[];
}

/** Widths of a map in `width` pixels: columns fill it, but never grow beyond what a token needs. */
export function columnWidth(width: number, columns: number): number {
  return Math.max(3, Math.min(92, (width - LABEL) / columns));
}

/** The cell under a point of the viewport; undefined outside the cells. */
export function cellAt(x: number, y: number, scroll: number, cell: number, data: LensData): Cell | undefined {
  const column = Math.floor((x - LABEL) / cell);
  const row = Math.floor((y - HEAD + scroll) / ROW);
  if (x < LABEL || y < HEAD || column >= data.columns || row >= data.rows) return undefined;
  return { row, column };
}

export function draw(canvas: HTMLCanvasElement, scene: Scene, width: number, height: number, scroll: number): void {
  const ratio = globalThis.devicePixelRatio || 1;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
  }
  const context = canvas.getContext("2d");
  if (!context) return;
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  context.font = FONT;
  context.textBaseline = "middle";
  const cell = columnWidth(width, scene.data.columns);
  const first = Math.floor(scroll / ROW);
  const last = Math.min(scene.data.rows - 1, Math.ceil((scroll + height - HEAD) / ROW));
  drawHead(context, scene, cell);
  context.save();
  context.beginPath();
  context.rect(0, HEAD, width, height - HEAD);
  context.clip();
  for (let row = first; row <= last; row++) {
    drawRow(context, scene, row, HEAD + row * ROW - scroll, cell);
  }
  drawMarks(context, scene, cell, scroll);
  context.restore();
}

function drawRow(context: CanvasRenderingContext2D, scene: Scene, row: number, y: number, cell: number): void {
  const { data, mode, site, theme } = scene;
  const colours: Ramp = ramp(mode.hue, theme.dark);
  context.textAlign = "right";
  context.fillStyle = data.generated(row) ? theme.accent : theme.text;
  context.fillText(short(data.input(row), 15), LABEL - 10, y + ROW / 2);
  context.textAlign = "left";
  for (let column = 0; column < data.columns; column++) {
    const magnitude = mode.magnitude(data, site, column, row);
    const x = LABEL + column * cell;
    if (magnitude === undefined) continue;
    const at = step(magnitude);
    context.fillStyle = colours.fills[at];
    context.fillRect(x, y, Math.max(1, cell - 1), ROW - 1);
    if (cell >= TEXT_FROM) {
      context.fillStyle = colours.texts[at];
      const room = Math.floor((cell - 8) / 7.25);
      context.fillText(short(data.text(data.top(site, column, row).id), room), x + 4, y + ROW / 2);
    }
  }
}

function drawMarks(context: CanvasRenderingContext2D, scene: Scene, cell: number, scroll: number): void {
  const frame = (at: Cell, colour: string, line: number): void => {
    context.strokeStyle = colour;
    context.lineWidth = line;
    const y = HEAD + at.row * ROW - scroll;
    context.strokeRect(LABEL + at.column * cell + line / 2 - 0.5, y + line / 2 - 0.5, Math.max(2, cell - line), ROW - line);
  };
  for (const pin of scene.pins) frame(pin.cell, pin.colour, 2);
  if (scene.cursor) frame(scene.cursor, scene.theme.text, 1.5);
}

function drawHead(context: CanvasRenderingContext2D, scene: Scene, cell: number): void {
  const { data, theme } = scene;
  context.fillStyle = theme.faint;
  context.textAlign = "center";
  const every = Math.max(1, Math.ceil(26 / cell));
  for (let column = 0; column < data.columns; column++) {
    if (column % every && column !== data.columns - 1) continue;
    if (column !== data.columns - 1 && data.columns - 1 - column < every && every > 1) continue;
    context.fillText(String(data.header.layers[column]), LABEL + (column + 0.5) * cell, HEAD / 2);
  }
  context.textAlign = "right";
  context.fillText("layer", LABEL - 10, HEAD / 2);
}

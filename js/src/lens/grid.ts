// Which part of a run is on the page: sites side by side under each token, and the window that was zoomed to.

import type { LensData, Place } from "./data";

export const ROW = 22;
export const HEAD = 20;
export const LABEL = 132;
/** Room for the name of a site, where several are shown. */
const TAG = 66;

/** Layers and positions that are shown, first and last; as Python reads and sets them. */
export interface Window {
  readonly layers: readonly [number, number];
  readonly positions: readonly [number, number];
}

/** A line of the grid and a column of it. */
export interface Cell {
  readonly line: number;
  readonly column: number;
}

export class Grid {
  readonly #columns: readonly number[];
  readonly #rows: readonly number[];

  constructor(
    readonly data: LensData,
    /** Indices of the sites that are shown. */
    readonly sites: readonly number[],
    zoom: Window | undefined,
  ) {
    const { layers, positions } = data.header;
    this.#columns = within(layers, zoom?.layers);
    this.#rows = within(positions, zoom?.positions);
  }

  get lines(): number {
    return this.#rows.length * this.sites.length;
  }

  get columns(): number {
    return this.#columns.length;
  }

  /** Indices of the positions that are shown. */
  get rows(): readonly number[] {
    return this.#rows;
  }

  get label(): number {
    return LABEL + (this.sites.length > 1 ? TAG : 0);
  }

  get height(): number {
    return HEAD + this.lines * ROW;
  }

  place(cell: Cell): Place {
    return {
      site: this.sites[cell.line % this.sites.length],
      column: this.#columns[cell.column],
      row: this.#rows[Math.floor(cell.line / this.sites.length)],
    };
  }

  /** The cell of a place; undefined when it is not shown. */
  cell(place: Place): Cell | undefined {
    const column = this.#columns.indexOf(place.column);
    const row = this.#rows.indexOf(place.row);
    const site = this.sites.indexOf(place.site);
    return column < 0 || row < 0 || site < 0 ? undefined : { line: row * this.sites.length + site, column };
  }

  layer(column: number): number {
    return this.data.header.layers[this.#columns[column]];
  }

  /** Columns fill `width` pixels, but never grow beyond what a token needs. */
  columnWidth(width: number): number {
    return Math.max(3, Math.min(92, (width - this.label) / this.columns));
  }

  /** The cell under a point of the viewport; undefined outside the cells. */
  under(x: number, y: number, scroll: number, width: number): Cell | undefined {
    const column = Math.floor((x - this.label) / this.columnWidth(width));
    const line = Math.floor((y - HEAD + scroll) / ROW);
    if (x < this.label || y < HEAD || column >= this.columns || line >= this.lines) return undefined;
    return { line, column };
  }

  /** The window between two cells. */
  between(one: Cell, other: Cell): Window {
    const { layers, positions } = this.data.header;
    const [a, b] = [this.place(one), this.place(other)];
    const ordered = (from: number, to: number): [number, number] => (from <= to ? [from, to] : [to, from]);
    return {
      layers: ordered(layers[a.column], layers[b.column]),
      positions: ordered(positions[a.row], positions[b.row]),
    };
  }
}

function within(values: readonly number[], bounds: readonly [number, number] | undefined): number[] {
  const all = values.map((_, index) => index);
  if (!bounds) return all;
  const found = all.filter((index) => values[index] >= bounds[0] && values[index] <= bounds[1]);
  return found.length ? found : all;
}

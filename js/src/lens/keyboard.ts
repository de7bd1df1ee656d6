// What keys do on the map: move, draw a rectangle (with Shift), zoom into it or pin, clear.

import type { Listeners } from "../lib/dom";
import { moved } from "../lib/keys";
import type { Cell } from "./grid";

export interface Place {
  readonly cell: Cell;
  readonly lines: number;
  readonly columns: number;
  /** Lines that PageUp and PageDown skip. */
  readonly page: number;
}

export interface KeyActs {
  readonly move: (cell: Cell) => void;
  readonly choose: (cell: Cell) => void;
  readonly zoom: (from: Cell, to: Cell) => void;
  readonly whole: () => void;
  readonly clear: () => void;
  /** The rectangle has changed. */
  readonly brush: () => void;
}

export class Keyboard {
  #from: Cell | undefined;
  #to: Cell | undefined;

  constructor(
    private readonly target: HTMLElement,
    private readonly now: () => Place,
    private readonly acts: KeyActs,
  ) {}

  /** Opposite corners of the rectangle that is being drawn. */
  get brush(): readonly [Cell, Cell] | undefined {
    return this.#from && this.#to && [this.#from, this.#to];
  }

  listen(on: Listeners): void {
    on.on(this.target, "keydown", (event) => {
      if (!this.#act(event)) return;
      event.preventDefault();
      event.stopPropagation();
    });
    on.on(this.target, "blur", () => this.forget());
  }

  #act(event: KeyboardEvent): boolean {
    const { cell, lines, columns, page } = this.now();
    const brush = this.brush;
    if (event.key === "Enter" || event.key === " ") {
      this.forget();
      if (brush) this.acts.zoom(...brush);
      else this.acts.choose(cell);
    } else if (event.key === "0") {
      this.forget();
      this.acts.whole();
    } else if (event.key === "Escape") {
      this.forget();
      if (!brush) this.acts.clear();
    } else {
      const next = moved(event.key, { row: cell.line, column: cell.column }, lines, columns, page);
      if (!next) return false;
      const to = { line: next.row, column: next.column };
      if (event.shiftKey) this.#from ??= cell;
      else this.#from = undefined;
      this.#to = this.#from && to;
      this.acts.move(to);
      this.acts.brush();
    }
    return true;
  }

  /** Let go of the rectangle: what it was drawn on is no more. */
  forget(): void {
    if (!this.#from) return;
    this.#from = this.#to = undefined;
    this.acts.brush();
  }
}

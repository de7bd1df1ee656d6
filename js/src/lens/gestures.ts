// What a pointer does on the map: over a cell, a click on it, a rectangle drawn from one to another.

import type { Listeners } from "../lib/dom";
import type { Cell } from "./grid";

/** A pointer that moved so far was dragged. */
const DRAGGED = 6;

export interface Acts {
  readonly hover: (cell: Cell, event: PointerEvent) => void;
  readonly leave: () => void;
  /** The rectangle has changed. */
  readonly brush: () => void;
  readonly choose: (cell: Cell) => void;
  readonly zoom: (from: Cell, to: Cell) => void;
  readonly whole: () => void;
}

export class Gestures {
  #drag: { from: Cell; to: Cell; x: number; y: number } | undefined;

  constructor(
    private readonly target: HTMLElement,
    private readonly under: (event: MouseEvent) => Cell | undefined,
    private readonly acts: Acts,
  ) {}

  /** Opposite corners of the rectangle that is being drawn. */
  get brush(): readonly [Cell, Cell] | undefined {
    return this.#drag && [this.#drag.from, this.#drag.to];
  }

  listen(on: Listeners): void {
    on.on(this.target, "pointerdown", (event) => this.#press(event));
    on.on(this.target, "pointermove", (event) => this.#move(event));
    on.on(this.target, "pointerup", (event) => this.#release(event));
    on.on(this.target, "pointerleave", () => this.acts.leave());
    on.on(this.target, "pointercancel", () => this.#forget());
    on.on(this.target, "dblclick", () => this.acts.whole());
  }

  #press(event: PointerEvent): void {
    const from = this.under(event);
    if (!from || event.button !== 0) return;
    this.#drag = { from, to: from, x: event.clientX, y: event.clientY };
    this.target.setPointerCapture?.(event.pointerId);
  }

  #move(event: PointerEvent): void {
    const cell = this.under(event);
    if (this.#drag) {
      this.acts.leave();
      if (cell) this.#drag.to = cell;
      this.acts.brush();
    } else if (cell) this.acts.hover(cell, event);
    else this.acts.leave();
  }

  #release(event: PointerEvent): void {
    const drag = this.#drag;
    this.#forget();
    if (!drag) return;
    const far = Math.abs(event.clientX - drag.x) + Math.abs(event.clientY - drag.y) > DRAGGED;
    if (far) this.acts.zoom(drag.from, drag.to);
    else this.acts.choose(drag.from);
  }

  #forget(): void {
    this.#drag = undefined;
    this.acts.brush();
  }
}

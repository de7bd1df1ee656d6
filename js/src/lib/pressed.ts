// A button that is made anew between press and release is never clicked: what news would redraw waits for the release.

import type { Listeners } from "./dom";

export class Pressed {
  #pressed = false;
  readonly #waiting = new Set<() => void>();

  constructor(root: HTMLElement, on: Listeners) {
    const release = (): void => {
      if (!this.#pressed) return;
      this.#pressed = false;
      // The click comes after the release, in the same turn of the page's loop.
      setTimeout(() => this.#draw());
    };
    on.on(root, "pointerdown", () => {
      this.#pressed = true;
    });
    for (const type of ["pointerup", "pointercancel"]) {
      window.addEventListener(type, release, true);
      on.add(() => window.removeEventListener(type, release, true));
    }
    on.add(() => this.#waiting.clear());
  }

  /** Call `draw` now, or once after the release. */
  readonly after = (draw: () => void): void => {
    if (this.#pressed) this.#waiting.add(draw);
    else draw();
  };

  #draw(): void {
    if (this.#pressed) return;
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const draw of waiting) draw();
  }
}

// What a reader asks of the pool from the view: a token to be tracked, another site; and what it said.

import { element } from "../lib/dom";

/** A question, numbered so that the same one can be asked again. */
export interface Asked {
  readonly id: number;
  readonly track?: string;
  readonly site?: string;
}

/** The answer to question `id`: what was done, or why nothing was. */
export interface Told {
  readonly id?: number;
  readonly text?: string;
  readonly trouble?: boolean;
}

/** After so many milliseconds a reader is told why nothing comes. */
const LONG = 20_000;

/** A field for a token, and the answer beside it. */
export class TokenField {
  readonly input = element("input", {
    type: "text",
    class: "iw-search",
    placeholder: "track a token…",
    "aria-label": "Track a token: type it as it stands in a text, Enter asks the pool",
    spellcheck: "false",
    autocomplete: "off",
  });
  readonly said = element("span", { class: "iw-said", role: "status" });

  constructor(ask: (text: string) => void) {
    this.input.addEventListener("keydown", (event) => {
      event.stopPropagation();
      if (event.key === "Enter" && this.input.value) ask(this.input.value);
    });
  }

  #late = 0;

  /** Show how the last question stands. */
  tell(asked: Asked, told: Told): void {
    const waits = asked.id > (told.id ?? 0);
    clearTimeout(this.#late);
    if (waits) this.#late = window.setTimeout(() => (this.said.textContent = "no answer yet: the kernel is busy, or gone"), LONG);
    this.said.textContent = waits ? "asking the pool…" : (told.text ?? "");
    this.said.classList.toggle("iw-failed", !waits && told.trouble === true);
    if (!waits && !told.trouble && this.input.value === asked.track) this.input.value = "";
  }
}

// A text token by token: choose one, and the table shows the latents that are active there.

import { element } from "../lib/dom";
import { visible } from "../lib/text";

export function promptStrip(tokens: readonly string[], chosen: number, choose: (token: number) => void): HTMLElement {
  const buttons = tokens.map((token, place) => {
    const button = element("button", { type: "button", class: "iw-token", "aria-pressed": String(place === chosen), "data-token": place }, visible(token));
    button.addEventListener("click", () => choose(place === chosen ? -1 : place));
    return button;
  });
  const hint = chosen < 0 ? "choose a token to see the latents that are active there" : `the latents that are most active at token ${chosen}`;
  return element("div", { class: "iw-prompt-strip", role: "group", "aria-label": "tokens of the prompt" }, ...buttons, element("span", { class: "iw-hint" }, hint));
}

// Pinned and tracked tokens, as chips under the map.

import { element } from "../lib/dom";
import { probability, short, visible } from "../lib/text";
import type { LensData, Place } from "./data";
import type { Pinned } from "./trajectory";

/** A pinned token: as Python reads and sets it. */
export interface Pin {
  readonly site: string;
  readonly position: number;
  readonly layer: number;
  readonly token_id: number;
}

/** The pin without its like, or with it. */
export function toggled(pins: readonly Pin[], pin: Pin): Pin[] {
  const same = (other: Pin): boolean =>
    other.site === pin.site && other.position === pin.position && other.token_id === pin.token_id;
  return pins.some(same) ? pins.filter((other) => !same(other)) : [...pins, pin];
}

export function pinChip(data: LensData, pin: Pinned, remove: () => void): HTMLElement {
  const { header } = data;
  const text = `${short(data.text(pin.id), 18)} @ ${header.positions[pin.row]}`;
  const many = header.sites.length > 1 ? ` ${header.sites[pin.site]}` : "";
  const button = element("button", { type: "button", "aria-label": `unpin ${text}` }, "×");
  button.addEventListener("click", remove);
  const chip = element("span", { class: "iw-chip" }, element("i"), text + many, button);
  chip.style.setProperty("--iw-colour", pin.colour);
  return chip;
}

export function trackedChip(data: LensData, id: number, end: Place, pin: () => void): HTMLElement {
  const logprob = data.logprob(id, end);
  const said = logprob === undefined ? "" : ` ${probability(logprob)}, rank ${data.rank(id, end)}`;
  const name = visible(data.text(id));
  const button = element("button", { type: "button", title: "pin it at the chosen position", "aria-label": `pin ${name}` }, "pin");
  button.addEventListener("click", pin);
  return element("span", { class: "iw-chip iw-tracked" }, `tracked ${name}${said}`, button);
}

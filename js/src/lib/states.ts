// What a widget shows when it has nothing to draw.

import { element } from "./dom";

export function loading(text: string): HTMLElement {
  return element("div", { class: "iw-state", role: "status" }, text);
}

export function empty(text: string): HTMLElement {
  return element("div", { class: "iw-state" }, text);
}

export function failed(error: unknown): HTMLElement {
  const text = error instanceof Error ? error.message : String(error);
  return element("div", { class: "iw-state iw-failed", role: "alert" }, `This view could not be drawn: ${text}`);
}

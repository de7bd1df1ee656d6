// A run that is still under way: where its job stands, and how it is ended.

import { element } from "../lib/dom";

export interface Progress {
  readonly state?: string;
  readonly text?: string;
  readonly done?: number;
  readonly total?: number;
  /** How the job can be ended: by a button here, or only by the notebook's Stop while a cell waits for it. */
  readonly end?: "button" | "stop";
}

export function progressStrip(progress: Progress, cancelling: boolean, cancel: () => void): HTMLElement {
  const strip = element("div", { class: "iw-progress", role: "status" });
  if (progress.total) {
    strip.append(element("progress", { value: progress.done ?? 0, max: progress.total, "aria-label": "progress" }));
  }
  strip.append(element("span", {}, progress.text ?? progress.state ?? ""));
  if (progress.end === "stop") strip.append(element("span", { class: "iw-hint" }, "■ Stop the cell to cancel"));
  if (progress.end === "button") {
    const button = element("button", { type: "button", disabled: cancelling }, cancelling ? "cancelling…" : "cancel");
    button.addEventListener("click", cancel);
    strip.append(button);
  }
  return strip;
}

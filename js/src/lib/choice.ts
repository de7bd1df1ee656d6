// One of a few, chosen by a button.

import { element } from "./dom";

export interface Choice<T extends string> {
  readonly name: T;
  readonly label: string;
  readonly title: string;
}

export function choiceButtons<T extends string>(
  of: string,
  choices: readonly Choice<T>[],
  chosen: T,
  choose: (name: T) => void,
): HTMLElement {
  const group = element("div", { class: "iw-modes", role: "radiogroup", "aria-label": of });
  for (const { name, label, title } of choices) {
    const button = element("button", { type: "button", role: "radio", "aria-checked": String(name === chosen), title }, label);
    button.addEventListener("click", () => choose(name));
    group.append(button);
  }
  return group;
}

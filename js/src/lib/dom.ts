// Elements without markup: text is only ever set as text.

type Attributes = Record<string, string | number | boolean | undefined>;

export function element<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  assign(made, attributes);
  made.append(...children);
  return made;
}

export function svg<K extends keyof SVGElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: (Node | string)[]
): SVGElementTagNameMap[K] {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  assign(made, attributes);
  made.append(...children);
  return made;
}

function assign(target: Element, attributes: Attributes): void {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === false) continue;
    target.setAttribute(name, value === true ? "" : String(value));
  }
}

/** Make buttons anew, and leave the focus on the one in the place of that which had it. */
export function keepingFocus(box: HTMLElement, make: () => void): void {
  const place = [...box.querySelectorAll("button")].indexOf(document.activeElement as HTMLButtonElement);
  make();
  if (place >= 0) box.querySelectorAll("button")[place]?.focus();
}

/** Listeners that are all taken off by one call. */
export class Listeners {
  #offs: (() => void)[] = [];

  on<K extends keyof HTMLElementEventMap>(
    target: HTMLElement,
    type: K,
    handle: (event: HTMLElementEventMap[K]) => void,
  ): void {
    target.addEventListener(type, handle);
    this.#offs.push(() => target.removeEventListener(type, handle));
  }

  add(off: () => void): void {
    this.#offs.push(off);
  }

  removeAll(): void {
    for (const off of this.#offs.splice(0)) off();
  }
}

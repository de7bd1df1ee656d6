// A model for tests: traits in a record, handlers called at once.

import { zlibSync } from "fflate";
import type { Model } from "./model";

/** A payload as Python sends it. */
export function squeezed(raw: ArrayBufferLike): DataView {
  const bytes = zlibSync(new Uint8Array(raw));
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

export class FakeModel<T> implements Model<T> {
  handlers = new Map<string, Set<() => void>>();
  saved = 0;
  constructor(public traits: T) {}
  get<K extends keyof T>(name: K): T[K] {
    return this.traits[name];
  }
  set<K extends keyof T>(name: K, value: T[K]): void {
    this.traits[name] = value;
    for (const handle of this.handlers.get(`change:${String(name)}`) ?? []) handle();
  }
  on(event: string, handle: () => void): void {
    this.handlers.set(event, (this.handlers.get(event) ?? new Set()).add(handle));
  }
  off(event: string, handle: () => void): void {
    this.handlers.get(event)?.delete(handle);
  }
  save_changes(): void {
    this.saved++;
  }
}

interface Rendered<T> {
  readonly model: FakeModel<T>;
  readonly el: HTMLElement;
  readonly cleanup: () => void;
}

/** A widget with these traits, alone in the document. */
export function mounted<T>(render: (context: { model: Model<T>; el: HTMLElement }) => () => void, traits: T): Rendered<T> {
  const el = document.createElement("div");
  document.body.replaceChildren(el);
  const model = new FakeModel(traits);
  return { model, el, cleanup: render({ model, el }) };
}

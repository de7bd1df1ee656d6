// What tests render widgets with.

import { zlibSync } from "fflate";
import type { Answered } from "./kernel";
import { LocalModel } from "./local";
import type { Model } from "./model";

/** A payload as Python sends it. */
export function squeezed(raw: ArrayBufferLike): DataView {
  const bytes = zlibSync(new Uint8Array(raw));
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

export class FakeModel<T> extends LocalModel<T> {
  saves = 0;
  constructor(traits: T) {
    super(traits, () => this.saves++);
  }
}

/** Call back as Python does. */
export function answer(model: FakeModel<Answered>): void {
  model.set("heard", model.traits.hail);
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

// The pool panel's module, as anywidget loads it.

import type { Model } from "./lib/model";
import { type PoolTraits, PoolView } from "./pool/view";

function render({ model, el }: { model: Model<PoolTraits>; el: HTMLElement }): () => void {
  const view = new PoolView(model, el);
  return () => view.destroy();
}

export default { render };

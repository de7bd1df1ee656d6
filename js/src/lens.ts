// The lens widget's module, as anywidget loads it.

import type { Model } from "./lib/model";
import { type LensTraits, LensView } from "./lens/view";

function render({ model, el }: { model: Model<LensTraits>; el: HTMLElement }): () => void {
  const view = new LensView(model, el);
  return () => view.destroy();
}

export default { render };

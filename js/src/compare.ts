// The comparison widget's module, as anywidget loads it.

import { type CompareTraits, CompareView } from "./compare/view";
import type { Model } from "./lib/model";

function render({ model, el }: { model: Model<CompareTraits>; el: HTMLElement }): () => void {
  const view = new CompareView(model, el);
  return () => view.destroy();
}

export default { render };

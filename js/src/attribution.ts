// The attribution widget's module, as anywidget loads it.

import { type AttributionTraits, AttributionView } from "./attribution/view";
import type { Model } from "./lib/model";

function render({ model, el }: { model: Model<AttributionTraits>; el: HTMLElement }): () => void {
  const view = new AttributionView(model, el);
  return () => view.destroy();
}

export default { render };

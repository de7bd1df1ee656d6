// The feature table's module, as anywidget loads it.

import { type FeatureTraits, FeaturesView } from "./features/view";
import type { Model } from "./lib/model";

function render({ model, el }: { model: Model<FeatureTraits>; el: HTMLElement }): () => void {
  const view = new FeaturesView(model, el);
  return () => view.destroy();
}

export default { render };

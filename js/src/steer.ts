// The steerability widget's module, as anywidget loads it.

import type { Model } from "./lib/model";
import { type SteerTraits, SteerView } from "./steer/view";

function render({ model, el }: { model: Model<SteerTraits>; el: HTMLElement }): () => void {
  const view = new SteerView(model, el);
  return () => view.destroy();
}

export default { render };

// The trainings' module, as anywidget loads it.

import type { Model } from "./lib/model";
import { type SweepTraits, SweepView } from "./sweep/view";

function render({ model, el }: { model: Model<SweepTraits>; el: HTMLElement }): () => void {
  const view = new SweepView(model, el);
  return () => view.destroy();
}

export default { render };

// Whether somebody in Python answers: a widget that was saved says so of a kernel that may be long gone, so it is asked.

import { follow, type Model, tell } from "./model";

export interface Answered {
  /** Whether Python has been told who answers. */
  live: boolean;
  /** What the view calls; */
  hail: number;
  /** and what Python has called back. */
  heard: number;
}

const MOST = 2 ** 31;

export class Kernel {
  #heard = false;
  readonly stop: () => void;

  /** `changed` is called once, when Python has called back. */
  constructor(
    private readonly model: Model<Answered>,
    changed: () => void,
  ) {
    const called = 1 + Math.floor(Math.random() * (MOST - 1));
    this.stop = follow(model, ["heard"], () => {
      if (this.#heard || model.get("heard") !== called) return;
      this.#heard = true;
      changed();
    });
    tell(model, "hail", called);
  }

  /** Whether somebody answered when this view began; a kernel that dies later is not noticed. */
  get answers(): boolean {
    return this.#heard && this.model.get("live");
  }
}

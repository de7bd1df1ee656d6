// Which rows are shown, and in which order.

import type { Column, FeatureData } from "./data";
import { ordered } from "./order";

export type Only = "all" | "labelled" | "causal" | "correlational" | "inconclusive";

export interface Selection {
  readonly sort: readonly [Column, boolean];
  readonly query: string;
  readonly only: Only;
  /** Least and largest density. */
  readonly densities: readonly [number, number];
  /** The token of the prompt whose latents are shown, -1 for all. */
  readonly token: number;
}

export class Selector {
  readonly #orders = new Map<string, Uint32Array>();
  #asked = "";
  #found: Uint8Array;

  constructor(private readonly data: FeatureData) {
    this.#found = data.matching("");
  }

  /** The latents that are shown, in order. */
  select(wanted: Selection): Uint32Array {
    const order = this.#order(wanted);
    const found = this.#matching(wanted.query);
    const here = wanted.token < 0 ? null : this.data.here(wanted.token);
    const [low, high] = wanted.densities;
    const made = new Uint32Array(order.length);
    let count = 0;
    for (const latent of order) {
      const density = this.data.density(latent);
      if (!found[latent] || density < low || density > high || (here && !here[latent])) continue;
      if (wanted.only !== "all" && !this.#is(wanted.only, latent)) continue;
      made[count++] = latent;
    }
    return made.subarray(0, count);
  }

  #is(only: Only, latent: number): boolean {
    return only === "labelled" ? this.data.label(latent) !== "" : this.data.verdict(latent) === only;
  }

  #order({ sort: [column, descending], token }: Selection): Uint32Array {
    const name = `${column} ${descending} ${column === "here" ? token : ""}`;
    let made = this.#orders.get(name);
    if (!made) {
      made = ordered(this.data.column(column, token), descending);
      this.#orders.set(name, made);
    }
    return made;
  }

  #matching(query: string): Uint8Array {
    if (query !== this.#asked) {
      this.#asked = query;
      this.#found = this.data.matching(query);
    }
    return this.#found;
  }
}

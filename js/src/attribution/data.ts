// What an attribution widget is told.

import { type Layout, type Packed, unpack } from "../lib/pack";

export interface Header {
  readonly model: string;
  readonly target: string;
  readonly foil: string;
  readonly tokens: readonly string[];
  readonly embed: number;
  readonly attn: readonly number[];
  readonly mlp: readonly number[];
  /** By layer and head; empty where the model has no heads that can be read. */
  readonly heads: readonly (readonly number[])[];
  readonly constant: number;
  readonly total: number;
}

/** A head, as Python reads and sets it. */
export interface Head {
  readonly layer: number;
  readonly head: number;
}

export interface PatternHeader extends Head {
  /** The position of the first query and key. */
  readonly first: number;
  readonly layout: Layout;
}

export interface Edge {
  readonly query: number;
  readonly key: number;
  readonly weight: number;
}

/** What a head attends to: weights [query, key]. */
export class Pattern {
  readonly #weights: Packed;
  readonly size: number;
  readonly first: number;

  constructor(
    readonly head: Head,
    header: PatternHeader,
    buffer: DataView,
  ) {
    this.#weights = unpack(buffer, header.layout).weights;
    this.size = this.#weights.shape[0];
    this.first = header.first;
  }

  at(query: number, key: number): number {
    return this.#weights.at(query * this.size + key);
  }

  /** The strongest weights, those of a position on the first token left out, where heads rest. */
  edges(count: number): Edge[] {
    const found: Edge[] = [];
    const least = this.first ? 0 : 1;
    for (let query = least; query < this.size; query++) {
      for (let key = least; key <= query; key++) found.push({ query, key, weight: this.at(query, key) });
    }
    return found.sort((a, b) => b.weight - a.weight).slice(0, count);
  }
}

/** A number of logits as it is read: a sign, two digits. */
export function logits(value: number): string {
  return `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(2)}`;
}

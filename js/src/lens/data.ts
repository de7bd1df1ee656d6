// A lens run as the widget reads it: numbers by (site, layer, position), tokens by id.

import { type Layout, type Packed, unpack } from "../lib/pack";

export interface Header {
  readonly title: string;
  readonly model: string;
  readonly sites: readonly string[];
  readonly layers: readonly number[];
  readonly positions: readonly number[];
  readonly top_k: number;
  readonly prompt_length: number;
  readonly vocabulary: number;
  /** Texts of all tokens that occur, by the order of their ids. */
  readonly strings: readonly string[];
  readonly tracked_ids: readonly number[];
  /** What the run is compared with, if it is. */
  readonly base: string;
  readonly layout: Layout;
}

export interface Guess {
  readonly id: number;
  readonly logprob: number;
}

export interface Difference {
  /** Log-probability of the top token here, minus that of the same token in the base. */
  readonly value: number;
  /** The token is outside the base's top k, so that the difference is at least `value`. */
  readonly bounded: boolean;
  readonly base: Guess;
}

/** One place of the run: indices of its site, layer and position. */
export interface Place {
  readonly site: number;
  readonly column: number;
  readonly row: number;
}

export class LensData {
  readonly #arrays: Record<string, Packed>;
  readonly #places: ReadonlyMap<number, number>;

  constructor(
    readonly header: Header,
    buffer: DataView,
  ) {
    this.#arrays = unpack(buffer, header.layout);
    this.#places = new Map(header.strings.map((_, place) => [this.#arrays.known.at(place), place]));
  }

  get rows(): number {
    return this.header.positions.length;
  }

  get columns(): number {
    return this.header.layers.length;
  }

  has(name: "entropy" | "kl" | "delta"): boolean {
    return name in this.#arrays;
  }

  text(id: number): string {
    const place = this.#places.get(id);
    return place === undefined ? `<id ${id}>` : this.header.strings[place];
  }

  /** The token that was read at a row. */
  input(row: number): string {
    return this.header.strings[this.#arrays.read.at(this.header.positions[row])];
  }

  generated(row: number): boolean {
    return this.header.positions[row] >= this.header.prompt_length;
  }

  guesses(at: Place): Guess[] {
    const start = this.#cell(at) * this.header.top_k;
    return Array.from({ length: this.header.top_k }, (_, i) => ({
      id: this.#arrays.known.at(this.#arrays.top.at(start + i)),
      logprob: this.#arrays.logprob.at(start + i),
    }));
  }

  topId(at: Place): number {
    return this.#arrays.known.at(this.#arrays.top.at(this.#cell(at) * this.header.top_k));
  }

  topLogprob(at: Place): number {
    return this.#arrays.logprob.at(this.#cell(at) * this.header.top_k);
  }

  statistic(name: "entropy" | "kl", at: Place): number | undefined {
    return this.#arrays[name]?.at(this.#cell(at));
  }

  /** How far this run is from its base at a place; undefined where the base has no such position. */
  difference(at: Place): Difference | undefined {
    const cell = this.#cell(at);
    const state = this.#arrays.compared?.at(cell);
    if (!state) return undefined;
    const base = { id: this.#arrays.known.at(this.#arrays.base_top.at(cell)), logprob: this.#arrays.base_logprob.at(cell) };
    return { value: this.#arrays.delta.at(cell), bounded: state === 2, base };
  }

  /** Log-probability of a token in a cell; undefined where it lies outside the top k and was not tracked. */
  logprob(id: number, at: Place): number | undefined {
    const tracked = this.#tracked(id, at);
    if (tracked !== undefined) return this.#arrays.tracked_logprob.at(tracked);
    const found = this.#place(id, at);
    return found === undefined ? undefined : this.#arrays.logprob.at(this.#cell(at) * this.header.top_k + found);
  }

  /** Rank of a token in a cell, 0 being the first; undefined as above. */
  rank(id: number, at: Place): number | undefined {
    const tracked = this.#tracked(id, at);
    return tracked === undefined ? this.#place(id, at) : this.#arrays.tracked_rank.at(tracked);
  }

  /** What bounds the log-probability of a token outside the top k from above. */
  lowest(at: Place): number {
    return this.#arrays.logprob.at((this.#cell(at) + 1) * this.header.top_k - 1);
  }

  #place(id: number, at: Place): number | undefined {
    const start = this.#cell(at) * this.header.top_k;
    const wanted = this.#places.get(id);
    for (let order = 0; order < this.header.top_k; order++) {
      if (this.#arrays.top.at(start + order) === wanted) return order;
    }
    return undefined;
  }

  #tracked(id: number, at: Place): number | undefined {
    const place = this.header.tracked_ids.indexOf(id);
    return place < 0 ? undefined : this.#cell(at) * this.header.tracked_ids.length + place;
  }

  #cell({ site, column, row }: Place): number {
    return (site * this.columns + column) * this.rows + row;
  }
}

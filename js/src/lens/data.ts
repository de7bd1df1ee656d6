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
  /** Token id of every code of `top`. */
  readonly ids: readonly number[];
  /** Text of every token id that occurs. */
  readonly strings: Readonly<Record<string, string>>;
  readonly token_ids: readonly number[];
  readonly tracked_ids: readonly number[];
  readonly layout: Layout;
}

export interface Guess {
  readonly id: number;
  readonly logprob: number;
}

export interface Point {
  readonly layer: number;
  /** Undefined where the token is outside the top k; `below` then bounds it from above. */
  readonly logprob: number | undefined;
  readonly below: number;
  readonly rank: number | undefined;
}

export class LensData {
  readonly #arrays: Record<string, Packed>;

  constructor(
    readonly header: Header,
    buffer: DataView,
  ) {
    this.#arrays = unpack(buffer, header.layout);
  }

  get rows(): number {
    return this.header.positions.length;
  }

  get columns(): number {
    return this.header.layers.length;
  }

  text(id: number): string {
    return this.header.strings[String(id)] ?? `<id ${id}>`;
  }

  /** The token that was read at a row. */
  input(row: number): string {
    return this.text(this.header.token_ids[this.header.positions[row]]);
  }

  generated(row: number): boolean {
    return this.header.positions[row] >= this.header.prompt_length;
  }

  guesses(site: number, column: number, row: number): Guess[] {
    const start = this.#cell(site, column, row) * this.header.top_k;
    return Array.from({ length: this.header.top_k }, (_, i) => ({
      id: this.header.ids[this.#arrays.top.at(start + i)],
      logprob: this.#arrays.logprob.at(start + i),
    }));
  }

  top(site: number, column: number, row: number): Guess {
    const start = this.#cell(site, column, row) * this.header.top_k;
    return { id: this.header.ids[this.#arrays.top.at(start)], logprob: this.#arrays.logprob.at(start) };
  }

  statistic(name: "entropy" | "kl", site: number, column: number, row: number): number | undefined {
    return this.#arrays[name]?.at(this.#cell(site, column, row));
  }

  /** Rank of `id` in a cell; undefined where it lies outside the top k and was not tracked. */
  rank(id: number, site: number, column: number, row: number): number | undefined {
    const tracked = this.header.tracked_ids.indexOf(id);
    if (tracked >= 0) {
      return this.#arrays.tracked_rank.at(this.#cell(site, column, row) * this.header.tracked_ids.length + tracked);
    }
    const place = this.guesses(site, column, row).findIndex((guess) => guess.id === id);
    return place < 0 ? undefined : place;
  }

  /** The way of a token through the layers at one position. */
  trajectory(id: number, site: number, row: number): Point[] {
    const tracked = this.header.tracked_ids.indexOf(id);
    return this.header.layers.map((layer, column) => {
      const guesses = this.guesses(site, column, row);
      const below = guesses[guesses.length - 1].logprob;
      const rank = this.rank(id, site, column, row);
      if (tracked >= 0) {
        const at = this.#cell(site, column, row) * this.header.tracked_ids.length + tracked;
        return { layer, logprob: this.#arrays.tracked_logprob.at(at), below, rank };
      }
      return { layer, logprob: guesses.find((guess) => guess.id === id)?.logprob, below, rank };
    });
  }

  #cell(site: number, column: number, row: number): number {
    return (site * this.columns + column) * this.rows + row;
  }
}

// Latents as the widget reads them: columns of numbers, the tokens of each, labels and verdicts.

import { type Layout, type Packed, unpack } from "../lib/pack";
import { visible } from "../lib/text";

export interface Header {
  readonly title: string;
  readonly model: string;
  readonly tokens: number;
  readonly texts: number;
  /** The first bin of a histogram begins at 2 to this power. */
  readonly lowest: number;
  /** How tokens read, by id. */
  readonly strings: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
  readonly verdicts: Readonly<Record<string, string>>;
  /** The tokens of a text whose latents are known. */
  readonly prompt: readonly string[] | null;
  readonly layout: Layout;
}

export type Column = "latent" | "density" | "max" | "coherence" | "label" | "verdict" | "here";
type Words = "active" | "promoted";

export class FeatureData {
  readonly #arrays: Record<string, Packed>;
  readonly #words = new Map<number, string>();
  #here: { readonly token: number; readonly values: Float32Array } | undefined;

  constructor(
    readonly header: Header,
    buffer: DataView,
  ) {
    this.#arrays = unpack(buffer, header.layout);
    for (const [id, text] of Object.entries(header.strings)) this.#words.set(Number(id), visible(text));
  }

  get count(): number {
    return this.#arrays.density.length;
  }

  get bins(): number {
    return this.#arrays.histogram.shape[1];
  }

  /** Whether it is known what latents promote. */
  get writes(): boolean {
    return this.#arrays.promoted.shape[1] > 0;
  }

  density(latent: number): number {
    return this.#arrays.density.at(latent);
  }

  max(latent: number): number {
    return this.#arrays.max.at(latent);
  }

  /** NaN for a latent that was active less than twice. */
  coherence(latent: number): number {
    return this.#arrays.coherence.at(latent);
  }

  /** A bin's count in shares of the latent's fullest bin. */
  share(latent: number, bin: number): number {
    return this.#arrays.histogram.at(latent * this.bins + bin) / 255;
  }

  label(latent: number): string {
    return this.header.labels[latent] ?? "";
  }

  verdict(latent: number): string {
    return this.header.verdicts[latent] ?? "";
  }

  /** The tokens that a latent is active on, or that it promotes, as a person sees them. */
  words(which: Words, latent: number): string[] {
    const { shape } = this.#arrays[which];
    const found: string[] = [];
    for (let place = 0; place < shape[1]; place++) {
      const word = this.#words.get(this.#arrays[which].at(latent * shape[1] + place));
      if (word !== undefined) found.push(word);
    }
    return found;
  }

  /** Activations of all latents at a token of the prompt; 0 for those that are not among its strongest. */
  here(token: number): Float32Array {
    if (this.#here?.token === token) return this.#here.values;
    const made = new Float32Array(this.count);
    const { prompt_latents: latents, prompt_values: values } = this.#arrays;
    if (!latents) return made;
    const most = latents.shape[1];
    for (let place = token * most; place < (token + 1) * most; place++) {
      if (latents.at(place) >= 0) made[latents.at(place)] = values.at(place);
    }
    this.#here = { token, values: made };
    return made;
  }

  /** A column as numbers that sort as its texts do. */
  column(name: Column, token: number): Float32Array {
    switch (name) {
      case "here":
        return this.here(token);
      case "label":
        return this.#ranks((latent) => this.label(latent));
      case "verdict":
        return this.#ranks((latent) => this.verdict(latent));
      case "latent":
        return this.#each((latent) => latent);
      default:
        return this.#each((latent) => this.#arrays[name].at(latent));
    }
  }

  #each(value: (latent: number) => number): Float32Array {
    const made = new Float32Array(this.count);
    for (let latent = 0; latent < made.length; latent++) made[latent] = value(latent);
    return made;
  }

  /** Places of the texts in the alphabet; nothing is last. */
  #ranks(text: (latent: number) => string): Float32Array {
    const made = new Float32Array(this.count).fill(Number.NaN);
    const named = Object.keys({ ...this.header.labels, ...this.header.verdicts }).map(Number);
    const known = [...new Set(named.map(text))].filter(Boolean).sort((a, b) => a.localeCompare(b));
    for (const latent of named) if (text(latent)) made[latent] = known.indexOf(text(latent));
    return made;
  }

  /** The latents whose label or tokens hold a text, or whose number it is. */
  matching(query: string): Uint8Array {
    const made = new Uint8Array(this.count);
    const wanted = visible(query.trim().toLowerCase());
    if (query.trim() === "") return made.fill(1);
    const ids = new Set<number>();
    for (const [id, word] of this.#words) if (word.toLowerCase().includes(wanted)) ids.add(id);
    for (const which of ["active", "promoted"] as const) {
      const array = this.#arrays[which];
      const each = array.shape[1];
      if (ids.size) for (let place = 0; place < array.length; place++) if (ids.has(array.at(place))) made[(place / each) | 0] = 1;
    }
    for (const [latent, label] of Object.entries(this.header.labels)) {
      if (label.toLowerCase().includes(query.trim().toLowerCase())) made[Number(latent)] = 1;
    }
    const number = /^#?(\d+)$/.exec(query.trim());
    if (number && Number(number[1]) < this.count) made[Number(number[1])] = 1;
    return made;
  }
}

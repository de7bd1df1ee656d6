// Propensity curves as the widget reads them: m by (curve, layer, item, scale), statistics by layer.

import { type Layout, type Packed, unpack } from "../lib/pack";

export interface Header {
  readonly title: string;
  readonly model: string;
  readonly site: string;
  readonly layers: readonly number[];
  readonly scales: readonly number[];
  /** The vector's own curve first, then the controls. */
  readonly curves: readonly string[];
  readonly prompts: readonly string[];
  readonly answers: readonly (readonly [string, string])[];
  readonly layout: Layout;
}

export class SteerData {
  readonly #arrays: Record<string, Packed>;
  /** Places of the scales in rising order. */
  readonly order: readonly number[];

  constructor(
    readonly header: Header,
    buffer: DataView,
  ) {
    this.#arrays = unpack(buffer, header.layout);
    this.order = header.scales.map((_, place) => place).sort((a, b) => header.scales[a] - header.scales[b]);
  }

  get items(): number {
    return this.header.prompts.length;
  }

  /** m of an item at a scale. */
  m(curve: number, layer: number, item: number, scale: number): number {
    const { layers, scales } = this.header;
    return this.#arrays.values.at(((curve * layers.length + layer) * this.items + item) * scales.length + scale);
  }

  /** Mean of m over items. */
  mean(curve: number, layer: number, scale: number): number {
    const { layers, scales } = this.header;
    return this.#arrays.mean.at((curve * layers.length + layer) * scales.length + scale);
  }

  /** The 95 % interval of the vector's mean at a scale. */
  band(layer: number, scale: number): [number, number] {
    const at = 2 * (layer * this.header.scales.length + scale);
    return [this.#arrays.band.at(at), this.#arrays.band.at(at + 1)];
  }

  slope(curve: number, layer: number): number {
    return this.#arrays.slope.at(curve * this.header.layers.length + layer);
  }

  /** The 95 % interval of a curve's mean slope. */
  interval(curve: number, layer: number): [number, number] {
    const at = 2 * (curve * this.header.layers.length + layer);
    return [this.#arrays.interval.at(at), this.#arrays.interval.at(at + 1)];
  }

  r2(layer: number): number {
    return this.#arrays.r2.at(layer);
  }

  /** Share of items whose slope is below 0. */
  turning(layer: number): number {
    return this.#arrays.turning.at(layer);
  }
}

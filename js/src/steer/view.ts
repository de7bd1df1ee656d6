// The steerability widget: the curve of a layer, the slopes of all, and the item that one chooses.

import { type Choice, choiceButtons } from "../lib/choice";
import { element, Listeners } from "../lib/dom";
import type { Model } from "../lib/model";
import { exportButtons } from "../lib/exports";
import { empty, failed } from "../lib/states";
import { visible } from "../lib/text";
import { themeOf, watchTheme } from "../lib/theme";
import { tickText } from "../lib/axes";
import { type Plot, plot } from "./curves";
import { type Header, SteerData } from "./data";
import { layerChart } from "./layers";
import { mapChart } from "./map";

export interface SteerTraits {
  header: Header;
  payload: DataView;
  /** The layer whose curve is shown, by its number. */
  layer: number;
  /** The item that is read, -1 for none. */
  item: number;
  /** What stands beside the curve. */
  side: Side;
}

type Side = "slopes" | "map";

const SIDES: readonly Choice<Side>[] = [
  { name: "slopes", label: "slopes", title: "The mean slope of every layer with its interval" },
  { name: "map", label: "map", title: "Change of m at every layer and scale" },
];
const LAYERS = 300;
const PROMPT = 420;

export class SteerView {
  readonly #listeners = new Listeners();
  readonly #bar = element("div", { class: "iw-bar-top" });
  readonly #said = element("div", { class: "iw-figures" });
  readonly #charts = element("div", { class: "iw-pair", tabindex: 0, role: "application" });
  readonly #item = element("div", { class: "iw-item" });
  readonly #live = element("div", { class: "iw-live", "aria-live": "polite" });
  #data!: SteerData;
  #plot: Plot | undefined;

  constructor(
    private readonly model: Model<SteerTraits>,
    private readonly root: HTMLElement,
  ) {
    root.classList.add("iw", "iw-steer");
    const on = this.#listeners;
    on.on(this.#charts, "keydown", (event) => this.#key(event));
    on.on(this.#charts, "click", (event) => this.#click(event));
    on.add(watchTheme(() => this.#render()));
    const observer = new ResizeObserver(() => this.#render());
    observer.observe(root);
    on.add(() => observer.disconnect());
    for (const trait of ["layer", "item", "side"] as const) this.#onModel(trait, () => this.#render());
    for (const trait of ["payload", "header"] as const) this.#onModel(trait, () => this.#load());
    this.#load();
  }

  destroy(): void {
    this.#listeners.removeAll();
    this.root.replaceChildren();
  }

  #onModel(trait: keyof SteerTraits, handle: () => void): void {
    this.model.on(`change:${trait}`, handle);
    this.#listeners.add(() => this.model.off(`change:${trait}`, handle));
  }

  #load(): void {
    try {
      this.#data = new SteerData(this.model.get("header"), this.model.get("payload"));
    } catch (error) {
      this.root.replaceChildren(failed(error));
      return;
    }
    if (this.#data.items === 0) {
      this.root.replaceChildren(empty("There is nothing to show: no item was measured."));
      return;
    }
    this.#charts.setAttribute("aria-label", `Steerability of ${this.#data.header.title}; left and right choose a layer, up and down an item`);
    this.root.replaceChildren(this.#bar, this.#said, this.#charts, this.#item, this.#live);
    if (this.root.isConnected) this.#render();
  }

  get #layer(): number {
    return Math.max(0, this.#data.header.layers.indexOf(this.model.get("layer")));
  }

  #render(): void {
    if (!this.#data || this.#data.items === 0) return;
    const width = Math.max(320, this.root.clientWidth || 860);
    const narrow = width < 640 || this.#data.header.layers.length < 2;
    const theme = themeOf(this.root);
    const side = narrow ? width : LAYERS;
    this.#plot = plot(this.#data, this.#layer, this.model.get("item"), theme, narrow ? width : width - side - 18);
    const several = this.#data.header.layers.length > 1;
    const chart = this.model.get("side") === "map" ? mapChart : layerChart;
    const beside = several ? [chart(this.#data, this.#layer, theme, side, (place) => this.#chooseLayer(place))] : [];
    this.#charts.replaceChildren(this.#plot.picture, ...beside);
    this.#renderBar();
    this.#renderItem();
    this.root.dataset.drawn = "true";
  }

  #renderBar(): void {
    const { header } = this.#data;
    const name = element("div", { class: "iw-title", title: header.title }, header.model);
    const sides = choiceButtons("beside the curve", SIDES, this.model.get("side"), (side) => this.#set("side", side));
    const choice = header.layers.length > 1 ? [sides] : [];
    this.#bar.replaceChildren(name, ...choice, this.#exports());
    this.#said.textContent = this.#figures();
  }

  #figures(): string {
    const place = this.#layer;
    const [low, high] = this.#data.interval(0, place);
    const { layers, curves } = this.#data.header;
    const controls = curves.slice(1).map((name, i) => `${name} ${signed(this.#data.slope(i + 1, place))}`);
    const r2 = this.#data.r2(place);
    return [
      `layer ${layers[place]}: slope ${signed(this.#data.slope(0, place))} [${signed(low)}, ${signed(high)}]`,
      `R² ${Number.isNaN(r2) ? "–" : r2.toFixed(3)}`,
      `${(100 * this.#data.turning(place)).toFixed(0)} % of ${this.#data.items} items turn away`,
      ...(controls.length ? [`controls: ${controls.join(", ")}`] : []),
    ].join("  ·  ");
  }

  #renderItem(): void {
    const item = this.model.get("item");
    const { prompts, answers, scales } = this.#data.header;
    if (item < 0 || item >= prompts.length) {
      const hint = "Mean over items with its 95 % interval, every item faintly, controls of the same length dashed. Click a line to read its item; click a layer to see its curve.";
      this.#item.replaceChildren(element("div", { class: "iw-hint" }, hint));
      return;
    }
    const prompt = prompts[item];
    const cut = prompt.length > PROMPT ? `…${prompt.slice(-PROMPT)}` : prompt;
    const values = element("div", { class: "iw-values" });
    for (const place of this.#data.order) {
      const m = this.#data.m(0, this.#layer, item, place);
      values.append(element("span", {}, tickText(scales[place])), element("span", {}, signed(m)));
    }
    const [favoured, other] = answers[item];
    const said = element("div", { class: "iw-answers" }, `item ${item}: `, code(favoured), " favoured over ", code(other));
    this.#item.replaceChildren(said, element("div", { class: "iw-prompt" }, cut), values);
  }

  #exports(): HTMLElement {
    const pictures = (): SVGSVGElement[] => (this.#plot ? [this.#plot.picture] : []);
    return exportButtons({ name: "steerability", root: this.root, pictures, rows: () => this.#rows() });
  }

  #rows(): (string | number)[][] {
    const { curves, layers, scales, prompts } = this.#data.header;
    const rows: (string | number)[][] = [["curve", "layer", "item", "prompt", "scale", "propensity"]];
    curves.forEach((curve, c) =>
      layers.forEach((layer, x) =>
        prompts.forEach((prompt, item) =>
          scales.forEach((scale, s) => rows.push([curve, layer, item, prompt, scale, this.#data.m(c, x, item, s)])),
        ),
      ),
    );
    return rows;
  }

  #click(event: MouseEvent): void {
    const picture = this.#plot?.picture;
    if (!picture?.contains(event.target as Node)) return;
    const box = picture.getBoundingClientRect();
    this.#choose(this.#plot?.nearest(event.clientX - box.left, event.clientY - box.top) ?? -1);
  }

  #key(event: KeyboardEvent): void {
    const item = this.model.get("item");
    const last = this.#data.items - 1;
    if (event.key === "ArrowLeft") this.#chooseLayer(Math.max(0, this.#layer - 1));
    else if (event.key === "ArrowRight") this.#chooseLayer(Math.min(this.#data.header.layers.length - 1, this.#layer + 1));
    else if (event.key === "ArrowUp") this.#choose(Math.max(0, item - 1));
    else if (event.key === "ArrowDown") this.#choose(Math.min(last, item + 1));
    else if (event.key === "Escape") this.#choose(-1);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  #chooseLayer(place: number): void {
    this.#set("layer", this.#data.header.layers[place]);
    this.#live.textContent = this.#figures();
  }

  #choose(item: number): void {
    this.#set("item", item);
    if (item >= 0) this.#live.textContent = `item ${item}: ${visible(this.#data.header.answers[item][0])} favoured`;
  }

  #set<K extends keyof SteerTraits>(trait: K, value: SteerTraits[K]): void {
    this.model.set(trait, value);
    this.model.save_changes();
  }
}

function signed(value: number): string {
  return value.toFixed(3).replace("-", "−");
}

function code(text: string): HTMLElement {
  return element("span", { class: "iw-token" }, visible(text));
}

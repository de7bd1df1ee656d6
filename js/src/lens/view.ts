// The lens widget: map, card, legend, pins and their trajectories, all derived from the model.

import { choiceButtons } from "../lib/choice";
import { element, Listeners } from "../lib/dom";
import { moved } from "../lib/keys";
import type { Model } from "../lib/model";
import { lineColours, ramp } from "../lib/ramp";
import { csv, download } from "../lib/save";
import { empty, failed } from "../lib/states";
import { probability, short, visible } from "../lib/text";
import { themeOf, watchTheme } from "../lib/theme";
import { fillCard, spoken } from "./card";
import { type Header, LensData } from "./data";
import { type Cell, cellAt, columnWidth, draw, HEAD, LABEL, ROW } from "./map";
import { MODES, modeOf } from "./modes";
import { chart, type Pinned } from "./trajectory";

/** A pinned token: as Python reads and sets it. */
export interface Pin {
  readonly site: string;
  readonly position: number;
  readonly layer: number;
  readonly token_id: number;
}

export interface LensTraits {
  header: Header;
  payload: DataView;
  mode: string;
  site: string;
  pins: Pin[];
  cursor: number[];
}

const MAX_HEIGHT = 440;

export class LensView {
  readonly #listeners = new Listeners();
  readonly #canvas = element("canvas", { class: "iw-map", tabindex: 0, role: "application" });
  readonly #scroll = element("div", { class: "iw-scroll" });
  readonly #spacer = element("div");
  readonly #card = element("div", { class: "iw-card", hidden: true });
  readonly #live = element("div", { class: "iw-live", "aria-live": "polite" });
  readonly #bar = element("div", { class: "iw-bar-top" });
  readonly #chips = element("div", { class: "iw-chips" });
  readonly #chart = element("div", { class: "iw-chart-box" });
  #data!: LensData;
  #cursor: Cell | undefined;
  #frame = 0;

  constructor(
    private readonly model: Model<LensTraits>,
    private readonly root: HTMLElement,
  ) {
    root.classList.add("iw", "iw-lens");
    this.#scroll.append(this.#canvas, this.#spacer);
    this.#listen();
    this.#load();
  }

  destroy(): void {
    cancelAnimationFrame(this.#frame);
    this.#listeners.removeAll();
    this.root.replaceChildren();
  }

  #load(): void {
    try {
      this.#data = new LensData(this.model.get("header"), this.model.get("payload"));
    } catch (error) {
      this.root.replaceChildren(failed(error));
      return;
    }
    if (this.#data.rows === 0 || this.#data.columns === 0) {
      this.root.replaceChildren(empty("There is nothing to show: no position was decoded."));
      return;
    }
    this.#canvas.setAttribute("aria-label", `Lens of ${this.#data.header.title}; arrow keys move, Enter pins, Escape clears`);
    this.root.replaceChildren(this.#bar, this.#scroll, this.#chips, this.#chart, this.#card, this.#live);
    this.#readCursor();
    // Off the page nothing has a size yet; the observer renders when it has.
    if (this.root.isConnected) this.#render();
  }

  #listen(): void {
    const on = this.#listeners;
    on.on(this.#canvas, "pointermove", (event) => this.#hover(event));
    on.on(this.#canvas, "pointerleave", () => this.#hideCard());
    on.on(this.#canvas, "click", (event) => this.#click(event));
    on.on(this.#canvas, "keydown", (event) => this.#key(event));
    on.on(this.#canvas, "blur", () => this.#hideCard());
    on.on(this.#scroll, "scroll", () => this.#paintSoon());
    on.add(watchTheme(() => this.#render()));
    const observer = new ResizeObserver(() => this.#render());
    observer.observe(this.root);
    on.add(() => observer.disconnect());
    for (const trait of ["mode", "site", "pins"] as const) this.#onModel(trait, () => this.#render());
    for (const trait of ["payload", "header"] as const) this.#onModel(trait, () => this.#load());
    this.#onModel("cursor", () => {
      this.#readCursor();
      this.#paintSoon();
    });
  }

  #onModel(trait: keyof LensTraits, handle: () => void): void {
    this.model.on(`change:${trait}`, handle);
    this.#listeners.add(() => this.model.off(`change:${trait}`, handle));
  }

  get #site(): number {
    return Math.max(0, this.#data.header.sites.indexOf(this.model.get("site")));
  }

  get #width(): number {
    return Math.max(280, this.root.clientWidth || 760);
  }

  get #pinned(): Pinned[] {
    const { header } = this.#data;
    const colours = lineColours(themeOf(this.root).dark);
    return this.model.get("pins").flatMap((pin, i) => {
      const row = header.positions.indexOf(pin.position);
      const site = header.sites.indexOf(pin.site);
      return row < 0 || site < 0 ? [] : [{ id: pin.token_id, row, site, colour: colours[i % colours.length] }];
    });
  }

  #render(): void {
    if (!this.#data || this.#data.rows === 0) return;
    this.#spacer.style.height = `${HEAD + this.#data.rows * ROW - this.#viewHeight}px`;
    this.#scroll.style.maxHeight = `${MAX_HEIGHT}px`;
    this.#renderBar();
    this.#renderPins();
    this.#paint();
  }

  get #viewHeight(): number {
    return Math.min(MAX_HEIGHT, HEAD + this.#data.rows * ROW);
  }

  /** Paint in the next frame, once, however many events ask for it. */
  #paintSoon(): void {
    cancelAnimationFrame(this.#frame);
    this.#frame = requestAnimationFrame(() => this.#paint());
  }

  #paint(): void {
    const { header } = this.#data;
    const pins = this.model.get("pins").flatMap((pin, i) => {
      const cell = { row: header.positions.indexOf(pin.position), column: header.layers.indexOf(pin.layer) };
      const colours = lineColours(themeOf(this.root).dark);
      return cell.row < 0 || cell.column < 0 || pin.site !== header.sites[this.#site]
        ? []
        : [{ cell, colour: colours[i % colours.length] }];
    });
    const scene = {
      data: this.#data,
      mode: modeOf(this.model.get("mode")),
      site: this.#site,
      theme: themeOf(this.root),
      cursor: this.#cursor,
      pins,
    };
    draw(this.#canvas, scene, this.#width, this.#viewHeight, this.#scroll.scrollTop);
    this.root.dataset.drawn = "true";
  }

  #renderBar(): void {
    const { header } = this.#data;
    const mode = modeOf(this.model.get("mode"));
    const available = MODES.filter((each) => each.available(this.#data));
    const modes = choiceButtons("colour", available, mode.name, (name) => this.#set("mode", name));
    const colours = ramp(mode.hue, themeOf(this.root).dark).fills;
    const strip = element("span", { class: "iw-strip" });
    strip.style.background = `linear-gradient(to right, ${[0, 64, 128, 192, 255].map((i) => colours[i]).join(",")})`;
    const [low, high] = mode.ends(this.#data);
    const legend = element("div", { class: "iw-legend" }, low, strip, high);
    const name = element("div", { class: "iw-title", title: header.title }, header.model);
    this.#bar.replaceChildren(name, ...this.#siteChoice(), modes, legend, this.#exports());
  }

  #siteChoice(): HTMLElement[] {
    const { sites } = this.#data.header;
    if (sites.length < 2) return [];
    const choice = element("select", { "aria-label": "site" });
    for (const site of sites) choice.append(element("option", { selected: site === sites[this.#site] }, site));
    choice.addEventListener("change", () => this.#set("site", choice.value));
    return [choice];
  }

  #exports(): HTMLElement {
    const png = element("button", { type: "button", title: "Save what is seen as PNG" }, "PNG");
    png.addEventListener("click", () => this.#canvas.toBlob((blob) => blob && download("lens.png", blob)));
    const table = element("button", { type: "button", title: "Save the top tokens of this site as CSV" }, "CSV");
    table.addEventListener("click", () => download("lens.csv", new Blob([this.#csv()], { type: "text/csv" })));
    return element("div", { class: "iw-exports" }, png, table);
  }

  #csv(): string {
    const { header } = this.#data;
    const rows: (string | number)[][] = [["position", "token", "layer", "order", "top_id", "top_token", "logprob"]];
    for (let row = 0; row < this.#data.rows; row++) {
      for (let column = 0; column < this.#data.columns; column++) {
        this.#data.guesses(this.#site, column, row).forEach((guess, order) => {
          const place = [header.positions[row], this.#data.input(row), header.layers[column], order];
          rows.push([...place, guess.id, this.#data.text(guess.id), guess.logprob]);
        });
      }
    }
    return csv(rows);
  }

  #renderPins(): void {
    const pinned = this.#pinned;
    this.#chips.replaceChildren(...pinned.map((pin, i) => this.#chip(pin, i)), ...this.#trackedChips());
    this.#chips.hidden = this.#chips.childElementCount === 0;
    this.#chart.replaceChildren(
      ...(pinned.length ? [chart(this.#data, pinned, themeOf(this.root), this.#width)] : []),
    );
  }

  #chip(pin: Pinned, place: number): HTMLElement {
    const { header } = this.#data;
    const text = `${short(this.#data.text(pin.id), 18)} @ ${header.positions[pin.row]}`;
    const many = header.sites.length > 1 ? ` ${header.sites[pin.site]}` : "";
    const button = element("button", { type: "button", "aria-label": `unpin ${text}` }, "×");
    button.addEventListener("click", () => {
      this.#set("pins", this.model.get("pins").filter((_, i) => i !== place));
      this.#canvas.focus();
    });
    const chip = element("span", { class: "iw-chip" }, element("i"), text + many, button);
    chip.style.setProperty("--iw-colour", pin.colour);
    return chip;
  }

  #trackedChips(): HTMLElement[] {
    const row = this.#cursor?.row ?? this.#data.rows - 1;
    return this.#data.header.tracked_ids.map((id) => {
      const end = this.#data.trajectory(id, this.#site, row).at(-1);
      const said = end?.logprob === undefined ? "" : ` ${probability(end.logprob)}, rank ${end.rank}`;
      const button = element("button", { type: "button", title: "pin it at the chosen position" }, "pin");
      button.addEventListener("click", () => this.#pin(id, { row, column: this.#data.columns - 1 }));
      return element("span", { class: "iw-chip iw-tracked" }, `tracked ${visible(this.#data.text(id))}${said}`, button);
    });
  }

  #hover(event: PointerEvent): void {
    const cell = this.#under(event);
    if (!cell) {
      this.#hideCard();
      return;
    }
    this.#moveTo(cell);
    this.#showCard(event.clientX, event.clientY);
  }

  #click(event: MouseEvent): void {
    const cell = this.#under(event);
    if (!cell) return;
    this.#moveTo(cell);
    this.#toggle(cell);
  }

  #key(event: KeyboardEvent): void {
    const cell = this.#cursor ?? { row: 0, column: 0 };
    if (event.key === "Enter" || event.key === " ") this.#toggle(cell);
    else if (event.key === "Escape") {
      this.#set("pins", []);
      this.#hideCard();
    } else {
      const page = Math.max(1, Math.floor(this.#viewHeight / ROW) - 2);
      const next = moved(event.key, cell, this.#data.rows, this.#data.columns, page);
      if (!next) return;
      this.#moveTo(next);
      this.#reveal(next);
    }
    event.preventDefault();
    event.stopPropagation();
  }

  #reveal(cell: Cell): void {
    const y = cell.row * ROW;
    const room = this.#viewHeight - HEAD - ROW;
    if (y < this.#scroll.scrollTop) this.#scroll.scrollTop = y;
    else if (y > this.#scroll.scrollTop + room) this.#scroll.scrollTop = y - room;
    const box = this.#canvas.getBoundingClientRect();
    const width = columnWidth(this.#width, this.#data.columns);
    this.#showCard(box.left + LABEL + (cell.column + 0.5) * width, box.top + HEAD + y - this.#scroll.scrollTop + ROW / 2);
  }

  #moveTo(cell: Cell): void {
    if (cell.row === this.#cursor?.row && cell.column === this.#cursor?.column) return;
    this.#cursor = cell;
    this.#live.textContent = spoken(this.#data, this.#site, cell);
    this.#set("cursor", [this.#data.header.layers[cell.column], this.#data.header.positions[cell.row]]);
    this.#paintSoon();
  }

  #toggle(cell: Cell): void {
    this.#pin(this.#data.top(this.#site, cell.column, cell.row).id, cell);
  }

  #pin(id: number, cell: Cell): void {
    const { header } = this.#data;
    const site = header.sites[this.#site];
    const position = header.positions[cell.row];
    const pins = this.model.get("pins");
    const same = (pin: Pin): boolean => pin.site === site && pin.position === position && pin.token_id === id;
    const pin = { site, position, layer: header.layers[cell.column], token_id: id };
    this.#set("pins", pins.some(same) ? pins.filter((p) => !same(p)) : [...pins, pin]);
  }

  #set<K extends keyof LensTraits>(trait: K, value: LensTraits[K]): void {
    this.model.set(trait, value);
    this.model.save_changes();
  }

  #under(event: MouseEvent): Cell | undefined {
    const box = this.#canvas.getBoundingClientRect();
    const width = columnWidth(this.#width, this.#data.columns);
    return cellAt(event.clientX - box.left, event.clientY - box.top, this.#scroll.scrollTop, width, this.#data);
  }

  #readCursor(): void {
    const [layer, position] = this.model.get("cursor");
    const cell = { row: this.#data.header.positions.indexOf(position), column: this.#data.header.layers.indexOf(layer) };
    this.#cursor = cell.row < 0 || cell.column < 0 ? undefined : cell;
  }

  #showCard(x: number, y: number): void {
    if (!this.#cursor) return;
    fillCard(this.#card, this.#data, this.#site, this.#cursor);
    this.#card.hidden = false;
    const box = this.root.getBoundingClientRect();
    const right = x - box.left + 18;
    const overflows = right + this.#card.offsetWidth > box.width;
    this.#card.style.left = `${Math.max(0, overflows ? x - box.left - this.#card.offsetWidth - 18 : right)}px`;
    this.#card.style.top = `${y - box.top + 14}px`;
  }

  #hideCard(): void {
    this.#card.hidden = true;
  }
}

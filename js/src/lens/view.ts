// The lens widget: bar, map, card, pins and their chart, all derived from the model.

import { element, keepingFocus, Listeners } from "../lib/dom";
import { type Answered, Kernel } from "../lib/kernel";
import { follow, type Model, tell } from "../lib/model";
import { Pressed } from "../lib/pressed";
import { seriesPin } from "../lib/ramp";
import { csv, download } from "../lib/save";
import { empty, failed, loading } from "../lib/states";
import { drawingOf } from "../lib/exports";
import { themeOf, watchTheme } from "../lib/theme";
import { type Asked, type Told, TokenField } from "./asking";
import { bar, exportsOf } from "./bar";
import { fillCard, spoken } from "./card";
import { type Header, LensData } from "./data";
import { Gestures } from "./gestures";
import { type Cell, Grid, HEAD, ROW, type Window } from "./grid";
import { Keyboard } from "./keyboard";
import { draw } from "./map";
import { type Mode, modeOf } from "./modes";
import { MOST_CELLS, picture, rows } from "./picture";
import { type Pin, pinChip, toggled, trackedChip } from "./pins";
import { type Progress, progressStrip } from "./progress";
import { chart, type Pinned } from "./trajectory";

export interface LensTraits extends Answered {
  header: Header | Record<string, never>;
  payload: DataView;
  mode: string;
  /** The site of the cursor. */
  site: string;
  shown: string[];
  pins: Pin[];
  /** Layer and position. */
  cursor: number[];
  zoom: Window | Record<string, never>;
  /** Sites that could be decoded too. */
  offered: string[];
  asked: Asked;
  told: Told;
  progress: Progress;
  cancelled: boolean;
}

const MAX_HEIGHT = 440;
let views = 0;

export class LensView {
  readonly #listeners = new Listeners();
  readonly #canvas = element("canvas", { class: "iw-map", "aria-hidden": "true" });
  readonly #active = element("div", { role: "gridcell", id: `iw-lens-cell-${++views}` });
  readonly #line = element("div", { role: "row", class: "iw-unseen" }, this.#active);
  readonly #table = element("div", { class: "iw-grid", role: "grid", tabindex: 0 }, this.#canvas, this.#line);
  readonly #scroll = element("div", { class: "iw-scroll" });
  readonly #spacer = element("div");
  readonly #card = element("div", { class: "iw-card", hidden: true });
  readonly #live = element("div", { class: "iw-live", "aria-live": "polite" });
  readonly #choices = element("div", { class: "iw-together" });
  readonly #asking = element("div", { class: "iw-together" });
  readonly #exports = element("div", { class: "iw-exports" });
  readonly #bar = element("div", { class: "iw-bar-top" }, this.#choices, this.#asking, this.#exports);
  readonly #chips = element("div", { class: "iw-chips" });
  readonly #progress = element("div");
  readonly #chart = element("div", { class: "iw-chart-box" });
  readonly #field = new TokenField((track) => this.#ask({ track }));
  #data: LensData | undefined;
  #loaded: readonly [unknown, unknown] | undefined;
  #grid!: Grid;
  #cursor: Cell | undefined;
  readonly #gestures: Gestures;
  readonly #keyboard: Keyboard;
  readonly #kernel: Kernel;
  #frame = 0;

  constructor(
    private readonly model: Model<LensTraits>,
    private readonly root: HTMLElement,
  ) {
    root.classList.add("iw", "iw-lens");
    this.#scroll.append(this.#table, this.#spacer);
    this.#gestures = new Gestures(this.#canvas, (event) => this.#under(event), {
      hover: (cell, event) => {
        this.#moveTo(cell);
        this.#showCard(event.clientX, event.clientY);
      },
      leave: () => this.#hideCard(),
      brush: () => this.#paintSoon(),
      choose: (cell) => {
        this.#moveTo(cell);
        this.#toggle(cell);
      },
      zoom: (from, to) => this.#zoom(from, to),
      whole: () => this.#whole(),
    });
    this.#keyboard = new Keyboard(this.#table, () => this.#place(), {
      move: (cell) => {
        this.#moveTo(cell);
        this.#reveal(cell);
      },
      choose: (cell) => this.#toggle(cell),
      zoom: (from, to) => this.#zoom(from, to),
      whole: () => this.#whole(),
      clear: () => {
        this.#set("pins", []);
        this.#hideCard();
      },
      brush: () => this.#paintSoon(),
    });
    this.#kernel = new Kernel(model, () => this.#data && this.#renderBar(this.#data));
    this.#listeners.add(this.#kernel.stop);
    this.#listen();
    this.#load();
  }

  destroy(): void {
    cancelAnimationFrame(this.#frame);
    this.#listeners.removeAll();
    this.root.replaceChildren();
  }

  #load(): void {
    const header = this.model.get("header");
    const payload = this.model.get("payload");
    // Both come at once, and are told of one after the other.
    if (this.#data && this.#loaded?.[0] === header && this.#loaded[1] === payload) return;
    this.#loaded = [header, payload];
    this.#data = undefined;
    if (!("layers" in header)) {
      this.root.replaceChildren(this.#progress, loading("Nothing is decoded yet."));
      this.#renderProgress();
      return;
    }
    try {
      this.#data = new LensData(header as Header, payload);
    } catch (error) {
      this.root.replaceChildren(failed(error));
      return;
    }
    if (this.#data.rows === 0 || this.#data.columns === 0) {
      this.root.replaceChildren(empty("There is nothing to show: no position was decoded."));
      return;
    }
    const parts = [this.#progress, this.#bar, this.#scroll, this.#chips, this.#chart, this.#card, this.#live];
    if (this.root.firstChild !== this.#progress || !this.#bar.isConnected) this.root.replaceChildren(...parts);
    // Off the page nothing has a size yet; the observer renders when it has.
    if (this.root.isConnected) this.#render();
  }

  #listen(): void {
    const on = this.#listeners;
    this.#gestures.listen(on);
    this.#keyboard.listen(on);
    on.on(this.#table, "blur", () => this.#hideCard());
    on.on(this.#scroll, "scroll", () => this.#paintSoon());
    on.add(watchTheme(() => this.#render()));
    const observer = new ResizeObserver(() => this.#render());
    observer.observe(this.root);
    on.add(() => observer.disconnect());
    on.add(follow(this.model, ["mode", "site", "shown", "pins", "zoom", "live", "offered"], () => this.#render()));
    const { after } = new Pressed(this.root, on);
    const load = (): void => this.#load();
    const progress = (): void => this.#renderProgress();
    on.add(follow(this.model, ["payload", "header"], () => after(load)));
    on.add(follow(this.model, ["progress"], () => after(progress)));
    on.add(follow(this.model, ["cancelled"], progress));
    on.add(follow(this.model, ["asked", "told"], () => this.#field.tell(this.model.get("asked"), this.model.get("told"))));
    on.add(
      follow(this.model, ["cursor"], () => {
        this.#readCursor();
        this.#paintSoon();
      }),
    );
  }

  get #width(): number {
    return Math.max(280, this.root.clientWidth || 760);
  }

  get #viewHeight(): number {
    return Math.min(MAX_HEIGHT, this.#grid.height);
  }

  get #mode(): Mode {
    return modeOf(this.model.get("mode"), this.#grid.data);
  }

  /** Sites that are shown: those of the model that are there, or the first. */
  #sites(data: LensData): number[] {
    const wanted = this.model.get("shown");
    const found = data.header.sites.flatMap((site, index) => (wanted.includes(site) ? [index] : []));
    return found.length ? found : [0];
  }

  #pinned(): Pinned[] {
    const { header } = this.#grid.data;
    const { dark } = themeOf(this.root);
    return this.model.get("pins").flatMap((pin, i) => {
      const row = header.positions.indexOf(pin.position);
      const site = header.sites.indexOf(pin.site);
      return row < 0 || site < 0 ? [] : [{ id: pin.token_id, row, site, colour: seriesPin(i, dark) }];
    });
  }

  #render(): void {
    this.#renderProgress();
    if (!this.#data) return;
    const zoom = this.model.get("zoom");
    const before: Grid | undefined = this.#grid;
    this.#grid = new Grid(this.#data, this.#sites(this.#data), "layers" in zoom ? (zoom as Window) : undefined);
    if (before && (before.lines !== this.#grid.lines || before.columns !== this.#grid.columns)) this.#keyboard.forget();
    this.#readCursor();
    this.#spacer.style.height = `${this.#grid.height - this.#viewHeight}px`;
    this.#scroll.style.maxHeight = `${MAX_HEIGHT}px`;
    this.#table.setAttribute("aria-rowcount", String(this.#grid.lines));
    this.#table.setAttribute("aria-colcount", String(this.#grid.columns));
    const help = "arrow keys move, Enter pins, with Shift they draw a rectangle that Enter zooms into, Escape clears, 0 shows everything";
    this.#table.setAttribute("aria-label", `Lens of ${this.#data.header.title}; ${help}`);
    this.#renderBar(this.#data);
    this.#renderPins(this.#data);
    this.#paint();
  }

  #renderProgress(): void {
    const progress = this.model.get("progress");
    const cancel = (): void => tell(this.model, "cancelled", true);
    const strip = progress.state ? [progressStrip(progress, this.model.get("cancelled"), cancel)] : [];
    keepingFocus(this.#progress, () => this.#progress.replaceChildren(...strip));
  }

  /** Paint in the next frame, once, however many events ask for it. */
  #paintSoon(): void {
    cancelAnimationFrame(this.#frame);
    this.#frame = requestAnimationFrame(() => this.#paint());
  }

  #paint(): void {
    if (!this.#data) return;
    const { header } = this.#data;
    const { dark } = themeOf(this.root);
    const pins = this.model.get("pins").flatMap((pin, i) => {
      const row = header.positions.indexOf(pin.position);
      const place = { row, column: header.layers.indexOf(pin.layer), site: header.sites.indexOf(pin.site) };
      const cell = this.#grid.cell(place);
      return cell ? [{ cell, colour: seriesPin(i, dark) }] : [];
    });
    const brush = this.#gestures.brush ?? this.#keyboard.brush;
    const scene = { grid: this.#grid, mode: this.#mode, theme: themeOf(this.root), cursor: this.#cursor, pins, brush };
    draw(this.#canvas, scene, this.#width, this.#viewHeight, this.#scroll.scrollTop);
    this.root.dataset.drawn = "true";
  }

  #renderBar(data: LensData): void {
    const zoomed = "layers" in this.model.get("zoom");
    const shown = this.#grid.sites.map((site) => data.header.sites[site]);
    const state = { data, mode: this.#mode, theme: themeOf(this.root), shown, offered: this.#kernel.answers ? this.model.get("offered") : [], zoomed };
    const acts = {
      colour: (mode: string): void => this.#set("mode", mode),
      show: (sites: readonly string[]): void => this.#show(data, sites),
      whole: (): void => this.#whole(),
      save: (kind: "PNG" | "SVG" | "CSV"): void => this.#save(kind),
    };
    keepingFocus(this.#choices, () => this.#choices.replaceChildren(...bar(state, acts)));
    if (!this.#exports.firstChild) this.#exports.append(...exportsOf(acts));
    // The field stays where it is, so that nobody loses what they type.
    const asking = this.#kernel.answers ? [this.#field.input, this.#field.said] : [];
    if (asking.length !== this.#asking.childElementCount) this.#asking.replaceChildren(...asking);
  }

  #show(data: LensData, sites: readonly string[]): void {
    const missing = sites.find((site) => !data.header.sites.includes(site));
    this.#set("shown", [...sites]);
    if (missing) this.#ask({ site: missing });
  }

  #ask(question: { track?: string; site?: string }): void {
    const asked = { id: this.model.get("asked").id + 1, ...question };
    tell(this.model, "asked", asked);
    this.#field.tell(asked, this.model.get("told"));
  }

  #save(kind: "PNG" | "SVG" | "CSV"): void {
    const theme = themeOf(this.root);
    if (kind === "PNG") this.#canvas.toBlob((blob) => blob && download("lens.png", blob));
    else if (kind === "CSV") download("lens.csv", new Blob([csv(rows(this.#grid))], { type: "text/csv" }));
    else if (this.#grid.lines * this.#grid.columns > MOST_CELLS) {
      this.#field.said.textContent = "too many cells for a drawing; zoom in first";
    } else download("lens.svg", new Blob([drawingOf([picture(this.#grid, this.#mode, theme)], this.root)], { type: "image/svg+xml" }));
  }

  #renderPins(data: LensData): void {
    const pinned = this.#pinned();
    const line = this.#cursor ?? { line: this.#grid.lines - 1, column: 0 };
    const end = { ...this.#grid.place(line), column: data.columns - 1 };
    this.#chips.replaceChildren(
      ...pinned.map((pin, place) =>
        pinChip(data, pin, () => {
          this.#set("pins", this.model.get("pins").filter((_, i) => i !== place));
          this.#table.focus();
        }),
      ),
      ...data.header.tracked_ids.map((id) => trackedChip(data, id, end, () => this.#pin(id, { line: line.line, column: this.#grid.columns - 1 }))),
    );
    this.#chips.hidden = this.#chips.childElementCount === 0;
    this.#chart.replaceChildren(chart(this.#grid, this.#mode, pinned, themeOf(this.root), this.#width));
  }

  #place(): { cell: Cell; lines: number; columns: number; page: number } {
    const page = Math.max(1, Math.floor(this.#viewHeight / ROW) - 2);
    return { cell: this.#cursor ?? { line: 0, column: 0 }, lines: this.#grid.lines, columns: this.#grid.columns, page };
  }

  #zoom(from: Cell, to: Cell): void {
    this.#hideCard();
    this.#set("zoom", this.#grid.between(from, to));
  }

  #whole(): void {
    this.#hideCard();
    this.#set("zoom", {});
  }

  #reveal(cell: Cell): void {
    const y = cell.line * ROW;
    const room = this.#viewHeight - HEAD - ROW;
    if (y < this.#scroll.scrollTop) this.#scroll.scrollTop = y;
    else if (y > this.#scroll.scrollTop + room) this.#scroll.scrollTop = y - room;
    const box = this.#canvas.getBoundingClientRect();
    const width = this.#grid.columnWidth(this.#width);
    const x = box.left + this.#grid.label + (cell.column + 0.5) * width;
    this.#showCard(x, box.top + HEAD + y - this.#scroll.scrollTop + ROW / 2);
  }

  #moveTo(cell: Cell): void {
    if (cell.line === this.#cursor?.line && cell.column === this.#cursor?.column) return;
    this.#cursor = cell;
    const place = this.#grid.place(cell);
    const { header } = this.#grid.data;
    const said = spoken(this.#grid.data, place);
    this.#live.textContent = said;
    this.#active.textContent = said;
    this.#line.setAttribute("aria-rowindex", String(cell.line + 1));
    this.#active.setAttribute("aria-colindex", String(cell.column + 1));
    this.#table.setAttribute("aria-activedescendant", this.#active.id);
    this.model.set("site", header.sites[place.site]);
    this.#set("cursor", [header.layers[place.column], header.positions[place.row]]);
    this.#paintSoon();
  }

  #toggle(cell: Cell): void {
    this.#pin(this.#grid.data.topId(this.#grid.place(cell)), cell);
  }

  #pin(id: number, cell: Cell): void {
    const { header } = this.#grid.data;
    const at = this.#grid.place(cell);
    const pin = { site: header.sites[at.site], position: header.positions[at.row], layer: header.layers[at.column], token_id: id };
    this.#set("pins", toggled(this.model.get("pins"), pin));
  }

  #set<K extends keyof LensTraits>(trait: K, value: LensTraits[K]): void {
    this.model.set(trait, value);
    this.model.save_changes();
  }

  #under(event: MouseEvent): Cell | undefined {
    const box = this.#canvas.getBoundingClientRect();
    return this.#grid.under(event.clientX - box.left, event.clientY - box.top, this.#scroll.scrollTop, this.#width);
  }

  #readCursor(): void {
    if (!this.#data) return;
    const { header } = this.#data;
    const [layer, position] = this.model.get("cursor");
    const site = Math.max(0, header.sites.indexOf(this.model.get("site")));
    this.#cursor = this.#grid?.cell({ site, row: header.positions.indexOf(position), column: header.layers.indexOf(layer) });
  }

  #showCard(x: number, y: number): void {
    if (!this.#cursor) return;
    fillCard(this.#card, this.#grid.data, this.#grid.place(this.#cursor));
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

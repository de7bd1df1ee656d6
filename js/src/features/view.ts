// The feature table: search and filters above, rows, and below them what is open.

import { element, Listeners } from "../lib/dom";
import { follow, type Model } from "../lib/model";
import { csv, download } from "../lib/save";
import { empty, failed } from "../lib/states";
import { themeOf, watchTheme } from "../lib/theme";
import { type Column, FeatureData, type Header } from "./data";
import { densityFilter } from "./densities";
import { type Detail, detailPane } from "./detail";
import { promptStrip } from "./prompt";
import { Rows } from "./rows";
import { type Only, Selector } from "./select";

export interface FeatureTraits {
  header: Header;
  payload: DataView;
  /** The column that rows are sorted by, and whether the largest come first. */
  sort: [Column, boolean];
  query: string;
  only: Only;
  densities: [number, number];
  /** The open latent, -1 for none, and the page of its examples. */
  opened: number;
  page: number;
  /** The token of the prompt whose latents are shown, -1 for all. */
  token: number;
  /** What Python says of the open latent. */
  detail: Partial<Detail>;
  /** What a page without Python knows of latents; absent in a notebook. */
  details?: Readonly<Record<string, Detail>>;
}

const ONLY: readonly (readonly [Only, string])[] = [
  ["all", "all latents"],
  ["labelled", "labelled"],
  ["causal", "causal"],
  ["correlational", "correlational"],
  ["inconclusive", "inconclusive"],
];
const TYPING = 120;
const KEYS = { ArrowUp: "up", ArrowDown: "down", PageUp: "pageup", PageDown: "pagedown", Home: "home", End: "end" } as const;
/** Columns that are read from the least on. */
const RISING: readonly Column[] = ["latent", "label", "verdict"];

export class FeaturesView {
  readonly #listeners = new Listeners();
  readonly #bar = element("div", { class: "iw-bar-top" });
  readonly #prompt = element("div");
  readonly #table = element("div", { class: "iw-table" });
  readonly #detail = element("div");
  readonly #live = element("div", { class: "iw-live", "aria-live": "polite" });
  readonly #count = element("span", { class: "iw-hint" });
  readonly #search = element("input", { type: "search", placeholder: "token, label or number", "aria-label": "search in tokens and labels" });
  readonly #only = element("select", { "aria-label": "which latents" }, ...ONLY.map(([value, text]) => element("option", { value }, text)));
  readonly #densities = element("span");
  #data!: FeatureData;
  #selector!: Selector;
  #rows: Rows | undefined;
  #shown: Uint32Array = new Uint32Array();
  #asked = "";
  #setting = false;

  constructor(
    private readonly model: Model<FeatureTraits>,
    private readonly root: HTMLElement,
  ) {
    root.classList.add("iw", "iw-features");
    const on = this.#listeners;
    let typing: ReturnType<typeof setTimeout> | undefined;
    on.on(this.#search, "input", () => {
      clearTimeout(typing);
      typing = setTimeout(() => this.#set({ query: this.#search.value }), TYPING);
    });
    on.add(() => clearTimeout(typing));
    on.on(this.#only, "change", () => this.#set({ only: this.#only.value as Only }));
    on.on(this.#table, "keydown", (event) => this.#key(event));
    on.on(this.#detail, "keydown", (event) => event.key === "Escape" && this.#open(-1));
    on.add(watchTheme(() => this.#render()));
    on.add(follow(model, ["sort", "query", "only", "densities", "token", "opened"], () => this.#setting || this.#render()));
    on.add(follow(model, ["page", "detail"], () => this.#renderDetail()));
    on.add(follow(model, ["payload", "header"], () => this.#load()));
    on.add(() => this.#rows?.destroy());
    this.#load();
  }

  destroy(): void {
    this.#listeners.removeAll();
    this.root.replaceChildren();
  }

  #load(): void {
    try {
      this.#data = new FeatureData(this.model.get("header"), this.model.get("payload"));
      this.#selector = new Selector(this.#data);
    } catch (error) {
      this.root.replaceChildren(failed(error));
      return;
    }
    if (!this.#data.count) {
      this.root.replaceChildren(empty("There is nothing to show: the dictionary has no latents."));
      return;
    }
    this.#rows?.destroy();
    this.#rows = new Rows(this.#data, { sort: (column) => this.#sort(column), open: (latent) => this.#open(latent) });
    this.#table.replaceChildren(this.#rows.root);
    const name = element("div", { class: "iw-title", title: this.#data.header.title }, this.#data.header.model);
    this.#bar.replaceChildren(name, this.#search, this.#only, this.#count, this.#densities, this.#exports());
    this.root.replaceChildren(this.#bar, this.#prompt, this.#table, this.#detail, this.#live);
    this.#render();
  }

  #render(): void {
    if (!this.#rows) return;
    const get = <K extends keyof FeatureTraits>(name: K): FeatureTraits[K] => this.model.get(name);
    const token = get("token");
    const { prompt } = this.#data.header;
    if (document.activeElement !== this.#search) this.#search.value = get("query");
    this.#only.value = get("only");
    this.#densities.replaceChildren(densityFilter(this.#data, get("densities"), themeOf(this.root), (densities) => this.#set({ densities })));
    this.#prompt.replaceChildren(...(prompt ? [promptStrip(prompt, token, (chosen) => this.#choose(chosen))] : []));
    this.#shown = this.#selection();
    const of = this.#shown.length === this.#data.count ? "" : ` of ${this.#data.count.toLocaleString("en")}`;
    this.#count.textContent = `${this.#shown.length.toLocaleString("en")}${of} latents`;
    this.#rows.show(this.#shown, get("sort"), token < 0 ? null : this.#data.here(token), get("opened"));
    this.#renderDetail();
    this.root.dataset.drawn = "true";
  }

  /** The rows, found anew only when what they depend on has changed. */
  #selection(): Uint32Array {
    const wanted = {
      sort: this.model.get("sort"),
      query: this.model.get("query"),
      only: this.model.get("only"),
      densities: this.model.get("densities"),
      token: this.model.get("token"),
    };
    const asked = JSON.stringify(wanted);
    if (asked === this.#asked && this.#shown.length) return this.#shown;
    this.#asked = asked;
    return this.#selector.select(wanted);
  }

  #renderDetail(): void {
    const opened = this.model.get("opened");
    if (opened < 0 || opened >= this.#data.count) {
      this.#detail.replaceChildren();
      return;
    }
    const focused = (document.activeElement as HTMLElement | null)?.dataset?.turn;
    const offline = this.model.get("details");
    const told = offline ? offline[opened] : this.#told(opened);
    const missing = offline ? "The examples of this latent are not in this page." : "Python is asked for its examples; it answers when the cell that runs has ended.";
    const figures = { latent: opened, density: this.#data.density(opened), max: this.#data.max(opened), coherence: this.#data.coherence(opened) };
    this.#detail.replaceChildren(
      detailPane(figures, told && offline ? { ...told, pages: 1 } : told, missing, themeOf(this.root), {
        open: (latent) => this.#open(latent),
        turn: (page) => this.#set({ page }),
        close: () => this.#open(-1),
      }),
    );
    if (focused) this.#detail.querySelector<HTMLElement>(`[data-turn="${focused}"]`)?.focus();
  }

  /** What is known of the open latent; while another page of it is fetched, that which was there before. */
  #told(opened: number): Detail | undefined {
    const detail = this.model.get("detail") as Detail;
    if (detail.latent !== opened) return undefined;
    return detail.page === this.model.get("page") ? detail : { ...detail, note: "Python is asked for more examples" };
  }

  #sort(column: Column): void {
    const [sorted, descending] = this.model.get("sort");
    this.#set({ sort: [column, column === sorted ? !descending : !RISING.includes(column)] });
  }

  #choose(token: number): void {
    const [sorted] = this.model.get("sort");
    const sort: [Column, boolean][] = token >= 0 ? [["here", true]] : sorted === "here" ? [["density", true]] : [];
    this.#set({ token, ...(sort.length ? { sort: sort[0] } : {}) });
    this.root.querySelector<HTMLElement>(`[data-token="${token}"]`)?.focus();
  }

  #open(latent: number): void {
    const same = latent === this.model.get("opened");
    this.#set({ opened: same ? -1 : latent, page: 0 });
    this.#live.textContent = same || latent < 0 ? "closed" : `latent ${latent} is open`;
  }

  #key(event: KeyboardEvent): void {
    if (!this.#rows || event.target !== this.#rows.root) return;
    const to = KEYS[event.key as keyof typeof KEYS];
    if (to) {
      const latent = this.#rows.move(to);
      const words = this.#data.words("active", latent).slice(0, 3).join(" ");
      this.#live.textContent = `latent ${latent}, ${this.#data.label(latent) || words}`;
    } else if (event.key === "Enter" || event.key === " ") this.#open(this.#rows.active);
    else if (event.key === "Escape") this.#open(-1);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** Set some traits, and draw once. */
  #set(traits: Partial<FeatureTraits>): void {
    this.#setting = true;
    for (const [name, value] of Object.entries(traits)) this.model.set(name as keyof FeatureTraits, value as never);
    this.#setting = false;
    this.#render();
    this.model.save_changes();
  }

  #exports(): HTMLElement {
    const button = element("button", { type: "button", title: "Save the rows that are shown as CSV" }, "CSV");
    button.addEventListener("click", () => download("features.csv", new Blob([csv(this.#lines())], { type: "text/csv" })));
    return element("div", { class: "iw-exports" }, button);
  }

  #lines(): (string | number)[][] {
    const heads = ["latent", "density", "max", "coherence", "active_on", "promotes", "label", "verdict"];
    const rows = Array.from(this.#shown, (latent) => [
      latent,
      this.#data.density(latent),
      this.#data.max(latent),
      this.#data.coherence(latent),
      this.#data.words("active", latent).join(" "),
      this.#data.words("promoted", latent).join(" "),
      this.#data.label(latent),
      this.#data.verdict(latent),
    ]);
    return [heads, ...rows];
  }
}

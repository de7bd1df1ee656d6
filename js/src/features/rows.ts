// The rows of the table: only those in sight exist, and are taken up again as others come into it. All are equally tall, so
// which are in sight is a division.

import { element, svg } from "../lib/dom";
import type { Column, FeatureData } from "./data";

const TALL = 27;
/** The table is no taller. */
const MOST = 430;
const SPARE = 8;
const WORDS = 5;
const BAR = 3;
const SPARK = { width: 74, height: 17 };

interface Head {
  readonly name: Column | "activations" | "active on" | "promotes";
  readonly width: string;
  /** It is left out of tables that are narrower, in pixels. */
  readonly from: number;
  readonly title: string;
}

const HEADS: readonly Head[] = [
  { name: "latent", width: "58px", from: 0, title: "The latent's number" },
  { name: "here", width: "58px", from: 0, title: "Activation at the chosen token of the prompt" },
  { name: "density", width: "88px", from: 0, title: "Share of tokens where it is above 0; the bar is logarithmic, from 10⁻⁵ to 1" },
  { name: "activations", width: "84px", from: 560, title: "How often it is active how strongly: powers of two" },
  { name: "max", width: "56px", from: 560, title: "Its largest activation" },
  { name: "coherence", width: "72px", from: 860, title: "Mean cosine between the activations' directions where it is active: 1 when all look alike" },
  { name: "active on", width: "minmax(120px, 1.5fr)", from: 0, title: "The input tokens over which it adds up to most" },
  { name: "promotes", width: "minmax(120px, 1.3fr)", from: 760, title: "The tokens whose logits its decoder row raises most" },
  { name: "label", width: "minmax(80px, 1fr)", from: 560, title: "The latest label that was not rejected" },
  { name: "verdict", width: "104px", from: 0, title: "What its last test has shown" },
];
const SORTED: readonly string[] = ["latent", "here", "density", "max", "coherence", "label", "verdict"];

export interface Acts {
  readonly sort: (column: Column) => void;
  readonly open: (latent: number) => void;
}

interface Row {
  readonly root: HTMLElement;
  readonly cells: Readonly<Record<string, HTMLElement>>;
  readonly spark: SVGPathElement;
  place: number;
}

export class Rows {
  readonly root = element("div", { class: "iw-rows", role: "grid", tabindex: 0, "aria-label": "latents" });
  readonly #head = element("div", { class: "iw-row iw-head", role: "row" });
  readonly #body = element("div", { class: "iw-rows-body", role: "rowgroup" });
  readonly #observer = new ResizeObserver(() => this.#layOut());
  #heads: readonly Head[] = [];
  #sort: readonly [Column, boolean] = ["density", true];
  #rows: Row[] = [];
  #latents: Uint32Array = new Uint32Array();
  #here: Float32Array | null = null;
  #opened = -1;
  #active = 0;

  constructor(
    private readonly data: FeatureData,
    private readonly acts: Acts,
  ) {
    this.root.append(this.#head, this.#body);
    this.root.addEventListener("scroll", () => this.#draw(false), { passive: true });
    this.#observer.observe(this.root);
  }

  destroy(): void {
    this.#observer.disconnect();
  }

  /** The rows to show, `sort` and the column of the prompt's token with them. */
  show(latents: Uint32Array, sort: readonly [Column, boolean], here: Float32Array | null, opened: number): void {
    const moved = latents !== this.#latents;
    this.#latents = latents;
    this.#here = here;
    this.#opened = opened;
    const place = opened < 0 ? -1 : latents.indexOf(opened);
    if (place >= 0) this.#active = place;
    else if (moved) this.#active = 0;
    this.#sort = sort;
    this.root.setAttribute("aria-rowcount", String(latents.length + 1));
    this.#layOut();
    this.root.style.setProperty("--iw-tall", `${Math.min(MOST, TALL * Math.max(2, latents.length + 1) + 4)}px`);
    this.#body.style.height = `${TALL * latents.length}px`;
    if (place >= 0) this.#reveal(place);
    else if (moved) this.root.scrollTop = 0;
    this.#draw(true);
  }

  /** Let keys act on another row; its latent. */
  move(to: "up" | "down" | "pageup" | "pagedown" | "home" | "end"): number {
    const page = Math.max(1, Math.floor(this.root.clientHeight / TALL) - 2);
    const last = this.#latents.length - 1;
    const step = { up: -1, down: 1, pageup: -page, pagedown: page, home: -last, end: last }[to];
    this.#active = Math.max(0, Math.min(last, this.#active + step));
    this.#reveal(this.#active);
    this.#draw(true);
    return this.#latents[this.#active];
  }

  /** The latent that keys act on, -1 where there is none. */
  get active(): number {
    return this.#latents[this.#active] ?? -1;
  }

  /** The columns that there is room and matter for; where they change, rows are made anew. */
  #layOut(): void {
    const width = this.root.clientWidth || 1000;
    const { labels, verdicts } = this.data.header;
    const empty = {
      here: this.#here === null,
      promotes: !this.data.writes,
      label: !Object.keys(labels).length,
      verdict: !Object.keys(verdicts).length,
    } as Readonly<Record<string, boolean>>;
    const heads = HEADS.filter(({ name, from }) => width >= from && !empty[name]);
    if (heads.map(({ name }) => name).join() !== this.#heads.map(({ name }) => name).join()) {
      this.#heads = heads;
      this.root.style.setProperty("--iw-columns", heads.map((head) => head.width).join(" "));
      for (const row of this.#rows) row.root.remove();
      this.#rows = [];
    }
    this.#drawHeads();
    this.#draw(false);
  }

  #drawHeads(): void {
    const [sorted, descending] = this.#sort;
    const heads = this.#heads.map(({ name, title }) => {
      const state = name === sorted ? (descending ? "descending" : "ascending") : "none";
      const cell = element("div", { class: cellClass(name), role: "columnheader", title, "aria-sort": SORTED.includes(name) ? state : undefined });
      if (!SORTED.includes(name)) {
        cell.append(name);
        return cell;
      }
      const mark = name === sorted ? (descending ? " ↓" : " ↑") : "";
      const button = element("button", { type: "button", "data-column": name }, `${name}${mark}`);
      button.addEventListener("click", () => this.acts.sort(name as Column));
      cell.append(button);
      return cell;
    });
    const focused = (document.activeElement as HTMLElement | null)?.dataset?.column;
    this.#head.replaceChildren(...heads);
    if (focused) this.#head.querySelector<HTMLElement>(`[data-column="${focused}"]`)?.focus();
  }

  /** Scroll no further than a row needs to be seen below the head. */
  #reveal(place: number): void {
    const above = place * TALL;
    const below = above + 2 * TALL - this.root.clientHeight;
    this.root.scrollTop = Math.min(above, Math.max(below, this.root.scrollTop));
  }

  #draw(anew: boolean): void {
    const first = Math.max(0, Math.floor(this.root.scrollTop / TALL) - SPARE);
    // A cell that a notebook has taken out of sight has no height, and is not told when it comes back.
    const tall = this.root.clientHeight || MOST;
    const last = Math.min(this.#latents.length, Math.ceil((this.root.scrollTop + tall) / TALL) + SPARE);
    const inside = (row: Row): boolean => row.place >= first && row.place < last;
    const free = this.#rows.filter((row) => !inside(row));
    const there = new Map(this.#rows.filter(inside).map((row) => [row.place, row]));
    for (let place = first; place < last; place++) {
      const row = there.get(place) ?? free.pop() ?? this.#row();
      if (anew || row.place !== place) this.#fill(row, place);
    }
    for (const row of free) row.root.remove();
    this.#rows = this.#rows.filter((row) => !free.includes(row));
  }

  #row(): Row {
    const root = element("div", { class: "iw-row", role: "row" });
    const cells: Record<string, HTMLElement> = {};
    for (const { name } of HEADS) cells[name] = element("div", { class: cellClass(name), role: "gridcell" });
    root.append(...this.#heads.map(({ name }) => cells[name]));
    const spark = svg("path", {});
    const picture = svg("svg", { width: SPARK.width, height: SPARK.height, class: "iw-spark", "aria-hidden": "true" }, spark);
    cells.activations.append(picture);
    const row = { root, cells, spark, place: -1 };
    root.addEventListener("click", () => this.acts.open(this.#latents[row.place]));
    this.#body.append(root);
    this.#rows.push(row);
    return row;
  }

  #fill(row: Row, place: number): void {
    const { data } = this;
    const latent = this.#latents[place];
    row.place = place;
    row.root.style.transform = `translateY(${place * TALL}px)`;
    row.root.setAttribute("aria-rowindex", String(place + 2));
    row.root.setAttribute("aria-selected", String(latent === this.#opened));
    row.root.classList.toggle("iw-active", place === this.#active);
    row.cells.latent.textContent = String(latent);
    row.cells.here.textContent = this.#here ? short(this.#here[latent]) : "";
    row.cells.density.textContent = share(data.density(latent));
    row.cells.density.style.setProperty("--iw-share", `${100 * Math.max(0, 1 + Math.log10(data.density(latent) || 1e-9) / 5)}%`);
    row.cells.max.textContent = short(data.max(latent));
    row.cells.coherence.textContent = Number.isNaN(data.coherence(latent)) ? "–" : data.coherence(latent).toFixed(2);
    row.spark.setAttribute("d", spark(data, latent));
    words(row.cells["active on"], data.words("active", latent));
    words(row.cells.promotes, data.words("promoted", latent));
    row.cells.label.textContent = data.label(latent);
    row.cells.label.title = data.label(latent);
    row.cells.verdict.textContent = data.verdict(latent);
    row.cells.verdict.dataset.verdict = data.verdict(latent);
  }
}

function cellClass(name: string): string {
  return `iw-cell iw-is-${name.replace(" ", "-")}`;
}

function words(cell: HTMLElement, found: readonly string[]): void {
  while (cell.children.length < Math.min(WORDS, found.length)) cell.append(element("span", { class: "iw-token" }));
  while (cell.children.length > found.length) cell.lastElementChild?.remove();
  for (let place = 0; place < cell.children.length; place++) cell.children[place].textContent = found[place];
}

function spark(data: FeatureData, latent: number): string {
  let path = "";
  for (let bin = 0; bin < data.bins; bin++) {
    const tall = Math.ceil(data.share(latent, bin) * SPARK.height);
    if (tall) path += `M${bin * BAR} ${SPARK.height}v-${tall}h${BAR - 1}v${tall}z`;
  }
  return path;
}

/** A share as a percentage with two digits that count. */
export function share(value: number): string {
  if (!value) return "0";
  const percent = 100 * value;
  return percent >= 0.01 ? `${Number(percent.toPrecision(2))} %` : `${percent.toExponential(0).replace("-", "−")} %`;
}

/** A number with three digits that count. */
export function short(value: number): string {
  return String(Number(value.toPrecision(3))).replace("-", "−");
}

// The attribution widget: bars, heads, and the attention pattern of the head that is chosen.

import { element, Listeners } from "../lib/dom";
import { exportButtons } from "../lib/exports";
import { type Answered, Kernel } from "../lib/kernel";
import { moved } from "../lib/keys";
import { follow, type Model, tell } from "../lib/model";
import { failed } from "../lib/states";
import { short, visible } from "../lib/text";
import { themeOf, watchTheme } from "../lib/theme";
import { bars, colours } from "./bars";
import { type Head, type Header, logits, Pattern, type PatternHeader } from "./data";
import { heads } from "./heads";
import { patternView } from "./pattern";

export interface AttributionTraits extends Answered {
  header: Header;
  /** The head whose pattern is shown. */
  chosen: Head | Record<string, never>;
  pattern: PatternHeader | Record<string, never>;
  weights: DataView;
  trouble: string;
}

let views = 0;

export class AttributionView {
  readonly #listeners = new Listeners();
  readonly #bar = element("div", { class: "iw-bar-top" });
  readonly #bars = element("div");
  readonly #active = element("div", { role: "gridcell", id: `iw-attribution-cell-${++views}` });
  readonly #row = element("div", { role: "row", class: "iw-unseen" }, this.#active);
  readonly #drawing = element("div");
  readonly #grid = element("div", { class: "iw-grid", role: "grid", tabindex: 0 }, this.#drawing, this.#row);
  readonly #below = element("div", { class: "iw-below" });
  readonly #kernel: Kernel;
  #cursor: Head | undefined;

  constructor(
    private readonly model: Model<AttributionTraits>,
    private readonly root: HTMLElement,
  ) {
    root.classList.add("iw", "iw-attribution");
    root.replaceChildren(this.#bar, this.#bars, this.#grid, this.#below);
    const on = this.#listeners;
    on.on(this.#grid, "keydown", (event) => this.#key(event));
    on.on(this.#grid, "click", (event) => this.#click(event));
    on.add(watchTheme(() => this.#render()));
    const observer = new ResizeObserver(() => this.#render());
    observer.observe(root);
    on.add(() => observer.disconnect());
    on.add(follow(model, ["header", "chosen", "live"], () => this.#render()));
    on.add(follow(model, ["pattern", "weights", "trouble"], () => this.#renderBelow()));
    this.#kernel = new Kernel(model, () => this.#renderBelow());
    on.add(this.#kernel.stop);
    this.#render();
  }

  destroy(): void {
    this.#listeners.removeAll();
    this.root.replaceChildren();
  }

  get #width(): number {
    return Math.max(280, this.root.clientWidth || 760);
  }

  #render(): void {
    const header = this.model.get("header");
    const theme = themeOf(this.root);
    const chosen = this.model.get("chosen");
    this.#cursor = "layer" in chosen ? (chosen as Head) : this.#cursor;
    this.#bars.replaceChildren(bars(header, theme, this.#width));
    this.#grid.hidden = header.heads.length === 0;
    this.#grid.setAttribute("aria-rowcount", String(header.heads[0]?.length ?? 0));
    this.#grid.setAttribute("aria-colcount", String(header.heads.length));
    this.#grid.setAttribute("aria-label", "What each head adds; arrow keys move, Enter shows what a head attends to");
    this.#drawHeads();
    this.#renderBar(header);
    this.#renderBelow();
    this.root.dataset.drawn = "true";
  }

  #drawHeads(): void {
    this.#drawing.replaceChildren(heads(this.model.get("header"), this.#cursor, themeOf(this.root), this.#width));
  }

  #renderBar(header: Header): void {
    const [attn, mlp] = colours(themeOf(this.root));
    const said = element("span", {}, element("span", { class: "iw-token" }, visible(header.target)), " over ", element("span", { class: "iw-token" }, visible(header.foil)), `: ${logits(header.total)} logits`);
    const key = (name: string, colour: string): HTMLElement => {
      const made = element("span", { class: "iw-key" }, element("i"), name);
      made.style.setProperty("--iw-colour", colour);
      return made;
    };
    const rows = (): (string | number)[][] => [
      ["part", "layer", "head", "logits"],
      ["embed", "", "", header.embed],
      ...header.attn.map((value, layer) => ["attn", layer, "", value]),
      ...header.mlp.map((value, layer) => ["mlp", layer, "", value]),
      ...header.heads.flatMap((values, layer) => values.map((value, head) => ["head", layer, head, value])),
      ["constant", "", "", header.constant],
    ];
    const pictures = (): SVGSVGElement[] => [...this.root.querySelectorAll<SVGSVGElement>("svg")];
    const title = element("div", { class: "iw-title", title: header.model }, said);
    this.#bar.replaceChildren(title, key("attention", attn), key("MLP", mlp), exportButtons({ name: "attribution", root: this.root, pictures, rows }));
  }

  #renderBelow(): void {
    const chosen = this.model.get("chosen");
    if (!("layer" in chosen)) {
      const hint = this.#kernel.answers ? "Choose a head to see what it attends to." : "";
      this.#below.replaceChildren(element("div", { class: "iw-hint" }, hint));
      return;
    }
    const header = this.model.get("pattern");
    if (this.model.get("trouble")) this.#below.replaceChildren(element("div", { class: "iw-hint iw-failed", role: "alert" }, this.model.get("trouble")));
    else if ("layout" in header && header.layer === chosen.layer && header.head === chosen.head) this.#showPattern(header as PatternHeader);
    else this.#below.replaceChildren(element("div", { class: "iw-hint", role: "status" }, this.#kernel.answers ? "reading its attention…" : "its attention is not in this page"));
  }

  #showPattern(header: PatternHeader): void {
    try {
      const pattern = new Pattern(header, header, this.model.get("weights"));
      this.#below.replaceChildren(patternView(pattern, this.model.get("header").tokens, themeOf(this.root)));
    } catch (error) {
      this.#below.replaceChildren(failed(error));
    }
  }

  #click(event: MouseEvent): void {
    const name = (event.target as Element | null)?.getAttribute("data-head");
    if (!name) return;
    const [layer, head] = name.split(".").map(Number);
    this.#choose({ layer, head });
  }

  #key(event: KeyboardEvent): void {
    const { heads: values } = this.model.get("header");
    const at = this.#cursor ?? { layer: 0, head: 0 };
    if (event.key === "Enter" || event.key === " ") this.#choose(at);
    else {
      const next = moved(event.key, { row: at.head, column: at.layer }, values[0].length, values.length, 8);
      if (!next) return;
      this.#cursor = { layer: next.column, head: next.row };
      const value = values[next.column][next.row];
      this.#active.textContent = `layer ${next.column}, head ${next.row}: ${logits(value)} logits for ${short(this.model.get("header").target, 20)}`;
      this.#row.setAttribute("aria-rowindex", String(next.row + 1));
      this.#active.setAttribute("aria-colindex", String(next.column + 1));
      this.#grid.setAttribute("aria-activedescendant", this.#active.id);
      this.#drawHeads();
    }
    event.preventDefault();
    event.stopPropagation();
  }

  #choose(head: Head): void {
    this.#cursor = head;
    tell(this.model, "trouble", "");
    // Chosen anew, the same head is asked for again.
    tell(this.model, "chosen", {});
    tell(this.model, "chosen", head);
  }
}

// The comparison widget: a chart for each group, a table of what each way reaches within the budget.

import { element, Listeners } from "../lib/dom";
import { exportButtons } from "../lib/exports";
import type { Model } from "../lib/model";
import { seriesColour, seriesDash } from "../lib/ramp";
import { empty } from "../lib/states";
import { type Theme, themeOf, watchTheme } from "../lib/theme";
import { chart } from "./chart";
import { curve, type Header, type Way } from "./data";

export interface CompareTraits {
  header: Header;
  /** The way that stands out, "" for none. */
  way: string;
}

const GAP = 14;
const LEAST = 300;

export class CompareView {
  readonly #listeners = new Listeners();
  readonly #bar = element("div", { class: "iw-bar-top" });
  readonly #charts = element("div", { class: "iw-groups" });
  readonly #table = element("div", { class: "iw-reached" });

  constructor(
    private readonly model: Model<CompareTraits>,
    private readonly root: HTMLElement,
  ) {
    root.classList.add("iw", "iw-compare");
    const observer = new ResizeObserver(() => this.#render());
    observer.observe(root);
    this.#listeners.add(() => observer.disconnect());
    this.#listeners.add(watchTheme(() => this.#render()));
    for (const trait of ["header", "way"] as const) {
      const handle = (): void => this.#render();
      model.on(`change:${trait}`, handle);
      this.#listeners.add(() => model.off(`change:${trait}`, handle));
    }
    if (root.isConnected) this.#render();
  }

  destroy(): void {
    this.#listeners.removeAll();
    this.root.replaceChildren();
  }

  #render(): void {
    const header = this.model.get("header");
    if (!header.ways.length || !header.groups.length) {
      this.root.replaceChildren(empty("There is nothing to show: no way was compared."));
      return;
    }
    if (this.#table.parentElement !== this.root) this.root.replaceChildren(this.#bar, this.#charts, this.#table);
    const theme = themeOf(this.root);
    const width = Math.max(LEAST, this.root.clientWidth || 860);
    const columns = Math.max(1, Math.min(header.groups.length, Math.floor((width + GAP) / (LEAST + GAP))));
    const each = Math.floor((width - GAP * (columns - 1)) / columns);
    const focused = this.#focused();
    const named = this.model.get("way");
    const chosen = header.ways.some((way) => way.name === named) ? named : "";
    this.#charts.replaceChildren(...header.groups.map((_, group) => chart(header, group, chosen, theme, each)));
    this.#bar.replaceChildren(
      element("div", { class: "iw-title", title: header.title }, header.model),
      element("div", { class: "iw-hint" }, `${header.title}. Thin: negative strengths. Rings and table: within a KL of ${Number(header.budget.toPrecision(3))}.`),
      exportButtons({ name: "comparison", root: this.root, pictures: () => [...this.#charts.querySelectorAll("svg")], rows: () => rows(header) }),
    );
    this.#table.replaceChildren(this.#reached(header, theme));
    if (focused >= 0) this.#table.querySelectorAll("button")[focused]?.focus();
    this.root.dataset.drawn = "true";
  }

  #focused(): number {
    return [...this.#table.querySelectorAll("button")].indexOf(document.activeElement as HTMLButtonElement);
  }

  #reached(header: Header, theme: Theme): HTMLElement {
    const heads = ["way", "strength", "perplexity", ...header.groups.flatMap((group) => [group.name, "kept"]), "texts read", "tokens added"];
    const head = element("tr", {}, ...heads.map((text) => element("th", { scope: "col" }, text)));
    const body = header.ways.map((way, place) => this.#row(way, seriesColour(place, theme.dark), seriesDash(place)));
    return element("table", {}, element("thead", {}, head), element("tbody", {}, ...body));
  }

  #row(way: Way, colour: string, dash: string): HTMLElement {
    const chosen = this.model.get("way") === way.name;
    const button = element("button", { type: "button", "aria-pressed": String(chosen), title: "Let this way stand out" }, way.name);
    button.style.setProperty("--iw-way", colour);
    if (!way.gradual) button.classList.add("iw-single");
    else if (dash) button.classList.add("iw-dashed");
    button.addEventListener("click", () => {
      this.model.set("way", chosen ? "" : way.name);
      this.model.save_changes();
    });
    const groups = way.at.effects.flatMap((effect, group) => [signed(effect), `${(100 * way.kept[group]).toFixed(0)} %`]);
    const shown = [way.at.strength.toFixed(2), `× ${way.at.perplexity.toFixed(2)}`, ...groups, String(way.texts), String(way.added)];
    return element("tr", {}, element("th", { scope: "row" }, button), ...shown.map((text) => element("td", {}, text)));
  }
}

function rows(header: Header): (string | number)[][] {
  const made: (string | number)[][] = [["way", "strength", "group", "effect", "kl", "perplexity"]];
  for (const way of header.ways) {
    for (const point of curve(way, header.groups.length)) {
      header.groups.forEach(({ name }, group) =>
        made.push([way.name, point.strength, name, point.effects[group], point.kl, point.perplexity]),
      );
    }
  }
  return made;
}

function signed(value: number): string {
  return `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(2)}`;
}

// Trainings side by side, while they go on and afterwards: their course, what they reach, what was asked of each.

import { choiceButtons } from "../lib/choice";
import { element, keepingFocus, Listeners } from "../lib/dom";
import { exportButtons } from "../lib/exports";
import { follow, type Model } from "../lib/model";
import { Pressed } from "../lib/pressed";
import { seriesColour, seriesDash } from "../lib/ramp";
import { empty } from "../lib/states";
import { type Theme, themeOf, watchTheme } from "../lib/theme";
import { course, exchange, tokens } from "./charts";
import { type Header, last, type Metric, METRICS, type Run } from "./data";

export interface SweepTraits {
  header: Header;
  /** What is drawn over tokens. */
  metric: Metric;
  /** The run that stands out, "" for none. */
  run: string;
}

const GAP = 16;
const LEAST = 640;

export class SweepView {
  readonly #listeners = new Listeners();
  readonly #bar = element("div", { class: "iw-bar-top" });
  readonly #charts = element("div", { class: "iw-pairs" });
  readonly #table = element("div", { class: "iw-reached" });

  constructor(
    private readonly model: Model<SweepTraits>,
    private readonly root: HTMLElement,
  ) {
    root.classList.add("iw", "iw-sweep");
    const observer = new ResizeObserver(() => this.#render());
    observer.observe(root);
    this.#listeners.add(() => observer.disconnect());
    this.#listeners.add(watchTheme(() => this.#render()));
    const { after } = new Pressed(root, this.#listeners);
    const render = (): void => this.#render();
    this.#listeners.add(follow(model, ["header"], () => after(render)));
    this.#listeners.add(follow(model, ["metric", "run"], render));
    this.#render();
  }

  destroy(): void {
    this.#listeners.removeAll();
    this.root.replaceChildren();
  }

  #render(): void {
    const header = this.model.get("header");
    if (!header.runs.length) {
      this.root.replaceChildren(empty("There is nothing to show: nothing was trained."));
      return;
    }
    if (this.#bar.parentElement !== this.root) this.root.replaceChildren(this.#bar, this.#charts, this.#table);
    const theme = themeOf(this.root);
    const width = Math.max(320, this.root.clientWidth || 860);
    const several = header.runs.length > 1;
    const each = width < LEAST ? width : several ? Math.floor((width - GAP) / 2) : Math.min(width, LEAST);
    const named = this.model.get("run");
    const chosen = header.runs.some((run) => run.name === named) ? named : "";
    const beside = several ? [exchange(header, chosen, theme, each)] : [];
    this.#charts.replaceChildren(course(header, this.model.get("metric"), chosen, theme, each), ...beside);
    keepingFocus(this.#bar, () => this.#bar.replaceChildren(...this.#buttons(header)));
    keepingFocus(this.#table, () => this.#table.replaceChildren(this.#runs(header, chosen, theme)));
    this.root.dataset.drawn = "true";
  }

  #buttons(header: Header): HTMLElement[] {
    return [
      element("div", { class: "iw-title", title: header.title }, header.title),
      choiceButtons("what is drawn", METRICS, this.model.get("metric"), (metric) => this.#set("metric", metric)),
      element("div", { class: "iw-hint", role: "status" }, progress(header)),
      exportButtons({ name: "training", root: this.root, pictures: () => [...this.#charts.querySelectorAll("svg")], rows: () => rows(header) }),
    ];
  }

  #runs(header: Header, chosen: string, theme: Theme): HTMLElement {
    const heads = ["dictionary", ...header.heads, "FVU", "L0", "dead"];
    const head = element("tr", {}, ...heads.map((text) => element("th", { scope: "col" }, text)));
    const body = header.runs.map((run, place) => this.#run(run, chosen === run.name, seriesColour(place, theme.dark), seriesDash(place)));
    return element("table", {}, element("thead", {}, head), element("tbody", {}, ...body));
  }

  #run(run: Run, chosen: boolean, colour: string, dash: string): HTMLElement {
    const button = element("button", { type: "button", "aria-pressed": String(chosen), title: "Let this one stand out" }, run.name);
    button.style.setProperty("--iw-way", colour);
    if (dash) button.classList.add("iw-dashed");
    button.addEventListener("click", () => this.#set("run", chosen ? "" : run.name));
    const reached = [told(last(run.fvu), 4), told(last(run.l0), 1), percent(last(run.dead))];
    return element("tr", {}, element("th", { scope: "row" }, button), ...[...run.cells, ...reached].map((text) => element("td", {}, text)));
  }

  #set<K extends keyof SweepTraits>(trait: K, value: SweepTraits[K]): void {
    this.model.set(trait, value);
    this.model.save_changes();
  }
}

function progress(header: Header): string {
  const seen = Math.min(...header.runs.map((run) => last(run.seen) ?? 0));
  const of = header.running ? ` of ${tokens(header.total)}, still learning` : "";
  return `${tokens(seen)} tokens${of}`;
}

function told(value: number | undefined, digits: number): string {
  return value === undefined ? "–" : value.toFixed(digits);
}

function percent(value: number | undefined): string {
  return value === undefined ? "–" : `${(100 * value).toFixed(1)} %`;
}

function rows(header: Header): (string | number)[][] {
  const made: (string | number)[][] = [["dictionary", "seen", "fvu", "l0", "dead"]];
  for (const run of header.runs) {
    run.seen.forEach((seen, at) => made.push([run.name, seen, run.fvu[at] ?? Number.NaN, run.l0[at] ?? Number.NaN, run.dead[at] ?? Number.NaN]));
  }
  return made;
}

// What an opened row shows: its examples token by token, what it is active on and promotes, what a test has shown.

import { element, svg } from "../lib/dom";
import { ramp, step } from "../lib/ramp";
import { loading } from "../lib/states";
import { visible } from "../lib/text";
import { type Theme } from "../lib/theme";
import { type Curves, doseChart } from "./dose";
import { share, short } from "./rows";

export interface Example {
  readonly text: number;
  /** "strongest", or "drawn" at random from a bin of the histogram. */
  readonly kind: string;
  readonly tokens: readonly string[];
  /** Where among the tokens it is most, or was drawn. */
  readonly at: number;
  readonly activation: number;
  /** The activation of every token; null while only the one at `at` is known. */
  readonly values: readonly number[] | null;
}

export interface Label {
  readonly label: string;
  readonly judgement: string;
  readonly by: string;
  readonly when: string;
}

export interface Proof extends Curves {
  readonly verdict: string;
  /** What it has shown, in a sentence for each. */
  readonly told: readonly string[];
}

export interface Detail {
  readonly latent: number;
  readonly page: number;
  readonly pages: number;
  readonly examples: readonly Example[];
  readonly active: readonly (readonly [string, number])[];
  readonly promotes: readonly (readonly [string, number])[];
  readonly suppresses: readonly (readonly [string, number])[];
  readonly correlated: readonly (readonly [number, number])[];
  readonly labels: readonly Label[];
  readonly proof: Proof | null;
  /** What there is to say of how it was made, such as that strengths are still being read. */
  readonly note: string;
  readonly error?: string;
}

export interface DetailActs {
  readonly open: (latent: number) => void;
  readonly turn: (page: number) => void;
  readonly close: () => void;
}

/** The latent's own figures, which the table has. */
export interface Figures {
  readonly latent: number;
  readonly density: number;
  readonly max: number;
  readonly coherence: number;
}

export function detailPane(figures: Figures, told: Detail | undefined, missing: string, theme: Theme, acts: DetailActs): HTMLElement {
  const close = element("button", { type: "button", class: "iw-close", "aria-label": "close", title: "Close (Escape)" }, "×");
  close.addEventListener("click", () => acts.close());
  const head = element(
    "div",
    { class: "iw-detail-head" },
    element("span", { class: "iw-title" }, `latent ${figures.latent}`),
    element("span", { class: "iw-hint" }, said(figures)),
    ...(told?.labels ?? []).map(label),
    close,
  );
  if (told?.error) return pane(head, element("div", { class: "iw-state iw-failed", role: "alert" }, told.error));
  if (!told) return pane(head, loading(missing));
  return pane(head, element("div", { class: "iw-detail-body" }, examples(told, figures.max, theme, acts), beside(told, theme, acts)), lists(told, theme));
}

function pane(...children: HTMLElement[]): HTMLElement {
  return element("section", { class: "iw-detail", "aria-label": "the opened latent" }, ...children);
}

function said({ density, max, coherence }: Figures): string {
  return `active on ${share(density)} of tokens · at most ${short(max)} · coherence ${Number.isNaN(coherence) ? "–" : coherence.toFixed(2)}`;
}

function label({ label, judgement, by, when }: Label): HTMLElement {
  return element("span", { class: "iw-label", "data-judgement": judgement, title: `${judgement} by ${by}, ${when}` }, `${label} · ${judgement}`);
}

function examples(told: Detail, max: number, theme: Theme, acts: DetailActs): HTMLElement {
  const list = element("ol", { class: "iw-examples" }, ...told.examples.map((one) => example(one, max, theme)));
  const turn = (text: string, page: number, title: string): HTMLElement => {
    const made = element("button", { type: "button", title, disabled: page < 0 || page >= told.pages, "data-turn": title }, text);
    made.addEventListener("click", () => acts.turn(page));
    return made;
  };
  const pager = element(
    "div",
    { class: "iw-pager" },
    turn("‹", told.page - 1, "previous examples"),
    element("span", {}, `${told.page + 1} of ${Math.max(1, told.pages)}`),
    turn("›", told.page + 1, "next examples"),
    element("span", { class: "iw-hint" }, told.note),
  );
  const nothing = told.examples.length ? [] : [element("div", { class: "iw-hint" }, "It was never active in the texts that were read.")];
  return element("div", { class: "iw-read" }, list, ...nothing, ...(told.examples.length ? [pager] : []));
}

function example(one: Example, max: number, theme: Theme): HTMLElement {
  const text = element("span", { class: "iw-text" });
  one.tokens.forEach((token, place) => text.append(marked(token, one.values ? one.values[place] : place === one.at ? one.activation : 0, max, theme, place === one.at)));
  const kind = one.kind === "drawn" ? "drawn at random from those as strong" : "among the strongest";
  const figure = element("span", { class: "iw-figure", title: `activation at the marked token; text ${one.text}, ${kind}` }, short(one.activation));
  return element("li", { "data-kind": one.kind }, figure, text);
}

/** A token on a ground as strong as its activation. */
export function marked(token: string, value: number, max: number, theme: Theme, peak = false): HTMLElement {
  const made = element("span", { class: peak ? "iw-tok iw-peak" : "iw-tok" }, broken(token));
  if (value > 0 && max > 0) {
    const { fills, texts } = ramp("amber", theme.dark);
    const at = step(0.12 + 0.88 * Math.min(1, value / max));
    made.style.background = fills[at];
    made.style.color = texts[at];
    made.title = `${visible(token)}: ${short(value)}`;
  }
  return made;
}

/** Plain blanks stay blanks, so that text reads as text; all else that cannot be seen is marked. */
function broken(token: string): string {
  return visible(token).replaceAll("·", " ");
}

function beside(told: Detail, theme: Theme, acts: DetailActs): HTMLElement {
  const made = element("div", { class: "iw-beside" });
  if (told.proof) made.append(proof(told.proof, theme));
  if (told.correlated.length) {
    const others = told.correlated.map(([latent, cosine]) => {
      const button = element("button", { type: "button", title: `cosine of their activations over tokens: ${cosine.toFixed(2)}` }, `${latent} `, element("span", { class: "iw-hint" }, cosine.toFixed(2)));
      button.addEventListener("click", () => acts.open(latent));
      return button;
    });
    made.append(element("div", { class: "iw-block" }, element("h4", {}, "active together with"), element("div", { class: "iw-others" }, ...others)));
  }
  return made;
}

function lists(told: Detail, theme: Theme): HTMLElement {
  const shown: [string, Detail["active"], string][] = [
    ["active on", told.active, "sum of its activation over this token"],
    ["promotes", told.promotes, "change of the logit"],
    ["suppresses", told.suppresses, "change of the logit"],
  ];
  return element("div", { class: "iw-lists" }, ...shown.filter(([, pairs]) => pairs.length).map(([title, pairs, unit]) => bars(title, pairs, theme, unit)));
}

function proof(told: Proof, theme: Theme): HTMLElement {
  const chip = element("span", { class: "iw-is-verdict", "data-verdict": told.verdict }, told.verdict);
  const lines = told.told.map((line) => element("div", { class: "iw-hint" }, line));
  return element("div", { class: "iw-block iw-proof" }, element("h4", {}, "behaviour under intervention ", chip), doseChart(told, theme), ...lines);
}

function bars(title: string, pairs: readonly (readonly [string, number])[], theme: Theme, unit: string): HTMLElement {
  const most = Math.max(1e-9, ...pairs.map(([, value]) => Math.abs(value)));
  const fill = ramp(title === "suppresses" ? "rose" : "blue", theme.dark).fills[step(0.42)];
  const rows = pairs.map(([token, value]) => {
    const bar = svg("svg", { width: 64, height: 9, "aria-hidden": "true" }, svg("rect", { width: (64 * Math.abs(value)) / most, height: 9, rx: 2, fill }));
    return element("div", { class: "iw-bar", title: `${visible(token)}: ${short(value)}, ${unit}` }, element("span", { class: "iw-token" }, visible(token)), bar, element("span", { class: "iw-figure" }, short(value)));
  });
  return element("div", { class: "iw-block" }, element("h4", {}, title), ...rows);
}

// The line above the map: what is shown, how it is coloured, what can be asked and taken away.

import { choiceButtons } from "../lib/choice";
import { element } from "../lib/dom";
import { ramp } from "../lib/ramp";
import type { Theme } from "../lib/theme";
import type { LensData } from "./data";
import { type Mode, type ModeName, MODES } from "./modes";

export interface BarState {
  readonly data: LensData;
  readonly mode: Mode;
  readonly theme: Theme;
  readonly shown: readonly string[];
  /** Sites that the pool would decode if it is asked. */
  readonly offered: readonly string[];
  readonly zoomed: boolean;
}

export interface BarActs {
  readonly colour: (mode: ModeName) => void;
  /** Show these sites; some of them may have to be asked for first. */
  readonly show: (sites: readonly string[]) => void;
  readonly whole: () => void;
  readonly save: (kind: "PNG" | "SVG" | "CSV") => void;
}

export function bar(state: BarState, acts: BarActs): HTMLElement[] {
  const { data, mode } = state;
  const { header } = data;
  const name = element("div", { class: "iw-title", title: header.title }, header.model);
  const available = MODES.filter((each) => each.available(data));
  const modes = choiceButtons("colour", available, mode.name, acts.colour);
  return [name, ...sites(state, acts), modes, legend(state), ...whole(state, acts)];
}

function legend({ data, mode, theme }: BarState): HTMLElement {
  const colours = ramp(mode.hue, theme.dark).fills;
  const strip = element("span", { class: "iw-strip" });
  strip.style.background = `linear-gradient(to right, ${[0, 64, 128, 192, 255].map((i) => colours[i]).join(",")})`;
  const [low, high] = mode.ends(data);
  return element("div", { class: "iw-legend" }, low, strip, high);
}

/** A button for each site: pressed ones are shown side by side. */
function sites({ data, shown, offered }: BarState, acts: BarActs): HTMLElement[] {
  const { header } = data;
  const all = [...header.sites, ...offered.filter((site) => !header.sites.includes(site))];
  if (all.length < 2) return [];
  const group = element("div", { class: "iw-modes iw-sites", role: "group", "aria-label": "sites" });
  for (const site of all) {
    const pressed = shown.includes(site);
    const here = header.sites.includes(site);
    const title = here ? `show ${site} beside the others` : `${site} was not decoded yet: asks the pool for it`;
    const button = element("button", { type: "button", "aria-pressed": String(pressed), title }, here ? site : `+ ${site}`);
    button.addEventListener("click", () => {
      const next = pressed ? shown.filter((other) => other !== site) : all.filter((other) => shown.includes(other) || other === site);
      if (next.length) acts.show(next);
    });
    group.append(button);
  }
  return [group];
}

function whole({ zoomed }: BarState, acts: BarActs): HTMLElement[] {
  if (!zoomed) return [];
  const button = element("button", { type: "button", class: "iw-plain", title: "Show everything again (0)" }, "whole run");
  button.addEventListener("click", acts.whole);
  return [button];
}

const SAVED = {
  PNG: "Save what is seen as a picture",
  SVG: "Save what is zoomed to as a drawing",
  CSV: "Save the top tokens of what is zoomed to as a table",
} as const;

/** Buttons that save what is shown. */
export function exportsOf(acts: BarActs): HTMLElement[] {
  return (["PNG", "SVG", "CSV"] as const).map((kind) => {
    const button = element("button", { type: "button", title: SAVED[kind] }, kind);
    button.addEventListener("click", () => acts.save(kind));
    return button;
  });
}

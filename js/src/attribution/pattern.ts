// What one head attends to: the tokens that the prediction's own position reads, the strongest edges, the whole pattern.

import { element } from "../lib/dom";
import { ramp, step } from "../lib/ramp";
import { short, visible } from "../lib/text";
import type { Theme } from "../lib/theme";
import type { Pattern } from "./data";

const EDGES = 8;
const MOST = 320;

export function patternView(pattern: Pattern, tokens: readonly string[], theme: Theme): HTMLElement {
  const last = pattern.size - 1;
  const { fills, texts } = ramp("blue", theme.dark);
  const strip = element("div", { class: "iw-strip-tokens", "aria-label": "what the last position attends to" });
  tokens.slice(0, pattern.size).forEach((token, key) => {
    const weight = pattern.at(last, key);
    const shown = element("span", { class: "iw-token", title: `position ${pattern.first + key}: ${weight.toFixed(3)}` }, visible(token));
    const at = step(Math.sqrt(weight));
    shown.style.background = fills[at];
    shown.style.color = texts[at];
    strip.append(shown);
  });
  const rows = pattern.edges(EDGES).map(({ query, key, weight }) =>
    element("tr", {}, element("td", { class: "iw-token" }, short(tokens[query], 14)), element("td", {}, "←"), element("td", { class: "iw-token" }, short(tokens[key], 14)), element("td", {}, weight.toFixed(3))),
  );
  const table = element("table", { "aria-label": "strongest edges" }, element("tbody", {}, ...rows));
  const title = `layer ${pattern.head.layer}, head ${pattern.head.head}: from the last position`;
  return element("div", { class: "iw-pattern" }, element("div", { class: "iw-hint" }, title), strip, element("div", { class: "iw-pattern-row" }, drawn(pattern, tokens, theme), table));
}

function drawn(pattern: Pattern, tokens: readonly string[], theme: Theme): HTMLCanvasElement {
  const cell = Math.max(1, Math.min(18, Math.floor(MOST / pattern.size)));
  const canvas = element("canvas", { width: cell * pattern.size, height: cell * pattern.size, class: "iw-square", role: "img", "aria-label": `attention pattern of ${pattern.size} positions: queries down, keys across` });
  const context = canvas.getContext("2d");
  const { fills } = ramp("blue", theme.dark);
  for (let query = 0; context && query < pattern.size; query++) {
    for (let key = 0; key <= query; key++) {
      context.fillStyle = fills[step(Math.sqrt(pattern.at(query, key)))];
      context.fillRect(key * cell, query * cell, cell, cell);
    }
  }
  canvas.addEventListener("pointermove", (event) => {
    const box = canvas.getBoundingClientRect();
    const [key, query] = [Math.floor((event.clientX - box.left) / cell), Math.floor((event.clientY - box.top) / cell)];
    if (key <= query && query < pattern.size) canvas.title = `${visible(tokens[query])} ← ${visible(tokens[key])}: ${pattern.at(query, key).toFixed(3)}`;
  });
  return canvas;
}

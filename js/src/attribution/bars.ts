// What embedding, attention and MLP of each layer add, as bars over layers, above the heads on the same columns.

import { svg } from "../lib/dom";
import { linear, rules } from "../lib/axes";
import { lineColours } from "../lib/ramp";
import type { Theme } from "../lib/theme";
import { type Header, logits } from "./data";

export const LEFT = 64;
const HEIGHT = 150;
const FRAME = { left: LEFT, right: 0, top: 18, bottom: 8 };

/** A column for the embedding, one for each layer, one for the constant. */
export function columns(header: Header): number {
  return header.attn.length + 2;
}

export function columnWidth(header: Header, width: number): number {
  return Math.max(6, Math.min(46, (width - LEFT) / columns(header)));
}

export function bars(header: Header, theme: Theme, width: number): SVGSVGElement {
  const column = columnWidth(header, width);
  const right = LEFT + column * columns(header);
  const all = [header.embed, header.constant, ...header.attn, ...header.mlp];
  const y = linear(Math.min(0, ...all), Math.max(0, ...all), HEIGHT - FRAME.bottom, FRAME.top);
  const label = `What each part adds to ${header.target} over ${header.foil}, in logits`;
  const picture = svg("svg", { width, height: HEIGHT, class: "iw-chart", role: "img", "aria-label": label });
  picture.append(...rules(Math.min(0, ...all), Math.max(0, ...all), y, { ...FRAME, right }, theme, 4));
  const [attn, mlp] = colours(theme);
  const bar = (place: number, share: number, of: number, value: number, colour: string, name: string): void => {
    const wide = Math.max(1, (column - 2) / of);
    const top = Math.min(y(0), y(value));
    const box = svg("rect", { x: LEFT + place * column + share * wide, y: top, width: wide, height: Math.max(0.5, Math.abs(y(value) - y(0))), fill: colour });
    box.append(svg("title", {}, `${name}: ${logits(value)}`));
    picture.append(box);
  };
  bar(0, 0, 1, header.embed, theme.faint, "embedding");
  header.attn.forEach((value, layer) => bar(layer + 1, 0, 2, value, attn, `attention of layer ${layer}`));
  header.mlp.forEach((value, layer) => bar(layer + 1, 1, 2, value, mlp, `MLP of layer ${layer}`));
  bar(columns(header) - 1, 0, 1, header.constant, theme.faint, "biases, whatever the text");
  return picture;
}

/** Of attention and of MLPs. */
export function colours(theme: Theme): readonly [string, string] {
  const [warm, cool] = lineColours(theme.dark);
  return [cool, warm];
}

// The chart of one group: mean change of m over the KL that it costs on neutral texts, a line for each way.

import { ticks } from "d3-array";
import { linePath } from "../lib/paths";
import { extent, type Frame, heading, linear, rules, type Scale, tickText } from "../lib/axes";
import { svg } from "../lib/dom";
import { seriesColour, seriesDash } from "../lib/ramp";
import type { Theme } from "../lib/theme";
import { curve, type Header, type Point, type Way } from "./data";

export const HEIGHT = 250;
const SIZE = 4.5;

/** `chosen` is the way that stands out, "" for none. All groups share their axes, so that they can be compared. */
export function chart(header: Header, group: number, chosen: string, theme: Theme, width: number): SVGSVGElement {
  const frame: Frame = { left: 44, right: width - 10, top: 24, bottom: HEIGHT - 38 };
  const all = header.ways.flatMap((way) => way.points);
  const [low, high] = extent(all.flatMap((point) => point.effects));
  const most = Math.max(header.budget, ...all.map((point) => point.kl), 1e-9);
  const y = linear(low, high, frame.bottom, frame.top);
  const root = linear(0, Math.sqrt(most), frame.left, frame.right - 6);
  const x: Scale = (kl) => root(Math.sqrt(Math.max(0, kl)));
  const { name, items } = header.groups[group];
  const label = `${name}: mean change of m over KL on neutral texts, for ${header.ways.length} ways`;
  const picture = svg("svg", { width, height: HEIGHT, class: "iw-chart iw-frontier", role: "img", "aria-label": label });
  picture.append(heading(`${name}, ${items} item${items === 1 ? "" : "s"}: change of m`, frame, theme), ...rules(low, high, y, frame, theme, 4));
  picture.append(...below(most, x, frame, theme), ...limit(header.budget, x, frame, theme));
  header.ways.forEach((way, place) => {
    const faint = chosen !== "" && chosen !== way.name;
    picture.append(drawn(way, group, { x, y }, { stroke: seriesColour(place, theme.dark), "stroke-dasharray": seriesDash(place) }, faint ? 0.18 : 1, header.groups.length));
  });
  return picture;
}

interface Axes {
  readonly x: Scale;
  readonly y: Scale;
}

interface Stroke {
  readonly stroke: string;
  readonly "stroke-dasharray": string;
}

function drawn(way: Way, group: number, { x, y }: Axes, stroke: Stroke, opacity: number, groups: number): SVGElement {
  const colour = stroke.stroke;
  const made = svg("g", { opacity, class: "iw-way" });
  if (way.gradual) {
    const path = (part: readonly Point[]): string => linePath(part.map((point) => [x(point.kl), y(point.effects[group])]));
    const whole = curve(way, groups);
    const drawnAs = [
      { part: whole.filter((point) => point.strength <= 0), "stroke-width": 1.2, "stroke-opacity": 0.55 },
      { part: whole.filter((point) => point.strength >= 0), "stroke-width": 2.2, "stroke-opacity": 1 },
    ];
    for (const { part, ...how } of drawnAs) {
      if (part.length > 1) made.append(svg("path", { d: path(part), fill: "none", ...stroke, ...how }));
    }
  }
  for (const point of way.points) {
    const at = { x: x(point.kl), y: y(point.effects[group]) };
    const mark = way.gradual
      ? svg("circle", { cx: at.x, cy: at.y, r: point.strength < 0 ? 1.8 : 2.8, fill: colour })
      : svg("rect", { x: at.x - SIZE, y: at.y - SIZE, width: 2 * SIZE, height: 2 * SIZE, fill: point.strength < 0 ? "none" : colour, stroke: colour, "stroke-width": 1.4, transform: `rotate(45 ${at.x} ${at.y})` });
    mark.append(svg("title", {}, said(way, point, group)));
    made.append(mark);
  }
  if (way.gradual && way.at.strength !== 0) {
    const reached = { cx: x(way.at.kl), cy: y(way.at.effects[group]), r: 5.5 };
    made.append(svg("circle", { ...reached, fill: "none", stroke: colour, "stroke-width": 1.6 }));
  }
  return made;
}

function said(way: Way, point: Point, group: number): string {
  const effect = point.effects[group].toFixed(3).replace("-", "−");
  return `${way.name} at ${tickText(point.strength)}: m changes by ${effect}, KL ${point.kl.toPrecision(3)}, perplexity × ${point.perplexity.toFixed(2)}`;
}

function below(most: number, x: Scale, frame: Frame, theme: Theme): SVGElement[] {
  const roots = ticks(0, Math.sqrt(most), 4).map((root) => root * root);
  const shown = (kl: number): string => String(Number(kl.toPrecision(2)));
  const marks = roots.map((kl) =>
    svg("text", { x: x(kl), y: frame.bottom + 16, "text-anchor": "middle", fill: theme.faint }, shown(kl)),
  );
  const middle = (frame.left + frame.right) / 2;
  return [...marks, svg("text", { x: middle, y: frame.bottom + 32, "text-anchor": "middle", fill: theme.faint }, "KL on neutral texts, nats a token")];
}

function limit(budget: number, x: Scale, frame: Frame, theme: Theme): SVGElement[] {
  if (!(budget > 0)) return [];
  return [svg("line", { x1: x(budget), x2: x(budget), y1: frame.top, y2: frame.bottom, stroke: theme.faint, "stroke-dasharray": "3 4", class: "iw-budget" })];
}

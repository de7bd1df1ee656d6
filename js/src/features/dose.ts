// What becomes of a behaviour as a feature is changed, beside its controls: multiplied where it shows, held up where it does not.

import { type Frame, heading, linear, rules, tickText } from "../lib/axes";
import { svg } from "../lib/dom";
import { lineColours } from "../lib/ramp";
import type { Theme } from "../lib/theme";

/** Mean behaviour, 0 to 1, at each value of a change: of the feature with its 95 % interval, of the controls' mean and extremes. */
export interface Curve {
  readonly values: readonly number[];
  readonly feature: readonly number[];
  readonly low: readonly number[];
  readonly high: readonly number[];
  readonly controls: readonly (readonly number[])[];
}

export interface Curves {
  /** Multiples of what it is, on prompts that show the behaviour; null where there were none. */
  readonly times: Curve | null;
  /** Levels in multiples of its largest activation, on prompts that do not; null where there were none. */
  readonly levels: Curve | null;
}

const WIDE = 316;
const TALL = 138;

export function doseChart(curves: Curves, theme: Theme): SVGSVGElement {
  const picture = svg("svg", { width: WIDE, height: TALL, class: "iw-chart iw-dose", role: "img", "aria-label": spoken(curves) });
  const shown = [
    { curve: curves.times, name: "× its own activation", left: 30 },
    { curve: curves.levels, name: "held at × its largest", left: 30 + (WIDE - 18) / 2 },
  ];
  for (const { curve, name, left } of shown) if (curve) picture.append(...one(curve, name, left, theme));
  return picture;
}

function one(curve: Curve, name: string, left: number, theme: Theme): SVGElement[] {
  const frame: Frame = { left, right: left + (WIDE - 78) / 2, top: 18, bottom: TALL - 32 };
  const order = curve.values.map((_, place) => place).sort((a, b) => curve.values[a] - curve.values[b]);
  const x = linear(0, order.length - 1, frame.left + 10, frame.right - 10);
  const y = linear(0, 1, frame.bottom, frame.top);
  const colour = lineColours(theme.dark)[0];
  const points = (values: readonly number[]): string => order.map((place, at) => `${x(at)},${y(values[place])}`).join(" ");
  const controls = curve.controls.map((values) => svg("polyline", { points: points(values), fill: "none", stroke: theme.faint, "stroke-opacity": 0.75, "stroke-dasharray": "3 3" }));
  const bands = order.map((place, at) => svg("line", { x1: x(at), x2: x(at), y1: y(curve.low[place]), y2: y(curve.high[place]), stroke: colour, "stroke-width": 1.4 }));
  const marks = order.map((place, at) => {
    const made = svg("circle", { cx: x(at), cy: y(curve.feature[place]), r: 3.2, fill: colour });
    made.append(svg("title", {}, `${tickText(curve.values[place])}: ${(100 * curve.feature[place]).toFixed(0)} % [${(100 * curve.low[place]).toFixed(0)}, ${(100 * curve.high[place]).toFixed(0)}]`));
    return made;
  });
  const ticks = order.map((place, at) => svg("text", { x: x(at), y: frame.bottom + 15, "text-anchor": "middle", fill: theme.faint }, tickText(curve.values[place])));
  const below = svg("text", { x: (frame.left + frame.right) / 2, y: frame.bottom + 29, "text-anchor": "middle", fill: theme.faint }, name);
  const drawn = svg("polyline", { points: points(curve.feature), fill: "none", stroke: colour, "stroke-width": 2 });
  return [heading("behaviour", frame, theme), ...rules(0, 1, y, frame, theme, 2), ...controls, ...bands, drawn, ...marks, ...ticks, below];
}

function spoken({ times, levels }: Curves): string {
  const told = (curve: Curve | null, what: string): string[] =>
    curve ? [`${what}: ${curve.values.map((value, place) => `${(100 * curve.feature[place]).toFixed(0)} % at ${value}`).join(", ")}`] : [];
  return ["behaviour", ...told(times, "multiplied"), ...told(levels, "held at")].join("; ");
}

// Axes of small charts: linear scales with a few round ticks.

import { ticks } from "d3-array";
import { svg } from "./dom";
import type { Theme } from "./theme";

export interface Frame {
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}

export type Scale = (value: number) => number;

/** A linear map of [low, high] onto [from, to]. */
export function linear(low: number, high: number, from: number, to: number): Scale {
  const span = high - low || 1;
  return (value) => from + ((value - low) / span) * (to - from);
}

/** [low, high] of numbers, with a margin, and with 0 in it. */
export function extent(values: readonly number[], margin = 0.06): [number, number] {
  const low = Math.min(0, ...values);
  const high = Math.max(0, ...values);
  const room = (high - low || 1) * margin;
  return [low - room, high + room];
}

export function tickText(value: number): string {
  return String(Number(value.toPrecision(6))).replace("-", "−");
}

/** Horizontal lines with their numbers; that of 0 is stronger. */
export function rules(low: number, high: number, y: Scale, frame: Frame, theme: Theme, count = 5): SVGElement[] {
  return ticks(low, high, count).flatMap((tick) => [
    svg("line", {
      x1: frame.left,
      x2: frame.right,
      y1: y(tick),
      y2: y(tick),
      stroke: tick === 0 ? theme.faint : theme.line,
      "stroke-opacity": tick === 0 ? 0.7 : 1,
    }),
    svg("text", { x: frame.left - 8, y: y(tick) + 4, "text-anchor": "end", fill: theme.faint }, tickText(tick)),
  ]);
}

/** What is drawn, above the frame. */
export function heading(text: string, frame: Frame, theme: Theme): SVGElement {
  return svg("text", { x: frame.left, y: frame.top - 9, fill: theme.faint }, text);
}

// The course of a measure over tokens, and the exchange of sparsity for fidelity.

import { ticks } from "d3-array";
import { type Frame, heading, linear, rules, type Scale, tickText } from "../lib/axes";
import { svg } from "../lib/dom";
import { seriesColour, seriesDash } from "../lib/ramp";
import type { Theme } from "../lib/theme";
import { type Header, last, type Metric, METRICS, type Run } from "./data";

export const HEIGHT = 230;

export function course(header: Header, metric: Metric, chosen: string, theme: Theme, width: number): SVGSVGElement {
  const frame: Frame = { left: 46, right: width - 24, top: 24, bottom: HEIGHT - 38 };
  const values = header.runs.flatMap((run) => run[metric].filter((value): value is number => value !== null));
  const high = bound(values);
  const x = linear(0, Math.max(1, header.total), frame.left, frame.right);
  const y = linear(0, high, frame.bottom, frame.top);
  const { label, title } = METRICS.filter(({ name }) => name === metric)[0];
  const picture = svg("svg", { width, height: HEIGHT, class: "iw-chart iw-course", role: "img", "aria-label": `${title}, over tokens, of ${header.runs.length} dictionaries` });
  picture.append(heading(label, frame, theme), ...rules(0, high, y, frame, theme, 4), ...below(header.total, x, frame, theme));
  header.runs.forEach((run, place) => {
    const points = run.seen.flatMap((seen, at) => {
      const value = run[metric][at];
      return value === null ? [] : [`${x(seen)},${y(Math.min(high, value))}`];
    });
    const look = { stroke: seriesColour(place, theme.dark), "stroke-dasharray": seriesDash(place), opacity: faint(run, chosen) };
    const line = svg("polyline", { points: points.join(" "), fill: "none", "stroke-width": 1.8, ...look });
    line.append(svg("title", {}, run.name));
    picture.append(line);
  });
  return picture;
}

export function exchange(header: Header, chosen: string, theme: Theme, width: number): SVGSVGElement {
  const frame: Frame = { left: 46, right: width - 12, top: 24, bottom: HEIGHT - 38 };
  const ends = header.runs.map((run) => ({ run, l0: last(run.l0), fvu: last(run.fvu) }));
  const known = ends.filter((end) => end.l0 !== undefined && end.fvu !== undefined);
  const l0s = known.map((end) => Math.max(0.5, end.l0 ?? 1));
  const [low, most] = l0s.length ? [Math.min(...l0s) / 1.4, Math.max(...l0s) * 1.4] : [1, 100];
  const logs = linear(Math.log(low), Math.log(most), frame.left, frame.right);
  const high = bound(known.map((end) => end.fvu ?? 0));
  const y = linear(0, high, frame.bottom, frame.top);
  const picture = svg("svg", { width, height: HEIGHT, class: "iw-chart iw-exchange", role: "img", "aria-label": `FVU over L0 of ${known.length} dictionaries` });
  picture.append(heading("FVU over L0", frame, theme), ...rules(0, high, y, frame, theme, 4));
  for (const tick of [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024].filter((tick) => tick >= low && tick <= most)) {
    picture.append(svg("text", { x: logs(Math.log(tick)), y: frame.bottom + 16, "text-anchor": "middle", fill: theme.faint }, String(tick)));
  }
  picture.append(caption("active latents of a token", frame, theme));
  ends.forEach(({ run, l0, fvu }, place) => {
    if (l0 === undefined || fvu === undefined) return;
    const mark = svg("circle", { cx: logs(Math.log(Math.max(0.5, l0))), cy: y(Math.min(high, fvu)), r: run.name === chosen ? 6 : 4.5, fill: seriesColour(place, theme.dark), opacity: faint(run, chosen) });
    mark.append(svg("title", {}, `${run.name}: L0 ${l0.toFixed(1)}, FVU ${fvu.toFixed(4)}`));
    picture.append(mark);
  });
  return picture;
}

/** The end of an axis from 0 on: nothing that is far above the rest stretches it. */
function bound(values: number[]): number {
  if (!values.length) return 1;
  const sorted = [...values].sort((a, b) => a - b);
  const usual = sorted[Math.floor(0.9 * (sorted.length - 1))];
  return 1.08 * Math.max(1e-6, Math.min(sorted[sorted.length - 1], 2 * usual || 1));
}

function faint(run: Run, chosen: string): number {
  return chosen !== "" && chosen !== run.name ? 0.2 : 1;
}

function below(total: number, x: Scale, frame: Frame, theme: Theme): SVGElement[] {
  const marks = ticks(0, Math.max(1, total), 5).map((tick) =>
    svg("text", { x: x(tick), y: frame.bottom + 16, "text-anchor": "middle", fill: theme.faint }, tokens(tick)),
  );
  return [...marks, caption("tokens", frame, theme)];
}

function caption(text: string, frame: Frame, theme: Theme): SVGElement {
  return svg("text", { x: (frame.left + frame.right) / 2, y: frame.bottom + 32, "text-anchor": "middle", fill: theme.faint }, text);
}

/** A number of tokens, in thousands, millions or billions. */
export function tokens(count: number): string {
  for (const [size, name] of [[1e9, " bn"], [1e6, " M"], [1e3, " k"]] as const) {
    if (count >= size) return `${tickText(Number((count / size).toPrecision(3)))}${name}`;
  }
  return String(count);
}

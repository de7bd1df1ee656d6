// What colours a cell.

import type { Hue } from "../lib/ramp";
import { nats, probability } from "../lib/text";
import type { LensData } from "./data";

export type ModeName = "logprob" | "entropy" | "kl" | "rank";

export interface Mode {
  readonly name: ModeName;
  readonly label: string;
  readonly title: string;
  readonly hue: Hue;
  /** Ends of the legend, at magnitude 0 and 1. */
  readonly ends: (data: LensData) => readonly [string, string];
  /** Magnitude in [0, 1]; undefined where there is no value. */
  readonly magnitude: (data: LensData, site: number, column: number, row: number) => number | undefined;
  readonly available: (data: LensData) => boolean;
}

const FLOOR = -9;
const KL_TOP = 12;

export const MODES: readonly Mode[] = [
  {
    name: "logprob",
    label: "log-probability",
    title: "Log-probability of the top token, over the whole vocabulary",
    hue: "blue",
    ends: () => [`≤ ${probability(FLOOR)}`, "100 %"],
    magnitude: (data, site, column, row) => Math.max(0, 1 - data.top(site, column, row).logprob / FLOOR) ** 2,
    available: () => true,
  },
  {
    name: "entropy",
    label: "entropy",
    title: "Entropy of the prediction, in nats: darker is less sure",
    hue: "amber",
    ends: (data) => ["0", nats(Math.log(data.header.vocabulary))],
    magnitude: (data, site, column, row) => {
      const value = data.statistic("entropy", site, column, row);
      return value === undefined ? undefined : value / Math.log(data.header.vocabulary);
    },
    available: (data) => "entropy" in data.header.layout,
  },
  {
    name: "kl",
    label: "KL to final",
    title: "KL(final ‖ here), in nats: how far the prediction is from the model's own",
    hue: "teal",
    ends: () => ["0", `≥ ${nats(KL_TOP)}`],
    magnitude: (data, site, column, row) => {
      const value = data.statistic("kl", site, column, row);
      return value === undefined ? undefined : Math.sqrt(value / KL_TOP);
    },
    available: (data) => "kl" in data.header.layout,
  },
  {
    name: "rank",
    label: "rank of final",
    title: "Rank of the model's final top token, 0 being the first; faint where it lies outside the top k",
    hue: "rose",
    ends: (data) => [`≥ ${data.header.top_k}`, "0"],
    magnitude: (data, site, column, row) => {
      const rank = data.rank(data.top(site, data.columns - 1, row).id, site, column, row);
      return rank === undefined ? 0 : 1 - (0.8 * Math.log1p(rank)) / Math.log1p(data.header.top_k);
    },
    available: () => true,
  },
];

export function modeOf(name: string): Mode {
  return MODES.find((mode) => mode.name === name) ?? MODES[0];
}

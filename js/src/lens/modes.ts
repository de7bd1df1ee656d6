// What colours a cell, and what its chart has on the vertical axis.

import type { Hue } from "../lib/ramp";
import { nats, probability } from "../lib/text";
import type { LensData, Place } from "./data";

export type ModeName = "logprob" | "entropy" | "kl" | "rank" | "difference";

export interface Mode {
  readonly name: ModeName;
  readonly label: string;
  readonly title: string;
  readonly hue: Hue;
  /** Ends of the legend, at magnitude 0 and 1. */
  readonly ends: (data: LensData) => readonly [string, string];
  /** Magnitude in [0, 1] (0.5 is zero where the ramp has two sides); undefined where there is no value. */
  readonly magnitude: (data: LensData, at: Place) => number | undefined;
  readonly available: (data: LensData) => boolean;
  readonly axis: Axis;
}

/** The vertical axis of a chart over layers. */
export interface Axis {
  readonly label: string;
  /** From the bottom to the top. */
  readonly range: (data: LensData) => readonly [number, number];
  readonly ticks: (data: LensData) => readonly number[];
  readonly tick: (value: number) => string;
  /** What the cells of a layer have: the band is of these. Ranks beyond the top k count as k, differences as their bound. */
  readonly of: (data: LensData, at: Place) => number | undefined;
  /** What a token has; undefined where that is not known. */
  readonly token: (data: LensData, id: number, at: Place) => number | undefined;
  /** Where a token that is not known lies at most; undefined when nothing is said. */
  readonly bound?: (data: LensData, at: Place) => number;
}

const FLOOR = -9;
const LOWEST = -12;
const KL_TOP = 12;
const MOST = 6;

const log1p = (rank: number | undefined): number | undefined => (rank === undefined ? undefined : -Math.log10(1 + rank));
/** The token that the last decoded layer has first: that of the stream, where it is decoded. */
function final(data: LensData, at: Place): number {
  const stream = data.header.sites.indexOf("resid_post");
  return data.topId({ ...at, site: stream < 0 ? at.site : stream, column: data.columns - 1 });
}

/** An axis of a statistic that tokens have no share in. */
function statistic(name: "entropy" | "kl", label: string, top: (data: LensData) => number): Axis {
  const of = (data: LensData, at: Place): number | undefined => data.statistic(name, at);
  return {
    label,
    range: (data) => [0, top(data)],
    ticks: (data) => [0, 0.25, 0.5, 0.75, 1].map((share) => share * top(data)),
    tick: (value) => value.toFixed(1),
    of,
    token: (data, _, at) => of(data, at),
  };
}

export const MODES: readonly Mode[] = [
  {
    name: "logprob",
    label: "log-probability",
    title: "Log-probability of the top token, over the whole vocabulary",
    hue: "blue",
    ends: () => [`≤ ${probability(FLOOR)}`, "100 %"],
    magnitude: (data, at) => Math.max(0, 1 - data.topLogprob(at) / FLOOR) ** 2,
    available: () => true,
    axis: {
      label: "probability",
      range: () => [LOWEST, 0],
      ticks: () => [0, -3, -6, -9, -12],
      tick: probability,
      of: (data, at) => data.topLogprob(at),
      token: (data, id, at) => data.logprob(id, at),
      bound: (data, at) => data.lowest(at),
    },
  },
  {
    name: "rank",
    label: "rank of final",
    title: "Rank of the token that the last decoded layer has first, 0 being the first; faint where it lies outside the top k",
    hue: "rose",
    ends: (data) => [`≥ ${data.header.top_k}`, "0"],
    magnitude: (data, at) => {
      const rank = data.rank(final(data, at), at);
      return rank === undefined ? 0 : 1 - (0.8 * Math.log1p(rank)) / Math.log1p(Math.max(rank, data.header.top_k));
    },
    available: () => true,
    axis: {
      label: "rank",
      range: (data) => [-Math.log10(data.header.vocabulary), 0],
      ticks: (data) => [0, 1, 10, 100, 1000, 10000].filter((rank) => rank < data.header.vocabulary).map((rank) => -Math.log10(1 + rank)),
      tick: (value) => String(Math.round(10 ** -value - 1)),
      of: (data, at) => log1p(data.rank(final(data, at), at) ?? data.header.top_k),
      token: (data, id, at) => log1p(data.rank(id, at)),
      bound: (data) => -Math.log10(1 + data.header.top_k),
    },
  },
  {
    name: "entropy",
    label: "entropy",
    title: "Entropy of the prediction, in nats: darker is less sure",
    hue: "amber",
    ends: (data) => ["0", nats(Math.log(data.header.vocabulary))],
    magnitude: (data, at) => {
      const value = data.statistic("entropy", at);
      return value === undefined ? undefined : value / Math.log(data.header.vocabulary);
    },
    available: (data) => data.has("entropy"),
    axis: statistic("entropy", "entropy, nats", (data) => Math.log(data.header.vocabulary)),
  },
  {
    name: "kl",
    label: "KL to final",
    title: "KL(final ‖ here), in nats: how far the prediction is from the model's own",
    hue: "teal",
    ends: () => ["0", `≥ ${nats(KL_TOP)}`],
    magnitude: (data, at) => {
      const value = data.statistic("kl", at);
      return value === undefined ? undefined : Math.sqrt(value / KL_TOP);
    },
    available: (data) => data.has("kl"),
    axis: statistic("kl", "KL, nats", () => KL_TOP),
  },
  {
    name: "difference",
    label: "difference",
    title: "Log-probability of the top token here minus that of the same token in the base, in nats; open marks are lower bounds",
    hue: "signed",
    ends: () => [`≤ −${nats(MOST)}`, `≥ ${nats(MOST)}`],
    magnitude: (data, at) => {
      const found = data.difference(at);
      return found && 0.5 + Math.max(-0.5, Math.min(0.5, found.value / (2 * MOST)));
    },
    available: (data) => data.has("delta"),
    axis: {
      label: "difference, nats",
      range: () => [-MOST, MOST],
      ticks: () => [MOST, MOST / 2, 0, -MOST / 2, -MOST],
      tick: (value) => String(value).replace("-", "−"),
      of: (data, at) => data.difference(at)?.value,
      token: (data, id, at) => (data.topId(at) === id ? data.difference(at)?.value : undefined),
    },
  },
];

export function modeOf(name: string, data: LensData): Mode {
  const found = MODES.find((mode) => mode.name === name);
  return found?.available(data) ? found : MODES[0];
}

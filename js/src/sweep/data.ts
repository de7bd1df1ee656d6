// Trainings as the widget reads them: how each went, and where it has got to.

export type Metric = "fvu" | "l0" | "dead";

export interface Run {
  readonly name: string;
  /** Tokens seen at each point, and what was measured there; null where it was not. */
  readonly seen: readonly number[];
  readonly fvu: readonly (number | null)[];
  readonly l0: readonly (number | null)[];
  readonly dead: readonly (number | null)[];
  /** Columns of the table: what was asked for, and what an evaluation says. */
  readonly cells: readonly string[];
}

export interface Header {
  readonly title: string;
  /** Tokens that every run is to see; the axis is as long. */
  readonly total: number;
  readonly heads: readonly string[];
  readonly runs: readonly Run[];
  /** Whether it goes on. */
  readonly running: boolean;
}

export const METRICS: readonly { readonly name: Metric; readonly label: string; readonly title: string }[] = [
  { name: "fvu", label: "FVU", title: "Share of the variance that is not explained, on the slice that was learned from" },
  { name: "l0", label: "L0", title: "Active latents of a token" },
  { name: "dead", label: "dead", title: "Share of latents that have not fired for a while" },
];

/** The last number of a list, if there is one. */
export function last(values: readonly (number | null)[]): number | undefined {
  for (let place = values.length - 1; place >= 0; place--) {
    const value = values[place];
    if (value !== null) return value;
  }
  return undefined;
}

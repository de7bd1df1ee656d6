// A comparison as the widget reads it: ways with their points, and where each gets within the budget.

export interface Point {
  readonly strength: number;
  /** Mean KL of a neutral token's prediction, in nats. */
  readonly kl: number;
  /** Perplexity of the neutral texts over that without anything. */
  readonly perplexity: number;
  /** Mean change of m in each group. */
  readonly effects: readonly number[];
}

export interface Way {
  readonly name: string;
  /** Whether what lies between two strengths exists. */
  readonly gradual: boolean;
  readonly points: readonly Point[];
  /** Where it gets within the budget. */
  readonly at: Point;
  /** Share of items that prefer there what they prefer without, in each group. */
  readonly kept: readonly number[];
  /** Texts that were read to make it. */
  readonly texts: number;
  /** Tokens that it adds to an item. */
  readonly added: number;
}

export interface Group {
  readonly name: string;
  readonly items: number;
}

export interface Header {
  readonly title: string;
  readonly model: string;
  readonly budget: number;
  readonly groups: readonly Group[];
  readonly ways: readonly Way[];
}

/** The points of a way by strength, with 0, where nothing is moved. */
export function curve(way: Way, groups: number): Point[] {
  const nothing: Point = { strength: 0, kl: 0, perplexity: 1, effects: Array(groups).fill(0) };
  return [nothing, ...way.points].sort((a, b) => a.strength - b.strength);
}

import { describe, expect, it } from "vitest";
import { moved } from "./keys";
import { squeezed } from "./fake";
import { unpack } from "./pack";
import { contrast, ramp, step } from "./ramp";
import { csv } from "./save";
import { probability, short, visible } from "./text";

describe("text", () => {
  it("marks white space and names what would hide or reorder", () => {
    expect(visible(" a\n\t")).toBe("·a↵⇥");
    expect(visible("\u202ex\u200b")).toBe("⟨202E⟩x⟨200B⟩");
    expect(visible("")).toBe("∅");
  });
  it("cuts by character, not in the middle of one", () => {
    expect(short("😀😀😀", 2)).toBe("😀…");
  });
  it("gives probabilities as a person says them", () => {
    expect(probability(0)).toBe("100 %");
    expect(probability(Math.log(0.309))).toBe("30.9 %");
    expect(probability(Math.log(0.004))).toBe("0.40 %");
    expect(probability(-30)).toMatch(/e-1\d/);
  });
});

describe("ramp", () => {
  const parse = (css: string): [number, number, number] =>
    (css.match(/\d+/g) ?? []).map(Number) as [number, number, number];
  const hex = (css: string): [number, number, number] =>
    [1, 3, 5].map((i) => Number.parseInt(css.slice(i, i + 2), 16)) as [number, number, number];

  it("carries its value by lightness alone", () => {
    for (const dark of [false, true]) {
      const fills = ramp("blue", dark).fills.map((c) => contrast(parse(c), [0, 0, 0]));
      const sorted = [...fills].sort((a, b) => (dark ? a - b : b - a));
      expect(fills).toEqual(sorted);
    }
  });
  it("keeps text readable on every step", () => {
    for (const hue of ["blue", "amber", "teal", "rose"] as const) {
      for (const dark of [false, true]) {
        const { fills, texts } = ramp(hue, dark);
        fills.forEach((fill, i) => expect(contrast(parse(fill), hex(texts[i]))).toBeGreaterThanOrEqual(4.5));
      }
    }
  });
  it("clamps what lies outside", () => {
    expect([step(-1), step(2)]).toEqual([0, 255]);
  });
});

describe("pack", () => {
  it("turns codes back into values and refuses what reaches outside", () => {
    const view = squeezed(new Uint16Array([0, 100]).buffer);
    const layout = { x: { dtype: "u16", shape: [2], offset: 0, scale: 0.5, base: -10 } } as const;
    expect(unpack(view, layout).x.at(1)).toBe(40);
    expect(() => unpack(view, { x: { ...layout.x, shape: [3] } })).toThrow(/outside/);
  });
});

describe("keys", () => {
  it("moves within the grid", () => {
    expect(moved("ArrowUp", { row: 0, column: 2 }, 5, 4, 3)).toEqual({ row: 0, column: 2 });
    expect(moved("End", { row: 1, column: 0 }, 5, 4, 3)).toEqual({ row: 1, column: 3 });
    expect(moved("PageDown", { row: 1, column: 0 }, 5, 4, 9)).toEqual({ row: 4, column: 0 });
    expect(moved("a", { row: 0, column: 0 }, 5, 4, 3)).toBeUndefined();
  });
});

describe("csv", () => {
  it("quotes text and disarms formulas", () => {
    expect(csv([["=SUM(A1)", 'a"b', 1.5]])).toBe('"\'=SUM(A1)","a""b",1.5');
  });
});

import { beforeEach, describe, expect, it } from "vitest";
import widget from "../features";
import { type FakeModel, mounted, squeezed } from "../lib/fake";
import { FeatureData, type Header } from "./data";
import { ordered } from "./order";
import { Selector } from "./select";
import type { FeatureTraits } from "./view";

// Five latents: the third is never active, the last two have the same density.
function traits(): FeatureTraits {
  const columns = {
    density: { dtype: "f32", shape: [5], values: [0.5, 0.01, 0, 0.1, 0.1] },
    max: { dtype: "f32", shape: [5], values: [3, 9, 0, -1, 2] },
    coherence: { dtype: "f32", shape: [5], values: [0.2, 0.9, Number.NaN, 0.4, 0.5] },
    active: { dtype: "i32", shape: [5, 2], values: [1, 2, 2, -1, -1, -1, 3, 1, 4, -1] },
    promoted: { dtype: "i32", shape: [5, 1], values: [4, 1, 1, 1, 2] },
    prompt_latents: { dtype: "i32", shape: [2, 2], values: [3, 0, 1, -1] },
    prompt_values: { dtype: "f32", shape: [2, 2], values: [7, 5, 2, 0] },
    histogram: { dtype: "u8", shape: [5, 4], values: new Array(20).fill(128) },
  } as const;
  const layout: Record<string, { dtype: "f32" | "i32" | "u8"; shape: number[]; offset: number }> = {};
  const bytes: number[] = [];
  for (const [name, { dtype, shape, values }] of Object.entries(columns)) {
    layout[name] = { dtype, shape: [...shape], offset: bytes.length };
    const kind = { f32: Float32Array, i32: Int32Array, u8: Uint8Array }[dtype];
    bytes.push(...new Uint8Array(new kind(values).buffer));
    while (bytes.length % 8) bytes.push(0);
  }
  const header: Header = {
    title: "<b>t</b>",
    model: "m",
    tokens: 10,
    texts: 2,
    lowest: -3,
    strings: { 1: " red", 2: " blue", 3: "</script>", 4: "Green" },
    labels: { 1: "colours of the sea" },
    verdicts: { 1: "causal", 3: "correlational" },
    prompt: [" red", " blue"],
    layout,
  };
  const payload = squeezed(new Uint8Array(bytes).buffer);
  const at = { opened: -1, page: 0, token: -1, detail: {} };
  return { header, payload, sort: ["density", true], query: "", only: "all", densities: [0, 1], ...at };
}

describe("order", () => {
  it("sorts as numbers are sorted, ties as they stand, nothing last", () => {
    const values = new Float32Array([2, -1, Number.NaN, 0, -3.5, 2, 1e-30, Infinity]);
    expect([...ordered(values, false)]).toEqual([4, 1, 3, 6, 0, 5, 7, 2]);
    expect([...ordered(values, true)]).toEqual([7, 0, 5, 6, 3, 1, 4, 2]);
  });
  it("agrees with the language's own sort", () => {
    const values = Float32Array.from({ length: 500 }, (_, i) => Math.fround(Math.sin(i * 7.3) * 10 ** ((i % 9) - 4)));
    const wanted = [...values.keys()].sort((a, b) => values[b] - values[a] || a - b);
    expect([...ordered(values, true)]).toEqual(wanted);
  });
});

describe("selection", () => {
  const { header, payload, ...state } = traits();
  const select = (more: object): number[] => [...new Selector(new FeatureData(header, payload)).select({ ...state, ...more })];
  it("finds tokens, labels and numbers", () => {
    expect(select({})).toEqual([0, 3, 4, 1, 2]);
    expect(select({ query: "blue" })).toEqual([0, 4, 1]);
    expect(select({ query: "GREEN" })).toEqual([0, 4]);
    expect(select({ query: "the sea" })).toEqual([1]);
    expect(select({ query: "#2" })).toEqual([2]);
    expect(select({ query: "#" })).toEqual([]);
    expect(select({ query: "nothing of the kind" })).toEqual([]);
  });
  it("filters by density, label, verdict and token", () => {
    expect(select({ densities: [0.05, 0.2] })).toEqual([3, 4]);
    expect(select({ only: "labelled" })).toEqual([1]);
    expect(select({ only: "correlational" })).toEqual([3]);
    expect(select({ token: 0, sort: ["here", true] })).toEqual([3, 0]);
    expect(select({ sort: ["label", false] })).toEqual([1, 0, 2, 3, 4]);
  });
});

describe("the feature table", () => {
  let model: FakeModel<FeatureTraits>;
  let el: HTMLElement;
  let cleanup: () => void;
  const latents = (): string[] => [...el.querySelectorAll(".iw-rows-body .iw-row")]
    .sort((a, b) => Number(a.getAttribute("aria-rowindex")) - Number(b.getAttribute("aria-rowindex")))
    .map((row) => row.querySelector(".iw-is-latent")?.textContent ?? "");

  beforeEach(() => {
    ({ model, el, cleanup } = mounted(widget.render, traits()));
  });

  it("sorts by a click on a head, and the other way by another", () => {
    expect(latents()).toEqual(["0", "3", "4", "1", "2"]);
    el.querySelector<HTMLElement>("[data-column=max]")?.click();
    expect(model.traits.sort).toEqual(["max", true]);
    expect(latents()).toEqual(["1", "0", "4", "2", "3"]);
    el.querySelector<HTMLElement>("[data-column=max]")?.click();
    expect(latents()[0]).toBe("3");
    expect(el.querySelector("[aria-sort=ascending]")?.textContent).toContain("max");
  });

  it("opens a row, by hand or by key, and shows what Python says of it", () => {
    const rows = el.querySelector<HTMLElement>(".iw-rows");
    for (const key of ["ArrowDown", "Enter"]) rows?.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
    expect(model.traits.opened).toBe(3);
    expect(el.querySelector(".iw-detail .iw-state")?.textContent).toContain("Python is asked");
    const example = { text: 1, kind: "strongest", tokens: ["a", "<i>x</i>"], at: 1, activation: 4, values: [0, 4] };
    const curve = { values: [0, 1], feature: [0, 1], low: [0, 1], high: [0, 1], controls: [[1, 1]] };
    const proof = { verdict: "causal", told: ["necessity"], times: curve, levels: null };
    const lists = { active: [["a", 2]], promotes: [], suppresses: [], correlated: [[4, 0.5]], labels: [] } as const;
    model.set("detail", { latent: 3, page: 0, pages: 2, examples: [example], proof, note: "", ...lists });
    expect(el.querySelectorAll(".iw-examples li").length).toBe(1);
    expect(el.querySelector(".iw-examples i")).toBeNull();
    expect(el.querySelectorAll(".iw-dose circle").length).toBe(2);
    el.querySelector<HTMLElement>("[data-turn='next examples']")?.click();
    expect(model.traits.page).toBe(1);
    el.querySelector<HTMLElement>(".iw-others button")?.click();
    expect([model.traits.opened, model.traits.page]).toEqual([4, 0]);
    model.set("detail", { latent: 4, page: 0, error: "RequestError: gone" });
    expect(el.querySelector("[role=alert]")?.textContent).toContain("gone");
    rows?.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape", bubbles: true }));
    expect(el.querySelector(".iw-detail")).toBeNull();
  });

  it("shows the latents of a token, and goes back", () => {
    el.querySelector<HTMLElement>("[data-token='0']")?.click();
    expect(latents()).toEqual(["3", "0"]);
    expect(el.querySelector(".iw-rows-body .iw-is-here")?.textContent).toMatch(/[75]/);
    el.querySelector<HTMLElement>("[data-token='0']")?.click();
    expect(latents().length).toBe(5);
    expect(model.traits.sort).toEqual(["density", true]);
  });

  it("follows Python, and lets go", () => {
    model.set("query", "blue");
    expect(latents().length).toBe(3);
    expect(el.querySelector(".iw-bar-top")?.textContent).toContain("3 of 5 latents");
    cleanup();
    expect(el.childElementCount).toBe(0);
    expect([...model.handlers.values()].every((handlers) => handlers.size === 0)).toBe(true);
  });

  it("says that data are broken instead of drawing them", () => {
    model.set("payload", squeezed(new ArrayBuffer(8)));
    expect(el.querySelector("[role=alert]")?.textContent).toContain("outside the data");
  });
});

import { beforeEach, describe, expect, it, vi } from "vitest";
import widget from "../attribution";
import { answer, mounted, squeezed } from "../lib/fake";
import type { AttributionTraits } from "./view";

const WEIGHTS = new Uint8Array([255, 0, 0, 128, 127, 0, 10, 200, 45]);

function traits(): AttributionTraits {
  const heads = [
    [0.5, -0.25],
    [1.5, 0],
    [0, 0.1],
  ];
  return {
    header: { model: "m", target: " Paris", foil: "<b>x</b>", tokens: ["a", "</script><b>t</b>", "c"], embed: 0.1, attn: [0.25, 1.5, 0.1], mlp: [0, -2, 3], heads, constant: 0, total: 2.95 },
    chosen: {},
    pattern: {},
    weights: squeezed(new ArrayBuffer(0)),
    live: true,
    hail: 0,
    heard: 0,
    trouble: "",
  };
}

describe("the attribution view", () => {
  beforeEach(() => vi.stubGlobal("ResizeObserver", class { observe() {} disconnect() {} }));
  const shown = () => mounted(widget.render, traits());

  it("draws a bar for every part and a cell for every head", () => {
    const { el } = shown();
    expect(el.querySelectorAll(".iw-chart rect title").length).toBe(2 + 6 + 6);
    expect(el.querySelector(".iw-title")?.textContent).toContain("+2.95 logits");
    expect(el.querySelector("b, script")).toBeNull();
  });

  it("asks for a head that is clicked, and shows its pattern when it has come", () => {
    const { el, model } = shown();
    answer(model);
    el.querySelector('[data-head="1.0"]')?.dispatchEvent(new MouseEvent("click", { bubbles: true }));
    expect(model.traits.chosen).toEqual({ layer: 1, head: 0 });
    expect(el.textContent).toContain("reading its attention");
    model.set("weights", squeezed(WEIGHTS.buffer));
    model.set("pattern", { layer: 1, head: 0, first: 0, layout: { weights: { dtype: "u8", shape: [3, 3], offset: 0, scale: 1 / 255, base: 0 } } });
    expect(el.querySelectorAll(".iw-strip-tokens .iw-token").length).toBe(3);
    expect(el.querySelector(".iw-pattern td:last-child")?.textContent).toBe("0.784");
    expect(el.querySelector("b, script")).toBeNull();
    model.set("trouble", "the model has no attention patterns");
    expect(el.querySelector('[role="alert"]')?.textContent).toContain("no attention patterns");
  });

  it("asks again for a head whose pattern could not be had", () => {
    const { el, model } = shown();
    const seen: unknown[] = [];
    model.on("change:chosen", () => seen.push(model.traits.chosen));
    const choose = () => el.querySelector('[data-head="1.0"]')?.dispatchEvent(new MouseEvent("click", { bubbles: true }));
    choose();
    model.set("trouble", "the pool is gone");
    choose();
    expect(seen).toEqual([{}, { layer: 1, head: 0 }, {}, { layer: 1, head: 0 }]);
    expect(model.traits.trouble).toBe("");
  });

  it("is driven by the keyboard alone, and by Python", () => {
    const { el, model } = shown();
    const grid = el.querySelector('[role="grid"]') as HTMLElement;
    for (const key of ["ArrowRight", "ArrowDown", "Enter"]) grid.dispatchEvent(new KeyboardEvent("keydown", { key }));
    expect(model.traits.chosen).toEqual({ layer: 1, head: 1 });
    expect(document.getElementById(grid.getAttribute("aria-activedescendant") ?? "")?.textContent).toContain("layer 1, head 1");
    model.set("chosen", { layer: 2, head: 0 });
    expect(el.querySelectorAll(".iw-heads rect").length).toBe(7);
  });

  it("has no grid for a model without heads, and leaves nothing behind", () => {
    const { el, model, cleanup } = shown();
    model.set("header", { ...traits().header, heads: [] });
    expect((el.querySelector('[role="grid"]') as HTMLElement).hidden).toBe(true);
    cleanup();
    expect([...model.handlers.values()].every((set) => set.size === 0)).toBe(true);
  });
});

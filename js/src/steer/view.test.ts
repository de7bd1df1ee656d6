import { beforeEach, describe, expect, it } from "vitest";
import { type FakeModel, mounted, squeezed } from "../lib/fake";
import widget from "../steer";
import { extent, linear } from "../lib/axes";
import { type Header, SteerData } from "./data";
import type { SteerTraits } from "./view";

// Two curves, two layers, three items, three scales; the scales are not in order.
function traits(): SteerTraits {
  const scales = [1, -1, 0];
  const sizes = { values: 36, mean: 12, band: 12, slope: 4, interval: 8, r2: 2, turning: 2 };
  const shapes: Record<string, number[]> = { values: [2, 2, 3, 3], mean: [2, 2, 3], band: [2, 3, 2], slope: [2, 2], interval: [2, 2, 2], r2: [2], turning: [2] };
  const layout: Record<string, { dtype: "f32"; shape: number[]; offset: number }> = {};
  const numbers: number[] = [];
  for (const [name, size] of Object.entries(sizes)) {
    layout[name] = { dtype: "f32", shape: shapes[name], offset: 4 * numbers.length };
    for (let i = 0; i < size; i++) numbers.push(name === "values" ? (i % 9) + scales[i % 3] : 0.25 * (i + 1));
  }
  const header: Header = {
    title: "<b>t</b>",
    model: "m",
    site: "resid_post",
    layers: [3, 5],
    scales,
    curves: ["mood", "random"],
    prompts: ["one", "</script><img src=x>", "three"],
    answers: [[" A", " B"], [" B", " A"], [" A", " B"]],
    layout,
  };
  return { header, payload: squeezed(new Float32Array(numbers).buffer), layer: 5, item: -1, side: "slopes" };
}

describe("the steerability view", () => {
  let model: FakeModel<SteerTraits>;
  let el: HTMLElement;
  let cleanup: () => void;

  beforeEach(() => {
    ({ model, el, cleanup } = mounted(widget.render, traits()));
  });

  it("says the figures of the layer that is shown, and follows it", () => {
    expect(el.querySelector(".iw-figures")?.textContent).toContain("layer 5: slope 0.500 [0.750, 1.000]");
    expect(el.querySelector(".iw-figures")?.textContent).toContain("random 1.000");
    model.set("layer", 3);
    expect(el.querySelector(".iw-figures")?.textContent).toContain("layer 3: slope 0.250");
  });

  it("draws every item, the interval, the control and the mean", () => {
    expect(el.querySelectorAll(".iw-curves path")).toHaveLength(3 + 1 + 1 + 1);
    model.set("item", 1);
    expect(el.querySelectorAll(".iw-curves path.iw-chosen")).toHaveLength(1);
    expect(el.querySelector(".iw-prompt")?.textContent).toBe("</script><img src=x>");
    expect(el.querySelectorAll("img")).toHaveLength(0);
    const cells = [...el.querySelectorAll(".iw-values span")].map((cell) => cell.textContent);
    expect(cells.filter((_, i) => i % 2 === 0)).toEqual(["−1", "0", "1"]);
  });

  it("is used by keys alone", () => {
    const charts = el.querySelector(".iw-pair") as HTMLElement;
    const press = (key: string): boolean => charts.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
    press("ArrowLeft");
    press("ArrowLeft");
    expect(model.traits.layer).toBe(3);
    press("ArrowRight");
    expect(model.traits.layer).toBe(5);
    press("ArrowDown");
    expect(model.traits.item).toBe(0);
    press("Escape");
    expect(model.traits.item).toBe(-1);
    expect(el.querySelector(".iw-live")?.textContent).not.toBe("");
  });

  it("shows every layer and scale at once, and chooses a layer there", () => {
    (el.querySelectorAll(".iw-modes button")[1] as HTMLButtonElement).click();
    expect(model.traits.side).toBe("map");
    const cells = el.querySelectorAll(".iw-layermap .iw-target rect");
    expect(cells).toHaveLength(2 * 3);
    const [first, middle] = [0, 1].map((i) => cells[i].textContent);
    expect(middle).toContain("layer 3, scale 0: m changes by 0.000");
    expect(first).toContain("layer 3, scale −1: m changes by −0.250");
    expect(cells[0].getAttribute("fill")).not.toBe(cells[1].getAttribute("fill"));
    (el.querySelectorAll(".iw-layermap .iw-target")[0] as SVGElement).dispatchEvent(new MouseEvent("click", { bubbles: true }));
    expect(model.traits.layer).toBe(3);
  });

  it("chooses a layer by its column", () => {
    (el.querySelectorAll(".iw-target")[0] as SVGElement).dispatchEvent(new MouseEvent("click", { bubbles: true }));
    expect(model.traits.layer).toBe(3);
  });

  it("shows what is wrong instead of nothing, and goes", () => {
    model.traits.header = { ...traits().header, layout: { values: { dtype: "f32", shape: [9999], offset: 0 } } };
    model.set("payload", traits().payload);
    expect(el.querySelector("[role=alert]")?.textContent).toContain("outside the data");
    cleanup();
    expect(el.childElementCount).toBe(0);
    expect([...model.handlers.values()].every((handlers) => handlers.size === 0)).toBe(true);
  });
});

describe("axes and data", () => {
  it("keeps 0 in sight and survives a flat line", () => {
    expect(extent([2, 3])[0]).toBeLessThan(0);
    expect(linear(1, 1, 0, 10)(1)).toBe(0);
  });
  it("orders scales for drawing, not in the data", () => {
    const { header, payload } = traits();
    expect(new SteerData(header, payload).order).toEqual([1, 2, 0]);
  });
});

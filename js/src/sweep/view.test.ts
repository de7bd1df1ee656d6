import { beforeEach, describe, expect, it } from "vitest";
import { type FakeModel, mounted } from "../lib/fake";
import widget from "../sweep";
import { tokens } from "./charts";
import type { SweepTraits } from "./view";

function traits(): SweepTraits {
  const runs = [
    { name: "a", seen: [10, 20], fvu: [null, 0.5], l0: [8, 4], dead: [0, 0.5], cells: ["64"] },
    { name: "<b>", seen: [10, 20], fvu: [0.4, 0.2], l0: [9, 8], dead: [0, 0.01], cells: ["128"] },
  ];
  return { header: { title: "two", total: 40, heads: ["latents"], runs, running: true }, metric: "fvu", run: "" };
}

describe("the trainings", () => {
  let model: FakeModel<SweepTraits>;
  let el: HTMLElement;
  let cleanup: () => void;

  beforeEach(() => {
    ({ model, el, cleanup } = mounted(widget.render, traits()));
  });

  it("draws what is known, and says how far it is", () => {
    expect([...el.querySelectorAll(".iw-course polyline")].map((line) => line.getAttribute("points")?.split(" ").length)).toEqual([1, 2]);
    expect(el.querySelectorAll(".iw-exchange circle").length).toBe(2);
    expect(el.querySelector("[role=status]")?.textContent).toBe("20 tokens of 40, still learning");
    expect(el.querySelector("tbody tr")?.textContent).toContain("0.50004.050.0 %");
  });

  it("shows another measure, lets one stand out, and goes on", () => {
    el.querySelectorAll<HTMLElement>("[role=radio]")[2].click();
    expect(model.traits.metric).toBe("dead");
    expect(el.querySelectorAll(".iw-course polyline")[0].getAttribute("points")?.split(" ").length).toBe(2);
    el.querySelectorAll<HTMLElement>("tbody button")[1].click();
    expect(model.traits.run).toBe("<b>");
    expect(el.querySelector(".iw-course polyline")?.getAttribute("opacity")).toBe("0.2");
    model.set("header", { ...traits().header, running: false });
    expect(el.querySelector("[role=status]")?.textContent).toBe("20 tokens");
    expect(el.querySelector("tbody b")).toBeNull();
    cleanup();
    expect([...model.handlers.values()].every((handlers) => handlers.size === 0)).toBe(true);
  });

  it("names numbers of tokens as one says them", () => {
    expect([950, 250_000, 1_500_000, 2e9].map(tokens)).toEqual(["950", "250 k", "1.5 M", "2 bn"]);
  });
});

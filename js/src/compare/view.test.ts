import { beforeEach, describe, expect, it } from "vitest";
import widget from "../compare";
import { FakeModel } from "../lib/fake";
import { curve, type Header } from "./data";
import type { CompareTraits } from "./view";

function header(): Header {
  const point = (strength: number, kl: number): Header["ways"][0]["at"] => ({ strength, kl, perplexity: 1.5, effects: [strength, -strength / 2] });
  const points = [point(2, 0.4), point(-1, 0.1), point(1, 0.1)];
  return {
    title: "2 ways",
    model: "m",
    budget: 0.2,
    groups: [{ name: "<b>told</b>", items: 1 }, { name: "other", items: 3 }],
    ways: [
      { name: "vector", gradual: true, points, at: point(1.4, 0.2), kept: [1, 0.667], texts: 60, added: 0 },
      { name: "</script><img src=x>", gradual: false, points: [point(1, 0.2)], at: point(1, 0.2), kept: [1, 1], texts: 0, added: 11 },
    ],
  };
}

describe("the comparison view", () => {
  let model: FakeModel<CompareTraits>;
  let el: HTMLElement;
  let cleanup: () => void;

  beforeEach(() => {
    document.body.replaceChildren();
    el = document.createElement("div");
    document.body.append(el);
    model = new FakeModel<CompareTraits>({ header: header(), way: "" });
    cleanup = widget.render({ model, el });
  });

  it("draws a chart for each group: a line for what is gradual, marks alone for what is not", () => {
    const charts = el.querySelectorAll(".iw-frontier");
    expect(charts).toHaveLength(2);
    expect(charts[0].querySelectorAll("path")).toHaveLength(2);
    expect(charts[0].querySelectorAll("rect")).toHaveLength(1);
    expect(charts[0].querySelectorAll(".iw-budget")).toHaveLength(1);
    expect(charts[0].textContent).toContain("<b>told</b>, 1 item");
    expect(charts[1].textContent).toContain("vector at 2: m changes by −1.000, KL 0.400, perplexity × 1.50");
    expect(el.querySelectorAll("img, b")).toHaveLength(0);
  });

  it("tells more ways apart than it has colours", () => {
    const [way] = header().ways;
    const ways = Array.from({ length: 12 }, (_, i) => ({ ...way, name: `way ${i}` }));
    model.set("header", { ...header(), ways });
    const strokes = [...el.querySelectorAll(".iw-frontier:first-child .iw-way path:last-of-type")].map(
      (path) => `${path.getAttribute("stroke")} ${path.getAttribute("stroke-dasharray")}`,
    );
    expect(new Set(strokes).size).toBe(12);
  });

  it("goes through nothing at a strength of 0", () => {
    expect(curve(header().ways[0], 2).map((point) => [point.strength, point.kl])).toEqual([[-1, 0.1], [0, 0], [1, 0.1], [2, 0.4]]);
  });

  it("says what is reached within the budget", () => {
    const cells = [...el.querySelectorAll("tbody tr:first-child td")].map((cell) => cell.textContent);
    expect(cells).toEqual(["1.40", "× 1.50", "+1.40", "100 %", "−0.70", "67 %", "60", "0"]);
    expect(el.querySelector(".iw-hint")?.textContent).toContain("within a KL of 0.2");
  });

  it("lets one way stand out, by its button and from Python, and keeps the focus", () => {
    const button = (): HTMLButtonElement => el.querySelectorAll<HTMLButtonElement>("tbody button")[1];
    button().focus();
    button().click();
    expect(model.traits.way).toBe("</script><img src=x>");
    const opacity = (): (string | null)[] => [...el.querySelectorAll(".iw-frontier:first-child .iw-way")].map((way) => way.getAttribute("opacity"));
    expect(opacity()).toEqual(["0.18", "1"]);
    expect(document.activeElement).toBe(button());
    button().click();
    expect(model.traits.way).toBe("");
    model.set("way", "vector");
    expect(opacity()).toEqual(["1", "0.18"]);
    model.set("way", "no such way");
    expect(opacity()).toEqual(["1", "1"]);
  });

  it("says so when there is nothing, and leaves nothing behind", () => {
    model.set("header", { ...header(), ways: [] });
    expect(el.textContent).toContain("nothing to show");
    model.set("header", header());
    expect(el.querySelectorAll(".iw-frontier")).toHaveLength(2);
    cleanup();
    expect(el.childElementCount).toBe(0);
    expect([...model.handlers.values()].every((handlers) => handlers.size === 0)).toBe(true);
  });
});

import { beforeEach, describe, expect, it, vi } from "vitest";
import widget from "../lens";
import { FakeModel } from "../lib/fake";
import type { Header } from "./data";
import { HEAD, LABEL, ROW } from "./map";
import type { LensTraits } from "./view";

// Two layers, two positions, k = 2: ids 7 and 9.
function traits(): LensTraits {
  const top = new Uint16Array([0, 1, 1, 0, 0, 1, 0, 1]);
  const logprob = new Uint16Array([9, 5, 8, 4, 7, 3, 6, 2]);
  const payload = new Uint8Array(32);
  payload.set(new Uint8Array(top.buffer), 0);
  payload.set(new Uint8Array(logprob.buffer), 16);
  const slot = { dtype: "u16", shape: [1, 2, 2, 2] } as const;
  const header: Header = {
    title: "t",
    model: "m",
    sites: ["resid_post"],
    layers: [3, 5],
    positions: [0, 1],
    top_k: 2,
    prompt_length: 1,
    vocabulary: 10,
    ids: [7, 9],
    strings: { "7": "</script><b>x</b>", "9": " y" },
    token_ids: [9, 7],
    tracked_ids: [],
    layout: { top: { ...slot, offset: 0 }, logprob: { ...slot, offset: 16, scale: 1, base: -10 } },
  };
  return { header, payload: new DataView(payload.buffer), mode: "logprob", site: "resid_post", pins: [], cursor: [-1, -1] };
}

describe("the lens view", () => {
  let model: FakeModel<LensTraits>;
  let el: HTMLElement;
  let cleanup: () => void;

  beforeEach(() => {
    vi.stubGlobal("ResizeObserver", class { observe() {} disconnect() {} });
    model = new FakeModel(traits());
    el = document.createElement("div");
    document.body.replaceChildren(el);
    cleanup = widget.render({ model, el });
  });

  const canvas = (): HTMLCanvasElement => el.querySelector("canvas") as HTMLCanvasElement;
  const at = (row: number, column: number) => ({
    clientX: LABEL + (column + 0.5) * 92,
    clientY: HEAD + (row + 0.5) * ROW,
    bubbles: true,
  });

  it("pins the clicked cell's top token by id, and unpins it", () => {
    canvas().dispatchEvent(new MouseEvent("click", at(1, 0)));
    expect(model.traits.pins).toEqual([{ site: "resid_post", position: 1, layer: 3, token_id: 9 }]);
    expect(el.querySelectorAll(".iw-chip").length).toBe(1);
    expect(el.querySelector("svg path")).not.toBeNull();
    canvas().dispatchEvent(new MouseEvent("click", at(1, 0)));
    expect(model.traits.pins).toEqual([]);
    expect(model.saved).toBeGreaterThan(1);
  });

  it("is driven by the keyboard alone", () => {
    for (const key of ["ArrowDown", "End", "Enter"]) canvas().dispatchEvent(new KeyboardEvent("keydown", { key }));
    expect(model.traits.cursor).toEqual([5, 1]);
    expect(model.traits.pins).toHaveLength(1);
    expect(el.querySelector(".iw-live")?.textContent).toContain("layer 5");
    canvas().dispatchEvent(new KeyboardEvent("keydown", { key: "Escape" }));
    expect(model.traits.pins).toEqual([]);
  });

  it("shows pins and modes that Python sets", () => {
    model.set("pins", [{ site: "resid_post", position: 0, layer: 3, token_id: 7 }]);
    expect(el.querySelectorAll(".iw-chip").length).toBe(1);
    model.set("mode", "rank");
    expect(el.querySelector('[aria-checked="true"]')?.textContent).toBe("rank of final");
  });

  it("never makes markup of a token", () => {
    canvas().dispatchEvent(new MouseEvent("pointermove", at(0, 0)));
    model.set("pins", [{ site: "resid_post", position: 0, layer: 3, token_id: 7 }]);
    expect(el.querySelector("b, script")).toBeNull();
    expect(el.textContent).toContain("</script><b>x</b>");
  });

  it("offers only what there is", () => {
    expect(el.textContent).not.toContain("KL to final");
  });

  it("says what is wrong with data it cannot read", () => {
    model.set("payload", new DataView(new ArrayBuffer(2)));
    expect(el.querySelector('[role="alert"]')?.textContent).toContain("outside the data");
  });

  it("takes every handler off when it goes", () => {
    cleanup();
    expect([...model.handlers.values()].every((set) => set.size === 0)).toBe(true);
    expect(el.childElementCount).toBe(0);
  });
});

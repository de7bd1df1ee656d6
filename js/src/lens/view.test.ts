import { beforeEach, describe, expect, it, vi } from "vitest";
import widget from "../lens";
import { answer, FakeModel, squeezed } from "../lib/fake";
import type { Header } from "./data";
import { HEAD, LABEL, ROW } from "./grid";
import type { LensTraits } from "./view";

// Two layers, two positions, k = 2: ids 7 and 9.
function traits(): LensTraits {
  const top = new Uint16Array([0, 1, 1, 0, 0, 1, 0, 1]);
  const logprob = new Uint16Array([9, 5, 8, 4, 7, 3, 6, 2]);
  const payload = new Uint8Array(48);
  payload.set(new Uint8Array(top.buffer), 0);
  payload.set(new Uint8Array(logprob.buffer), 16);
  payload.set(new Uint8Array(new Uint32Array([7, 9]).buffer), 32);
  payload.set(new Uint8Array(new Uint16Array([1, 0]).buffer), 40);
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
    strings: ["</script><b>x</b>", " y"],
    tracked_ids: [],
    base: "",
    layout: {
      known: { dtype: "u32", shape: [2], offset: 32 },
      read: { dtype: "u16", shape: [2], offset: 40 },
      top: { ...slot, offset: 0 }, logprob: { ...slot, offset: 16, scale: 1, base: -10 } },
  };
  return {
    header,
    payload: squeezed(payload.buffer),
    mode: "logprob",
    site: "resid_post",
    shown: ["resid_post"],
    pins: [],
    cursor: [-1, -1],
    zoom: {},
    offered: [],
    live: false,
    hail: 0,
    heard: 0,
    asked: { id: 0 },
    told: {},
    progress: {},
    cancelled: false,
  };
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
  const grid = (): HTMLElement => el.querySelector('[role="grid"]') as HTMLElement;
  const press = (from: [number, number], to = from): void => {
    canvas().dispatchEvent(new PointerEvent("pointerdown", at(...from)));
    canvas().dispatchEvent(new PointerEvent("pointermove", at(...to)));
    canvas().dispatchEvent(new PointerEvent("pointerup", at(...to)));
  };
  const at = (row: number, column: number) => ({
    clientX: LABEL + (column + 0.5) * 92,
    clientY: HEAD + (row + 0.5) * ROW,
    bubbles: true,
  });

  it("pins the clicked cell's top token by id, and unpins it", () => {
    press([1, 0]);
    expect(model.traits.pins).toEqual([{ site: "resid_post", position: 1, layer: 3, token_id: 9 }]);
    expect(el.querySelectorAll(".iw-chip").length).toBe(1);
    expect(el.querySelector("svg path")).not.toBeNull();
    press([1, 0]);
    expect(model.traits.pins).toEqual([]);
    expect(model.saves).toBeGreaterThan(1);
  });

  it("is driven by the keyboard alone", () => {
    for (const key of ["ArrowDown", "End", "Enter"]) grid().dispatchEvent(new KeyboardEvent("keydown", { key }));
    expect(model.traits.cursor).toEqual([5, 1]);
    expect(model.traits.pins).toHaveLength(1);
    expect(el.querySelector(".iw-live")?.textContent).toContain("layer 5");
    grid().dispatchEvent(new KeyboardEvent("keydown", { key: "Escape" }));
    expect(model.traits.pins).toEqual([]);
  });

  it("shows pins and modes that Python sets", () => {
    model.set("pins", [{ site: "resid_post", position: 0, layer: 3, token_id: 7 }]);
    expect(el.querySelectorAll(".iw-chip").length).toBe(1);
    model.set("mode", "rank");
    expect(el.querySelector('[aria-checked="true"]')?.textContent).toBe("rank of final");
  });

  it("zooms to a rectangle that is drawn, and out again", () => {
    press([0, 1], [1, 1]);
    expect(model.traits.zoom).toEqual({ layers: [5, 5], positions: [0, 1] });
    expect(grid().getAttribute("aria-colcount")).toBe("1");
    expect(model.traits.pins).toEqual([]);
    grid().dispatchEvent(new KeyboardEvent("keydown", { key: "0" }));
    expect(grid().getAttribute("aria-colcount")).toBe("2");
  });

  it("zooms to a rectangle that keys draw", () => {
    const keys = (key: string, shiftKey = false): void => void grid().dispatchEvent(new KeyboardEvent("keydown", { key, shiftKey }));
    keys("End");
    keys("ArrowDown", true);
    keys("Enter");
    expect(model.traits.zoom).toEqual({ layers: [5, 5], positions: [0, 1] });
    expect(model.traits.pins).toEqual([]);
    expect((el.querySelector(".iw-card") as HTMLElement).hidden, "the card of a cell that has moved").toBe(true);
    keys("0");
    keys("ArrowUp", true);
    keys("ArrowLeft");
    keys("Enter");
    expect(model.traits.pins, "a step without Shift lets go of the rectangle").toHaveLength(1);
    keys("ArrowRight", true);
    keys("Escape");
    expect(model.traits.pins, "Escape lets go of the rectangle first").toHaveLength(1);
    keys("Escape");
    expect(model.traits.pins).toEqual([]);
  });

  it("lets go of a rectangle when what it was drawn on is no more", () => {
    const keys = (key: string, shiftKey = false): void => void grid().dispatchEvent(new KeyboardEvent("keydown", { key, shiftKey }));
    for (const anew of [() => keys("0"), () => model.set("zoom", { layers: [5, 5], positions: [0, 1] })]) {
      keys("End");
      keys("ArrowDown", true);
      anew();
      const zoom = model.traits.zoom;
      keys("Enter");
      expect(model.traits.zoom).toEqual(zoom);
    }
  });

  it("asks for tokens and sites only where somebody answers, and says what was said", () => {
    expect(el.querySelector("input")).toBeNull();
    model.set("live", true);
    expect(el.querySelector("input"), "a kernel that is gone leaves this behind").toBeNull();
    answer(model);
    model.set("offered", ["mlp_out"]);
    const field = el.querySelector("input") as HTMLInputElement;
    field.value = "Paris";
    field.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter" }));
    expect(model.traits.asked).toEqual({ id: 1, track: "Paris" });
    expect(el.querySelector(".iw-said")?.textContent).toContain("asking");
    model.set("told", { id: 1, text: "'Paris' is not one token", trouble: true });
    expect(el.querySelector(".iw-said.iw-failed")?.textContent).toContain("not one token");
    (el.querySelectorAll(".iw-sites button")[1] as HTMLElement).click();
    expect(model.traits.asked).toEqual({ id: 2, site: "mlp_out" });
    expect(model.traits.shown).toEqual(["resid_post", "mlp_out"]);
  });

  it("shows where a run stands that has not begun, and asks for its end once", () => {
    model.set("progress", { state: "queued", text: "queued, 3 before it", end: "button" });
    const button = el.querySelector(".iw-progress button") as HTMLButtonElement;
    expect(el.querySelector(".iw-progress")?.textContent).toContain("3 before it");
    button.click();
    expect(model.traits.cancelled).toBe(true);
    expect((el.querySelector(".iw-progress button") as HTMLButtonElement).disabled).toBe(true);
    model.set("header", {});
    expect(el.querySelector(".iw-state")?.textContent).toContain("Nothing is decoded");
    model.set("progress", { state: "running", end: "stop" });
    expect(el.querySelector(".iw-progress")?.textContent).toContain("Stop the cell");
  });

  it("leaves a button where it is while it is pressed, whatever news come", async () => {
    model.set("progress", { state: "running", text: "1 of 9", end: "button" });
    const button = el.querySelector(".iw-progress button") as HTMLButtonElement;
    button.dispatchEvent(new PointerEvent("pointerdown", { bubbles: true }));
    model.set("progress", { state: "running", text: "2 of 9", end: "button" });
    expect(button.isConnected).toBe(true);
    button.dispatchEvent(new PointerEvent("pointerup", { bubbles: true }));
    button.click();
    expect(model.traits.cancelled).toBe(true);
    await new Promise((turn) => setTimeout(turn));
    expect(el.querySelector(".iw-progress")?.textContent).toContain("2 of 9");
  });

  it("leaves the field and the focus where they are when an answer comes", () => {
    model.set("live", true);
    answer(model);
    const field = el.querySelector("input") as HTMLInputElement;
    field.focus();
    field.value = "Lond";
    model.set("header", { ...(model.traits.header as Header), title: "other" });
    expect(document.activeElement).toBe(field);
    const rank = el.querySelectorAll<HTMLElement>('[role="radio"]')[1];
    rank.focus();
    rank.click();
    expect((document.activeElement as HTMLElement).textContent).toBe("rank of final");
  });

  it("tells a screen reader which cell is active", () => {
    for (const key of ["ArrowDown", "End"]) grid().dispatchEvent(new KeyboardEvent("keydown", { key }));
    const active = document.getElementById(grid().getAttribute("aria-activedescendant") ?? "");
    expect(active?.getAttribute("role")).toBe("gridcell");
    expect(active?.getAttribute("aria-colindex")).toBe("2");
    expect(active?.textContent).toContain("layer 5");
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
    model.set("payload", squeezed(new ArrayBuffer(2)));
    expect(el.querySelector('[role="alert"]')?.textContent).toContain("outside the data");
  });

  it("takes every handler off when it goes", () => {
    cleanup();
    expect([...model.handlers.values()].every((set) => set.size === 0)).toBe(true);
    expect(el.childElementCount).toBe(0);
  });
});

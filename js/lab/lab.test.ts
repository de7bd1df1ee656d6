import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Job, PoolState } from "../src/pool/data";
import { lensCell, selected, steerCell } from "./commands";
import type { Cell } from "./host";
import { Panel, type Told } from "./panel";
import { parts } from "./words";

const text = (line: string): string[] => parts(line).map(({ kind, from, to }) => `${kind}:${line.slice(from, to)}`);

describe("the words of a magic's line", () => {
  it("ends the options where the text begins", () => {
    expect(text("%lens -l 0,4,8: -q the -text is -l verbatim")).toEqual([
      "magic:%lens",
      "option:-l",
      "value:0,4,8:",
      "option:-q",
      "text:the -text is -l verbatim",
    ]);
  });
  it("knows quotes, --name=value, -- and an assignment", () => {
    expect(text("run = %lens -t ' the' --seed=3 -- -l x ")).toEqual([
      "magic:%lens",
      "option:-t",
      "value:' the'",
      "option:--seed=3",
      "option:--",
      "text:-l x",
    ]);
  });
  it("is not slow on a line that is long", () => {
    // By the square of its length this would take longer than a test may.
    for (let i = 0; i < 20; i++) expect(text(`${" ".repeat(200_000)}% and more`)).toEqual([]);
  });
  it("leaves what is not ours alone", () => {
    expect([text("%timeit -n 3 x"), text("x = 3 %lens"), text("%lensing x"), text("print('%lens x')")]).toEqual([[], [], [], []]);
  });
});

describe("commands on a selection", () => {
  const cell = (source: string, from: number, to: number): Cell => {
    const place = (column: number) => ({ line: 0, column });
    const editor = {
      getSelection: () => ({ start: place(from), end: place(to) }),
      getOffsetAt: ({ column }: { column: number }) => column,
    };
    return { model: { type: "code", sharedModel: { getSource: () => source, setSource() {} } }, editor } as unknown as Cell;
  };
  it("take the selection, or the whole cell", () => {
    expect(selected(cell("one two three", 4, 7))).toBe("two");
    expect(selected(cell("one two three", 7, 4))).toBe("two");
    expect(selected(cell(" one two ", 3, 3))).toBe("one two");
  });
  it("write cells in which the text is verbatim", () => {
    expect(lensCell("-l is text")).toBe("%lens -- -l is text");
    expect(lensCell("a\nb")).toBe("%%lens\na\nb");
    for (const end of ["\u2028", "\u2029", "\x85", "\v", "\f", "\x1c", "\r"]) {
      expect(lensCell(`a${end}import os`).startsWith("%%lens\n")).toBe(true);
      expect(steerCell(`a${end}import os`)).toBe("%steer -v VECTOR --scale 4 -n 40 -- a import os");
    }
    expect(steerCell("The food")).toBe("%steer -v VECTOR --scale 4 -n 40 -- The food");
    expect(steerCell("+ good\n\n- bad")).toBe("%%steer VECTOR\n+ good\n- bad");
  });
});

describe("the panel", () => {
  const state = (more: Partial<PoolState> = {}): PoolState => ({
    endpoint: "tcp://127.0.0.1:7", user: "ada", admin: false, uptime: 9, queued: 0, running: 0, draining: false, paused: false, weight: 1,
    models: [], groups: [], jobs: [], quota: [], trouble: "", ...more,
  });
  const job = { job: "abcdef1234", user: "ada", mine: true, model: "m", method: "lens", state: "queued", priority: "interactive", ahead: 412,
    wait: 95, attempt: 1, seconds: 0, submitted: 3, done: 0, texts: 1, shared: [], why: "" } satisfies Job;
  let told: readonly Told[] | Error;
  let cancelled: string[];
  let refuses = false;
  let panel: Panel;
  let root: HTMLElement;

  const shown = async (now: readonly Told[] | Error): Promise<string> => {
    told = now;
    await vi.advanceTimersByTimeAsync(9000);
    return root.textContent ?? "";
  };
  beforeEach(async () => {
    vi.useFakeTimers();
    told = [];
    cancelled = [];
    root = document.createElement("div");
    document.body.replaceChildren(root);
    const pools = async (): Promise<readonly Told[]> => {
      if (told instanceof Error) throw told;
      return told;
    };
    const cancel = async (pool: string, id: string): Promise<void> => {
      if (refuses) throw new Error("the pool is gone");
      cancelled.push(`${pool}/${id}`);
    };
    panel = new Panel(root, { pools, cancel }, () => true);
    await vi.advanceTimersByTimeAsync(1);
  });
  afterEach(() => {
    panel.destroy();
    vi.useRealTimers();
  });

  it("says how one comes by a pool where there is none", async () => {
    expect(await shown([])).toContain("No pool is configured");
  });
  it("shows a full queue with the place of my job, and ends it once", async () => {
    const text = await shown([{ name: "configured", own: false, state: state({ queued: 5000, jobs: [job] }) }]);
    expect(text).toContain("5000 queued");
    expect(text).toContain("about 412 before it, in about 2 min");
    const button = root.querySelector("button[data-job]") as HTMLButtonElement;
    button.click();
    button.click();
    await vi.advanceTimersByTimeAsync(5);
    expect(cancelled).toEqual(["configured/abcdef1234"]);
  });
  it("keeps a lost pool and a token that was taken back apart from a pool that answers", async () => {
    const lost = { name: "configured", own: false, trouble: "the pool does not answer" };
    const text = await shown([lost, { name: "7-1", own: true, state: state() }]);
    expect(text).toContain("The lab's pool cannot be reached: the pool does not answer");
    expect(root.querySelectorAll(".iw-pool").length).toBe(1);
    expect(await shown([{ ...lost, trouble: "the hub does not know this token any more" }])).toContain("does not know this token");
    expect(root.querySelectorAll(".iw-pool").length).toBe(0);
    expect(await shown([{ name: "configured", own: false, state: state() }])).toContain("Pool 127.0.0.1:7");
  });
  it("leaves the focus where it is, and lets an end that failed be asked for again", async () => {
    const full = { name: "configured", own: false, state: state({ queued: 1, jobs: [job] }) };
    await shown([full]);
    const button = (): HTMLButtonElement => root.querySelector("button[data-job]") as HTMLButtonElement;
    button().focus();
    await shown([{ ...full, state: state({ queued: 2, jobs: [job] }) }]);
    expect(document.activeElement).toBe(button());
    refuses = true;
    button().click();
    await vi.advanceTimersByTimeAsync(5);
    expect(root.textContent).toContain("was not ended: the pool is gone");
    expect(button().disabled).toBe(false);
    refuses = false;
    button().click();
    await vi.advanceTimersByTimeAsync(5);
    expect(cancelled).toEqual(["configured/abcdef1234"]);
  });
  it("asks no more once it is gone", async () => {
    panel.destroy();
    expect(await shown([{ name: "configured", own: false, state: state() }])).not.toContain("Pool");
  });
  it("says that the server did not answer, and goes on asking", async () => {
    expect(await shown(new Error("the Jupyter server answered 404"))).toContain("answered 404");
    expect(await shown([{ name: "configured", own: false, state: state() }])).toContain("You have no jobs here");
  });
});

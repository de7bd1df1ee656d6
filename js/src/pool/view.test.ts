import { expect, test } from "vitest";
import { FakeModel } from "../lib/fake";
import { bytes, duration, type Job, place, type PoolState } from "./data";
import { type PoolTraits, PoolView } from "./view";

const job = (name: string, more: Partial<Job> = {}): Job => ({
  job: name,
  user: "ada",
  mine: true,
  model: "tiny",
  method: "lens",
  state: "queued",
  priority: "interactive",
  ahead: 3,
  wait: 12,
  attempt: 0,
  seconds: 0,
  submitted: 1,
  done: 0,
  texts: 1,
  shared: [],
  why: "",
  ...more,
});

const state = (jobs: Job[], more: Partial<PoolState> = {}): PoolState => ({
  endpoint: "tcp://host:7717",
  user: "ada",
  admin: false,
  uptime: 7200,
  queued: 1,
  running: 1,
  draining: false,
  paused: false,
  weight: 1,
  models: [{ name: "tiny", state: "serving", queued: 1, detail: "qwen3", trouble: "" }],
  groups: [{ name: "tiny/0", model: "tiny", state: "up", running: 1, load: 0.4, engine: "vllm", devices: [{ name: "host", used: 1e9, total: 4e9 }] }],
  jobs,
  quota: [{ name: "results", used: 5e8, most: 4e9, bytes: true }],
  trouble: "",
  ...more,
});

function shown(jobs: Job[], more: Partial<PoolState> = {}) {
  const root = document.createElement("div");
  document.body.append(root);
  const model = new FakeModel<PoolTraits>({ state: state(jobs, more), cancelling: [] });
  return { root, model, view: new PoolView(model, root) };
}

test("groups, jobs and quota are shown in words", () => {
  const { root } = shown([job("aaaabbbbcccc"), job("ddddeeeeffff", { state: "running", done: 3, texts: 9 })]);
  expect(root.textContent).toContain("tiny/0");
  expect(root.textContent).toContain("1.0 GB of 4.0 GB");
  expect(root.textContent).toContain("about 3 before it, in about 12 s");
  expect(root.textContent).toContain("3 of 9 texts");
  expect(root.textContent).toContain("500 MB of 4.0 GB");
});

test("a click asks for the end of that job, once", () => {
  const { root, model } = shown([job("aaaabbbbcccc"), job("ddddeeeeffff")]);
  root.querySelectorAll("button")[1].click();
  expect(model.get("cancelling")).toEqual(["ddddeeeeffff"]);
  expect(root.querySelectorAll("button")[1].disabled).toBe(true);
  expect(root.textContent).toContain("stopping");
});

test("another's job, and one that has ended, cannot be ended here", () => {
  const { root } = shown([job("a".repeat(12), { mine: false, user: "bob" }), job("b".repeat(12), { state: "done" })]);
  expect(root.querySelectorAll("button").length).toBe(0);
  expect(root.textContent).toContain("of bob");
});

test("what changes is drawn again, and the end of a job is told", () => {
  const { root, model } = shown([job("aaaabbbbcccc", { state: "running" })]);
  model.set("state", state([job("aaaabbbbcccc", { state: "done" })], { draining: true }));
  expect(root.textContent).toContain("takes no new jobs");
  expect(root.querySelector("[aria-live]")?.textContent).toBe("lens job aaaabbbbcccc is done");
});

test("a job says which engine cannot run it", () => {
  const { root } = shown([job("aaaabbbbcccc", { why: "vllm: it has no gradients yet" })]);
  expect(root.querySelector("[title='not on vllm: it has no gradients yet']")?.textContent).toContain("lens on tiny");
});

test("a name that looks like markup is text", () => {
  const { root } = shown([job("aaaabbbbcccc", { method: "<img src=x onerror=alert(1)>" })]);
  expect(root.querySelector("img")).toBeNull();
});

test("numbers read as a person would say them", () => {
  expect([bytes(0), bytes(999), bytes(1500), bytes(8.04e10)]).toEqual(["0 B", "999 B", "1.5 kB", "80.4 GB"]);
  expect([duration(0.2), duration(12), duration(600), duration(7200)]).toEqual(["0.2 s", "12 s", "10 min", "2.0 h"]);
  expect(place(job("a", { ahead: 0 }))).toBe("next in turn");
});

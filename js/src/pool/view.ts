// The pool panel: who serves what, how busy it is, my jobs and what I may still have. A cancel button asks Python.

import { element, Listeners } from "../lib/dom";
import { follow, type Model, tell } from "../lib/model";
import { Pressed } from "../lib/pressed";
import { empty } from "../lib/states";
import { bytes, duration, ended, type Group, type Job, place, type PoolState, type Share } from "./data";

export interface PoolTraits {
  state: PoolState;
  /** Jobs whose end was asked for here. */
  cancelling: string[];
}

const SHOWN = 12;

export class PoolView {
  readonly #listeners = new Listeners();
  readonly #live = element("div", { class: "iw-live", "aria-live": "polite" });
  readonly #body = element("div", { class: "iw-pool-body" });
  #said = "";

  constructor(
    private readonly model: Model<PoolTraits>,
    private readonly root: HTMLElement,
  ) {
    root.classList.add("iw", "iw-pool");
    root.replaceChildren(this.#body, this.#live);
    const { after } = new Pressed(root, this.#listeners);
    const render = (): void => this.#render();
    this.#listeners.add(follow(model, ["state", "cancelling"], () => after(render)));
    this.#render();
  }

  destroy(): void {
    this.#listeners.removeAll();
    this.root.replaceChildren();
  }

  #render(): void {
    const state = this.model.get("state");
    const focused = (document.activeElement as HTMLElement | null)?.dataset?.job;
    this.#body.replaceChildren(this.#top(state), this.#groups(state), this.#jobs(state), quota(state.quota));
    if (focused) this.#body.querySelector<HTMLElement>(`button[data-job="${CSS.escape(focused)}"]`)?.focus();
    this.#announce(state);
    this.root.dataset.drawn = "true";
  }

  /** Ends of jobs are told to those who do not see the table. */
  #announce(state: PoolState): void {
    const over = state.jobs.filter(ended);
    const last = over[over.length - 1];
    const text = last ? `${last.method} job ${last.job} is ${last.state}` : "";
    if (this.#said && text !== this.#said) this.#live.textContent = text;
    this.#said = text || " ";
  }

  #top(state: PoolState): HTMLElement {
    const who = `${state.user}${state.admin ? ", administrator" : ""}`;
    const busy = `${state.running} running, ${state.queued} queued, up ${duration(state.uptime)}`;
    return element(
      "div",
      { class: "iw-bar-top" },
      element("div", { class: "iw-title", title: state.endpoint }, `Pool ${state.endpoint.replace(/^tcp:\/\//, "")}`),
      element("div", { class: "iw-hint" }, `as ${who}: ${busy}`),
      ...(state.draining ? [chip("takes no new jobs", "warn")] : []),
      ...(state.paused ? [chip("paused", "warn")] : []),
      ...(state.trouble ? [chip(state.trouble, "bad")] : []),
    );
  }

  #groups(state: PoolState): HTMLElement {
    const rows = state.models.flatMap((model) => {
      const groups = state.groups.filter((group) => group.model === model.name && group.state !== "gone");
      const head = element(
        "tr",
        { class: "iw-model" },
        element("th", { scope: "row", title: model.detail }, model.name),
        element("td", {}, chip(model.state, tone(model.state))),
        element("td", { colspan: 2, class: "iw-hint" }, model.trouble || model.detail),
        element("td", {}, model.queued ? `${model.queued} wait` : ""),
      );
      return [head, ...groups.map(groupRow)];
    });
    return table("Models and worker groups", ["model, group", "state", "load", "memory", "jobs"], rows);
  }

  #jobs(state: PoolState): HTMLElement {
    if (!state.jobs.length) return empty("You have no jobs here.");
    const open = state.jobs.filter((job) => !ended(job));
    const over = state.jobs.filter(ended).reverse();
    const shown = [...open, ...over].slice(0, Math.max(SHOWN, Math.min(open.length, 3 * SHOWN)));
    const made = table("My jobs", ["job", "what", "state", "where", ""], shown.map((job) => this.#jobRow(job)));
    const left = state.jobs.length - shown.length;
    if (left > 0) made.append(element("div", { class: "iw-hint" }, `and ${left} more; pool.jobs() lists them`));
    return made;
  }

  #jobRow(job: Job): HTMLElement {
    const asked = this.model.get("cancelling").includes(job.job);
    const owner = job.mine ? "" : ` of ${job.user}`;
    const shared = job.mine && job.shared.length ? `, shared with ${job.shared.join(", ")}` : "";
    const again = job.attempt > 1 ? `, attempt ${job.attempt}` : "";
    const text = `${place(job)}${again}`;
    const parts = job.state === "running" && job.texts > 1;
    const where = element("td", { class: "iw-where" }, parts ? meter(job.done, job.texts, text, "texts done") : text);
    return element(
      "tr",
      {},
      element("th", { scope: "row", class: "iw-token", title: `job ${job.job}${owner}${shared}` }, job.job.slice(0, 8)),
      element("td", job.why ? { title: `not on ${job.why}` } : {}, `${job.method} on ${job.model}${owner}${job.priority === "batch" ? ", batch" : ""}`),
      element("td", {}, chip(asked && !ended(job) ? "stopping" : job.state, tone(job.state))),
      where,
      element("td", {}, ...(ended(job) || !job.mine ? [] : [this.#button(job, asked)])),
    );
  }

  #button(job: Job, asked: boolean): HTMLElement {
    const title = "End this job. While a cell blocks the kernel, use its Stop button instead";
    const button = element("button", { type: "button", title, "data-job": job.job, disabled: asked }, "cancel");
    button.addEventListener("click", () => {
      tell(this.model, "cancelling", [...this.model.get("cancelling"), job.job]);
      this.#render();
    });
    return button;
  }
}

function groupRow(group: Group): HTMLElement {
  const memory = group.devices.map((device) => meter(device.used, device.total, `${bytes(device.used)} of ${bytes(device.total)}`, device.name));
  return element(
    "tr",
    {},
    element("th", { scope: "row", class: "iw-group" }, group.engine === "vllm" ? `${group.name}, vLLM` : group.name),
    element("td", {}, chip(group.state, tone(group.state))),
    element("td", {}, meter(group.load, 1, `${(100 * group.load).toFixed(0)} %`, "share of the last minute in which it ran jobs")),
    element("td", {}, ...memory),
    element("td", {}, group.running ? `${group.running} run` : "idle"),
  );
}

function quota(shares: Share[]): HTMLElement {
  const cells = shares.map(({ name, used, most, bytes: sized }) => {
    const text = sized ? `${bytes(used)} of ${bytes(most)}` : `${used} of ${most}`;
    return element("div", { class: "iw-share" }, element("span", { class: "iw-hint" }, name), meter(used, most, text, name));
  });
  return element("div", { class: "iw-quota", role: "group", "aria-label": "What you have of what you may" }, ...cells);
}

function meter(value: number, most: number, text: string, title: string): HTMLElement {
  const share = most > 0 ? Math.min(1, value / most) : 0;
  const bar = element("span", { class: share > 0.9 ? "iw-meter iw-full" : "iw-meter", title });
  bar.style.setProperty("--iw-share", `${(100 * share).toFixed(1)}%`);
  return element("span", { class: "iw-metered" }, bar, element("span", {}, text));
}

function chip(text: string, kind: string): HTMLElement {
  return element("span", { class: `iw-chip iw-${kind}` }, text);
}

function tone(state: string): string {
  if (state === "failed" || state === "gone") return "bad";
  if (["up", "serving", "running"].includes(state)) return "good";
  return ["done", "cancelled", "queued", "waiting"].includes(state) ? "plain" : "warn";
}

function table(label: string, heads: string[], rows: HTMLElement[]): HTMLElement {
  const head = element("tr", {}, ...heads.map((text) => element("th", { scope: "col" }, text)));
  const made = element("table", { "aria-label": label }, element("thead", {}, head), element("tbody", {}, ...rows));
  return element("div", { class: "iw-tabled" }, made);
}

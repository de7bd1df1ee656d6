// The side panel: every pool that the server can look at, asked again while the panel is seen.

import { element } from "../src/lib/dom";
import { LocalModel } from "../src/lib/local";
import { empty, failed, loading } from "../src/lib/states";
import { type PoolTraits, PoolView } from "../src/pool/view";
import type { PoolState } from "../src/pool/data";
import type { App, Palette, Shared } from "./host";

const ID = "interp-magics-panel";
const EVERY = 1500;
const SLOWLY = 4000;

/** A pool as the server tells of it: its state, or why there is none. */
export interface Told {
  readonly name: string;
  /** Started by a kernel of this user. */
  readonly own: boolean;
  readonly state?: PoolState;
  readonly trouble?: string;
}

export interface Server {
  pools(): Promise<readonly Told[]>;
  cancel(pool: string, job: string): Promise<void>;
}

interface Shown {
  readonly box: HTMLElement;
  readonly view: PoolView;
  readonly traits: LocalModel<PoolTraits>;
}

export class Panel {
  readonly #shown = new Map<string, Shown>();
  readonly #asked = new Set<string>();
  #timer = 0;
  #gone = false;

  constructor(
    private readonly root: HTMLElement,
    private readonly server: Server,
    private readonly seen: () => boolean,
  ) {
    root.classList.add("iw", "iw-side");
    root.replaceChildren(loading("Looking for pools…"));
    void this.#look();
  }

  destroy(): void {
    this.#gone = true;
    clearTimeout(this.#timer);
    this.#keep([]);
  }

  /** Let go of the views of other pools. */
  #keep(names: readonly string[]): void {
    for (const [name, shown] of this.#shown) {
      if (names.includes(name)) continue;
      shown.view.destroy();
      this.#shown.delete(name);
    }
  }

  async #look(): Promise<void> {
    let busy = false;
    if (this.seen()) {
      try {
        const told = await this.server.pools();
        busy = told.some(({ state }) => state && (state.running > 0 || state.queued > 0));
        this.#show(told);
      } catch (error) {
        this.#keep([]);
        this.root.replaceChildren(failed(error));
      }
    }
    if (this.#gone) return;
    this.#timer = window.setTimeout(() => void this.#look(), busy || !this.#shown.size ? EVERY : SLOWLY);
  }

  #show(told: readonly Told[]): void {
    this.#keep(told.flatMap(({ name, state }) => (state ? [name] : [])));
    if (!told.length) {
      const first = "No pool is configured, and no kernel of yours has started one.";
      const then = "Run %load_ext interp_magics and %lens in a notebook, or set INTERP_POOL_URL where the server starts.";
      this.root.replaceChildren(empty(`${first} ${then}`));
      return;
    }
    const boxes = told.map((one) => (one.state ? this.#view(one.name, one.own, one.state) : trouble(one)));
    // What stays is left where it is, with the focus that it has.
    const same = boxes.length === this.root.childElementCount && boxes.every((box, place) => box === this.root.children[place]);
    if (!same) this.root.replaceChildren(...boxes);
  }

  #view(name: string, own: boolean, state: PoolState): HTMLElement {
    const known = this.#shown.get(name);
    if (known) {
      known.traits.set("state", state);
      return known.box;
    }
    const box = element("section", { "aria-label": own ? "a pool of your kernel" : "the lab's pool" });
    const view = box.appendChild(element("div"));
    const traits: LocalModel<PoolTraits> = new LocalModel<PoolTraits>({ state, cancelling: [] }, () => void this.#cancel(name, traits));
    this.#shown.set(name, { box, traits, view: new PoolView(traits, view) });
    return box;
  }

  async #cancel(pool: string, traits: LocalModel<PoolTraits>): Promise<void> {
    for (const job of traits.get("cancelling")) {
      if (this.#asked.has(job)) continue;
      this.#asked.add(job);
      try {
        await this.server.cancel(pool, job);
      } catch (error) {
        this.#asked.delete(job);
        traits.set("cancelling", traits.get("cancelling").filter((other) => other !== job));
        const text = `Job ${job.slice(0, 8)} was not ended: ${error instanceof Error ? error.message : String(error)}`;
        this.root.prepend(element("div", { class: "iw-state iw-failed", role: "alert" }, text));
      }
    }
  }
}

function trouble(one: Told): HTMLElement {
  const whose = one.own ? "A pool of your kernel" : "The lab's pool";
  return element("div", { class: "iw-state iw-failed", role: "alert" }, `${whose} cannot be reached: ${one.trouble ?? ""}`);
}

export function addPanel(app: App, palette: Palette | null, shared: Shared): void {
  const { Widget } = shared["@lumino/widgets"];
  const widget = new Widget();
  widget.id = ID;
  widget.title.caption = "Interpretability pool";
  widget.title.iconClass = "iw-tab-icon jp-SideBar-tabIcon";
  widget.addClass("iw-side-panel");
  const content = widget.node.appendChild(element("div"));
  const panel = new Panel(content, reached(app, shared), () => widget.isVisible);
  widget.disposed.connect(() => panel.destroy());
  app.shell.add(widget, "left", { rank: 650 });
  const command = "interp-magics:pool";
  app.commands.addCommand(command, { label: "Show the Interpretability Pool", execute: () => app.shell.activateById(ID) });
  palette?.addItem({ command, category: "Interpretability" });
}

/** The server, through JupyterLab's own requests, which carry its cookie and token. */
function reached(app: App, shared: Shared): Server {
  const settings = app.serviceManager.serverSettings;
  const ask = async (path: string, init: RequestInit): Promise<Response> => {
    const url = `${settings.baseUrl}interp-magics/${path}`;
    const answer = await shared["@jupyterlab/services"].ServerConnection.makeRequest(url, init, settings);
    if (answer.ok) return answer;
    const said = await answer.json().catch(() => ({}));
    throw new Error(said.message ?? `the Jupyter server answered ${answer.status}; is interp-magics installed where it runs?`);
  };
  return {
    pools: async () => (await (await ask("pools", {})).json()).pools,
    cancel: async (pool, job) => void (await ask("cancel", { method: "POST", body: JSON.stringify({ pool, job }) })),
  };
}

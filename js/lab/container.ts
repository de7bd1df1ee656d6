// What JupyterLab loads: a container of module federation, which is asked for our plugins and given the modules it shares.

import { SHARED, type Shared } from "./host";
import { plugins } from "./plugins";

interface Offer {
  readonly loaded?: number | boolean;
  readonly get: () => Promise<() => unknown>;
}

/** Versions of each module that somebody shares. */
type Scope = Readonly<Record<string, Readonly<Record<string, Offer>>>>;

declare global {
  // biome-ignore lint: the name is JupyterLab's
  var _JUPYTERLAB: Record<string, unknown> | undefined;
}

let scope: Scope = {};

/** The version that JupyterLab itself has loaded, which holds the tokens that its plugins know. */
async function module(name: string): Promise<unknown> {
  const offers = Object.values(scope[name] ?? {});
  const offer = offers.find((each) => each.loaded) ?? offers[0];
  if (!offer) throw new Error(`interp-magics: this JupyterLab does not share ${name}`);
  return (await offer.get())();
}

globalThis._JUPYTERLAB ??= {};
globalThis._JUPYTERLAB["interp-magics"] = {
  init: (given: Scope): void => {
    scope = given;
  },
  get: async (): Promise<() => unknown> => {
    const found = await Promise.all(SHARED.map(async (name) => [name, await module(name)] as const));
    const made = plugins(Object.fromEntries(found) as unknown as Shared);
    return () => ({ __esModule: true, default: made });
  },
};

// A model without a kernel: traits in a record, handlers called at once.

import type { Model } from "./model";

export class LocalModel<T> implements Model<T> {
  readonly handlers = new Map<string, Set<() => void>>();

  /** `saved` is called when a view wants its changes known. */
  constructor(
    readonly traits: T,
    private readonly saved: () => void = () => {},
  ) {}

  get<K extends keyof T>(name: K): T[K] {
    return this.traits[name];
  }

  set<K extends keyof T>(name: K, value: T[K]): void {
    this.traits[name] = value;
    for (const handle of this.handlers.get(`change:${String(name)}`) ?? []) handle();
  }

  on(event: string, handle: () => void): void {
    this.handlers.set(event, (this.handlers.get(event) ?? new Set()).add(handle));
  }

  off(event: string, handle: () => void): void {
    this.handlers.get(event)?.delete(handle);
  }

  save_changes(): void {
    this.saved();
  }

  send(): void {
    this.saved();
  }
}

// The part of anywidget's model that our widgets use; the offline page brings its own.

export interface Model<T> {
  get<K extends keyof T>(name: K): T[K];
  set<K extends keyof T>(name: K, value: T[K]): void;
  on(event: string, handle: () => void): void;
  off(event: string, handle: () => void): void;
  save_changes(): void;
  send(content: unknown): void;
}

/** Set a trait that Python should know of at once. While a cell awaits, Jupyter keeps back what `save_changes` sends until the change
 * before it was answered; a message of its own it does not. The trait must be one that Python never sets: a later `save_changes` sends it
 * again. */
export function tell<T, K extends keyof T & string>(model: Model<T>, trait: K, value: T[K]): void {
  model.set(trait, value);
  model.send({ set: { [trait]: value } });
}

/** Call `handle` whenever one of these traits changes; returns how to stop. */
export function follow<T>(model: Model<T>, traits: readonly (keyof T & string)[], handle: () => void): () => void {
  for (const trait of traits) model.on(`change:${trait}`, handle);
  return () => {
    for (const trait of traits) model.off(`change:${trait}`, handle);
  };
}

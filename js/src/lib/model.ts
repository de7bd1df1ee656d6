// The part of anywidget's model that our widgets use; the offline page brings its own.

export interface Model<T> {
  get<K extends keyof T>(name: K): T[K];
  set<K extends keyof T>(name: K, value: T[K]): void;
  on(event: string, handle: () => void): void;
  off(event: string, handle: () => void): void;
  save_changes(): void;
}

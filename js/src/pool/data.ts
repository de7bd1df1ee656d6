// What the panel is told, and how its numbers read.

export interface Device {
  name: string;
  used: number;
  total: number;
}

export interface Group {
  name: string;
  model: string;
  state: string;
  running: number;
  load: number;
  devices: Device[];
  engine: string;
}

export interface PoolModel {
  name: string;
  state: string;
  queued: number;
  detail: string;
  trouble: string;
}

export interface Job {
  job: string;
  user: string;
  mine: boolean;
  model: string;
  method: string;
  state: "queued" | "running" | "done" | "failed" | "cancelled";
  priority: string;
  ahead: number;
  wait: number;
  attempt: number;
  seconds: number;
  submitted: number;
  done: number;
  texts: number;
  shared: string[];
  /** What those engines of its model say that cannot run it. */
  why: string;
}

/** Something of which only so much may be had. */
export interface Share {
  name: string;
  used: number;
  most: number;
  bytes: boolean;
}

export interface PoolState {
  endpoint: string;
  user: string;
  admin: boolean;
  uptime: number;
  queued: number;
  running: number;
  draining: boolean;
  paused: boolean;
  weight: number;
  models: PoolModel[];
  groups: Group[];
  jobs: Job[];
  quota: Share[];
  /** Why what is shown is old, or "". */
  trouble: string;
}

export function bytes(count: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let at = 0;
  let value = count;
  while (value >= 1000 && at < units.length - 1) {
    value /= 1000;
    at += 1;
  }
  return `${at === 0 || value >= 100 ? value.toFixed(0) : value.toFixed(1)} ${units[at]}`;
}

export function duration(seconds: number): string {
  if (seconds < 0.95) return `${Math.max(0, seconds).toFixed(1)} s`;
  if (seconds < 90) return `${seconds.toFixed(0)} s`;
  if (seconds < 5400) return `${(seconds / 60).toFixed(0)} min`;
  return seconds < 172800 ? `${(seconds / 3600).toFixed(1)} h` : `${(seconds / 86400).toFixed(0)} days`;
}

/** Where a job is, in words. */
export function place(job: Job): string {
  if (job.state === "queued") {
    return job.ahead ? `about ${job.ahead} before it, in about ${duration(job.wait)}` : "next in turn";
  }
  if (job.state === "running") return job.texts > 1 && job.done ? `${job.done} of ${job.texts} texts` : `for ${duration(job.submitted)}`;
  return job.seconds ? `after ${duration(job.seconds)}` : "";
}

export function ended(job: Job): boolean {
  return job.state === "done" || job.state === "failed" || job.state === "cancelled";
}

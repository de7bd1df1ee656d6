"""What a pool counts, for Prometheus. No label is a prompt, a token or a job."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from .book import Book
from .jobs import Job

_EVERY = 1.0


class Metrics:
    """Counters and gauges of a broker; nothing is counted until `serve` was called."""

    def __init__(self) -> None:
        self._made: dict[str, Any] = {}
        self._shown: dict[str, set[tuple[str, ...]]] = {}
        self._next = 0.0
        self.registry: Any = None

    def serve(self) -> None:
        """Begin to count. Needs prometheus-client."""
        from prometheus_client import CollectorRegistry, Gauge, Histogram
        from prometheus_client import Counter as Count

        registry = self.registry = CollectorRegistry()
        self._made = {
            "jobs": Count("interp_jobs", "Jobs that ended", ("model", "method", "outcome"), registry=registry),
            "work": Count("interp_work_seconds", "Time of worker groups", ("model", "user"), registry=registry),
            "seconds": Histogram(
                "interp_job_seconds",
                "From submission to the end of jobs that were done",
                ("model", "method"),
                buckets=(0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3600),
                registry=registry,
            ),
            "queued": Gauge("interp_queued_jobs", "Jobs and parts that wait", ("model",), registry=registry),
            "running": Gauge("interp_running_jobs", "Jobs and parts that run", ("model",), registry=registry),
            "groups": Gauge("interp_worker_groups", "Worker groups", ("model", "state"), registry=registry),
            "load": Gauge("interp_group_load", "Share of the last minute with jobs", ("group",), registry=registry),
            "memory": Gauge("interp_device_used_bytes", "Memory of devices", ("group", "device"), registry=registry),
            "figures": Gauge(
                "interp_engine", "What an engine says of itself", ("group", "engine", "figure"), registry=registry
            ),
            "journal": Gauge("interp_journal_trouble", "1 while nothing can be written down", registry=registry),
        }

    def ended(self, job: Job) -> None:
        """A whole job has ended."""
        if not self._made:
            return
        outcome = job.failure.code if job.state == "failed" and job.failure else job.state
        self._made["jobs"].labels(job.model, job.method, outcome).inc()
        self._made["work"].labels(job.model, job.key[0]).inc(max(0.0, job.spent))
        if job.state == "done":
            self._made["seconds"].labels(job.model, job.method).observe(job.seconds)

    def observe(self, book: Book, trouble: bool, now: float) -> None:
        """Look at the pool, at most once a second."""
        if not self._made or now < self._next:
            return
        self._next = now + _EVERY
        groups = list(book.groups.values())
        models = {group.model for group in groups}
        states: Counter[tuple[str, ...]] = Counter((group.model, group.state) for group in groups)
        self._made["journal"].set(trouble)
        self._show("queued", {(model,): book.queued_for(model) for model in models})
        self._show("running", {(m,): sum(len(g.running) for g in groups if g.model == m) for m in models})
        self._show("groups", states)
        self._show("load", {(g.name,): g.busy.share(now, bool(g.running)) for g in groups})
        self._show("memory", {(g.name, device.name): device.used for g in groups for device in g.devices})
        self._show("figures", {(g.name, g.engine, name): v for g in groups for name, v in g.figures.items()})

    def _show(self, name: str, values: Mapping[tuple[str, ...], float]) -> None:
        """Set what is there and then remove what is not: whoever asks in between sees no gap."""
        gauge = self._made[name]
        for labels, value in values.items():
            gauge.labels(*labels).set(value)
        for labels in self._shown.get(name, set()) - values.keys():
            gauge.remove(*labels)
        self._shown[name] = set(values)

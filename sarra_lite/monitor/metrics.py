"""Metrics for Prometheus.

Their labels are group, user, class of code, state, kind, stream, and name of an expectation.

A path is never a label, and the number of users is limited: each label value costs memory for as
long as Prometheus keeps it.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Final

from prometheus_client import (
    CollectorRegistry,
    Histogram,
    disable_created_metrics,
    start_http_server,
)
from prometheus_client import Counter as Total
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from sarra_lite.errors import ConfigError
from sarra_lite.monitor import chains
from sarra_lite.monitor.expected import MISSED, UNKNOWN, WARNING
from sarra_lite.monitor.files import RETRYING, RUNNING, WAITING
from sarra_lite.monitor.history import Figures
from sarra_lite.monitor.records import DAY, FILE_SENT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from prometheus_client.core import Metric

    from sarra_lite.config.monitor import MonitorConfig
    from sarra_lite.monitor.anomalies import Event
    from sarra_lite.monitor.expected import State
    from sarra_lite.monitor.records import Record

_STATES: Final = {WAITING: "waiting", RUNNING: "running", RETRYING: "retrying"}
_FAILED: Final = "failed"
_OTHER: Final = "other"
_SECONDS: Final = (0.5, 1, 2, 5, 10, 30, 60, 300, 900, 3600, 6 * 3600, 86400, 7 * 86400)

UserLabels = tuple[str, str]  # group and user


class Metrics:
    """Counts what is stored, and shows what the store has; HTTP is served by other threads."""

    def __init__(self, config: MonitorConfig) -> None:
        """Start with nothing counted, as Prometheus expects after a restart."""
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._config = config
        self._labels: dict[str, UserLabels] = {}
        self.registry = CollectorRegistry()
        user, registry = ("group", "user"), self.registry
        self._files = Total(
            "sarra_files", "Files with a final report.", (*user, "class"), registry=registry
        )
        self._bytes = Total("sarra_bytes", "Bytes of files sent.", user, registry=registry)
        self._seconds = Histogram(
            "sarra_delivery_seconds",
            "From announcement to delivery.",
            ("group",),
            buckets=_SECONDS,
            registry=registry,
        )
        self._rejected = Total(
            "sarra_rejected_reports", "Reports without a proven author.", user, registry=registry
        )
        self._unusable = Total(
            "sarra_unusable_messages", "Messages of no use.", ("stream",), registry=registry
        )
        self._gaps = Total(
            "sarra_stream_gaps", "Times that messages were missing.", ("stream",), registry=registry
        )
        self._chains = Total(
            "sarra_chain_breaks",
            "Reports that do not fit the one before.",
            ("kind",),
            registry=registry,
        )
        for kind in chains.KINDS:
            self._chains.labels(kind)
        self.shown = Shown(self)
        registry.register(self.shown)

    def serve(self) -> None:
        """Begin to answer HTTP requests; raise ConfigError when the address cannot be used."""
        if (endpoint := self._config.metrics_endpoint) is None:
            return
        try:
            start_http_server(endpoint[1], endpoint[0], self.registry)
        except OSError as error:
            address = self._config.metricsAddress
            raise ConfigError(f"metricsAddress {address}: {error.strerror or error}") from None

    def labels(self, user: str) -> UserLabels:
        """Return the group and user to count a user as."""
        if (known := self._labels.get(user)) is not None:
            return known
        group = self._config.member.get(user, "")
        if len(self._labels) >= self._config.maxUsers:
            return group, _OTHER
        return self._labels.setdefault(user, (group, user))

    def count(self, records: list[Record]) -> None:
        """Count final reports on files."""
        for record in records:
            if (outcome := record.outcome) is None:
                continue
            labels = self.labels(record.user)
            self._files.labels(*labels, f"{outcome.code // 100}xx").inc()
            if outcome.code == FILE_SENT:
                self._bytes.labels(*labels).inc(record.size)
                # Clocks differ, and users choose the time of an announcement.
                waited = max(0, min(outcome.ended - record.announced, self._config.retention * DAY))
                self._seconds.labels(labels[0]).observe(waited / 1000)

    def count_rejected(self, user: str | None) -> None:
        """Count a report that sr_src2log has rejected."""
        self._rejected.labels(*self.labels(user or "")).inc()

    def count_broken_chain(self, kind: str) -> None:
        """Count a report that does not fit the one before it; ``kind`` is one of chains.KINDS."""
        self._chains.labels(kind).inc()

    def count_unusable(self, stream: str) -> None:
        """Count a message that nothing could be learned from."""
        self._unusable.labels(stream).inc()

    def count_gap(self, stream: str) -> None:
        """Count that a stream no longer had what was to be read."""
        self._gaps.labels(stream).inc()


class Shown(Collector):
    """What is measured now and then, replaced as a whole: a request sees all old or all new."""

    def __init__(self, metrics: Metrics) -> None:
        """Start with nothing measured."""
        self._metrics = metrics
        self.figures = Figures([], {})
        self.anomalies: list[Event] = []
        self.expected: list[State] = []
        self.lag: dict[str, int] = {}
        self.store_full = False

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics; prometheus_client calls this for each request."""
        user = ("group", "user")
        files, ages = self._files()
        text = "Files without a final report, by state, and those that failed in 24 hours."
        yield _gauge("sarra_files_now", text, (*user, "state"), files.items())
        text = "Age of the oldest announcement of a week without a report."
        yield _gauge("sarra_oldest_unreported_seconds", text, user, ages.items())
        text = "What was unusual in the last hour, by kind; of groups with an empty user."
        yield _gauge("sarra_anomalies", text, (*user, "kind"), self._unusual().items())
        yield from self._expected()
        text = "Messages of a stream that are not read yet."
        lags = [((stream,), count) for stream, count in self.lag.items()]
        yield _gauge("sarra_stream_lag_messages", text, ("stream",), lags)
        text = "1: the disk of the history has no room."
        yield _gauge("sarra_store_full", text, (), [((), self.store_full)])

    def _unusual(self) -> Counter[tuple[str, str, str]]:
        """Return numbers of anomalies by labels."""
        return Counter(
            (*(self._metrics.labels(event.user) if event.user else event[:2]), event.kind)
            for event in self.anomalies
        )

    def _expected(self) -> Iterator[Metric]:
        """Yield what became of expectations; an owner is a group with an empty user."""
        labels = ("group", "user", "expected")
        missed: dict[tuple[str, str, str], float] = {}
        warning, files, least = missed.copy(), missed.copy(), missed.copy()
        now = time.time() * 1000
        for expected, due, state, count in self.expected:
            user = expected.user
            owner = self._metrics.labels(user) if user else (expected.group, "")
            key = (*owner, expected.title)
            if due.end <= now and state != UNKNOWN:
                missed[key] = state == MISSED
            if due.end > now:
                warning[key] = state == WARNING
                files[key], least[key] = count, expected.least
        text = "1: of the files that were due last, some did not come in time."
        yield _gauge("sarra_expected_missed", text, labels, missed.items())
        text = "1: half the expected files are missing at three quarters of the time."
        yield _gauge("sarra_expected_warning", text, labels, warning.items())
        text = "Files of those expected next that are there, at most as many as are expected."
        yield _gauge("sarra_expected_files", text, labels, files.items())
        text = "Files that are expected next."
        yield _gauge("sarra_expected_least_files", text, labels, least.items())

    def _files(self) -> tuple[Counter[tuple[str, str, str]], dict[UserLabels, float]]:
        """Return numbers of files by labels, and seconds since the oldest announcement."""
        files: Counter[tuple[str, str, str]] = Counter()
        ages: dict[UserLabels, float] = {}
        figures, now = self.figures, time.time()
        for entry in figures.unreported:
            labels = self._metrics.labels(entry.user)
            files[*labels, _STATES[entry.state]] += entry.files
            if entry.state == WAITING and entry.oldest is not None:
                ages[labels] = max(now - entry.oldest / 1000, ages.get(labels, 0.0))
        for name, count in figures.failed.items():
            files[*self._metrics.labels(name), _FAILED] += count
        return files, ages


def _gauge(
    name: str, text: str, labels: Sequence[str], values: Iterable[tuple[Sequence[str], float]]
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=labels)
    for key, value in values:
        family.add_metric(key, value)
    return family

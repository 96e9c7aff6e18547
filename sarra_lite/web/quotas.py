"""How much of their quotas users and groups have used: disk space, and volumes a day and month."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
from anyio import from_thread

from sarra_lite.config import files
from sarra_lite.config.quota import QuotaConfig
from sarra_lite.config.schema import build
from sarra_lite.errors import ConfigError
from sarra_lite.quota.store import read_counts
from sarra_lite.quota.volumes import Volumes
from sarra_lite.runtime import log
from sarra_lite.web.prometheus import Unanswered

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sarra_lite.config.web import WebConfig
    from sarra_lite.web.prometheus import Prometheus, Sample
    from sarra_lite.web.records import Records

_KEEP: Final = 15.0  # seconds for which an answer of Prometheus is used again
_MAX_QUOTAS: Final = 1000  # rows
#: As the rule QuotaNearlyUsed has it: all nodes tell of the same file system.
DISK: Final = {
    "used": "max by (kind, name) (sftp_disk_used_bytes)",
    "limit": "max by (kind, name) (sftp_disk_limit_bytes)",
}

Who = tuple[str, str]  # user or group, and its name
Disks = dict[Who, "Amount"]


class Amount(NamedTuple):
    """Bytes that are used, and how many may be; None: without limit."""

    used: int
    limit: int | None

    @property
    def percent(self) -> float:
        """Share of the limit; 0 without one."""
        return 100 * self.used / self.limit if self.limit else 0.0


class Row(NamedTuple):
    """What one user or group has used; None where nobody counts it."""

    kind: str
    name: str
    disk: Amount | None
    day: Amount | None
    month: Amount | None

    @property
    def worst(self) -> float:
        """The highest share of a limit, in per cent."""
        return max(amount.percent if amount else 0 for amount in self[2:])


class _Volume(msgspec.Struct):
    """An entry of sr_quota's table."""

    kind: str
    name: str
    day: int
    dayLimit: int | None
    month: int
    monthLimit: int | None


class Used(NamedTuple):
    """Rows, who has used most of a limit first; and sentences on what is not known."""

    rows: list[Row]
    unknown: list[str]


class Quotas:
    """Asks sr_quota's store, and Prometheus."""

    def __init__(self, config: WebConfig, prometheus: Prometheus | None) -> None:
        """Raise ConfigError when the configuration of sr_quota cannot be used."""
        self._prefix = config.userPrefix
        self._quota = None if config.quotaConfig is None else _read(Path(config.quotaConfig))
        self._prometheus = prometheus
        self._asked = float("-inf")
        self._disks: Disks | None = None

    def used(self, records: Records) -> Used:
        """Return what concerns the viewer."""
        unknown = []
        volumes: dict[Who, tuple[Amount, Amount]] = {}
        try:
            volumes = self._volumes()
        except ConfigError as error:
            log.warning("%s", error)
            unknown.append("How much was sent today and this month is not known now.")
        disks = self._disk()
        if disks is None:
            unknown.append("How much disk space is used is not known now.")
        rows = []
        for kind, name in sorted({*volumes, *(disks or {})}):
            user, group = (name, "") if kind == "user" else ("", name)
            if records.concerns(user, group):
                day, month = volumes.get((kind, name), (None, None))
                rows.append(Row(kind, name, (disks or {}).get((kind, name)), day, month))
        rows.sort(key=lambda row: -row.worst)
        return Used(rows[:_MAX_QUOTAS], unknown)

    def _volumes(self) -> dict[Who, tuple[Amount, Amount]]:
        """Return what each user and group has sent today and this month."""
        if self._quota is None:
            return {}
        now = datetime.now(UTC)
        counts = read_counts(self._quota.volumes_file, f"{now:%Y-%m}")
        table = msgspec.convert(Volumes(self._quota, counts).table(now), list[_Volume])
        return {
            (each.kind, each.name): (
                Amount(each.day, each.dayLimit),
                Amount(each.month, each.monthLimit),
            )
            for each in table
        }

    def _disk(self) -> Disks | None:
        """Return the disk space of users and groups with a quota; None when it is not known."""
        if self._prometheus is None:
            return {}
        if time.monotonic() >= self._asked + _KEEP:
            self._asked = time.monotonic()  # others do not wait meanwhile
            try:
                seen = from_thread.run(self._prometheus.ask, DISK)
            except Unanswered as error:
                log.warning("Prometheus at %s %s", self._prometheus.url, error)
                self._disks = None
            else:
                self._disks = _disks(seen.samples, self._prefix)
        return self._disks


def _read(file: Path) -> QuotaConfig:
    return build(QuotaConfig, files.read(file), str(file), name=file.stem)


def _disks(samples: Mapping[str, list[Sample]], prefix: str) -> Disks:
    """Return the disk space by user or group; a user's name gets the prefix of broker users."""
    limits = {_who(each, prefix): int(each.value) for each in samples["limit"]}
    return {
        who: Amount(int(each.value), limits[who])
        for each in samples["used"]
        if (who := _who(each, prefix)) in limits
    }


def _who(sample: Sample, prefix: str) -> Who:
    kind, name = (sample.labels.get(label, "") for label in ("kind", "name"))
    return kind, f"{prefix}{name}" if kind == "user" else name

"""How much of their quotas users and groups have used: disk space, and volumes a day and month."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from sarra_lite.config import files
from sarra_lite.config.quota import QuotaConfig
from sarra_lite.config.schema import build
from sarra_lite.errors import ConfigError
from sarra_lite.quota import store
from sarra_lite.quota.volumes import Volumes
from sarra_lite.runtime import log

if TYPE_CHECKING:
    from sarra_lite.config.web import WebConfig
    from sarra_lite.messages.usage import Used
    from sarra_lite.web.records import Records

_MAX_QUOTAS: Final = 1000  # rows


class Amount(NamedTuple):
    """Bytes that are used, and how many may be; None: without limit."""

    used: int
    limit: int | None

    @property
    def percent(self) -> float:
        """Share of the limit; 0 without one."""
        return 100 * self.used / self.limit if self.limit else 0.0


class Row(NamedTuple):
    """What one user or group has used; ``disk`` is None where nobody tells it."""

    kind: str
    name: str
    disk: Amount | None
    day: Amount
    month: Amount

    @property
    def worst(self) -> float:
        """The highest share of a limit, in per cent."""
        return max(amount.percent if amount else 0 for amount in self[2:])


class Known(NamedTuple):
    """Rows, who has used most of a limit first; and sentences on what is not known."""

    rows: list[Row]
    unknown: list[str]


class Quotas:
    """Reads the store of an sr_quota on this host, from which users are told, too."""

    def __init__(self, config: WebConfig) -> None:
        """Raise ConfigError when the configuration of sr_quota cannot be used."""
        self._quota = None if config.quotaConfig is None else _read(Path(config.quotaConfig))

    def used(self, records: Records) -> Known:
        """Return what concerns the viewer."""
        if self._quota is None:
            return Known([], [])
        now = datetime.now(UTC)
        try:
            kept = store.read(self._quota.volumes_file, f"{now:%Y-%m}")
        except ConfigError as error:
            log.warning("%s", error)
            return Known([], ["How much was sent today and this month is not known now."])
        unknown = []
        if kept.disks is None and self._quota.prometheusUrl is not None:
            unknown.append("How much disk space is used is not known now.")
        table = Volumes(self._quota, kept.counts).table(now, kept.disks)
        rows = [_row(each) for each in table if _concerns(records, each)]
        rows.sort(key=lambda row: -row.worst)
        return Known(rows[:_MAX_QUOTAS], unknown)


def _read(file: Path) -> QuotaConfig:
    return build(QuotaConfig, files.read(file), str(file), name=file.stem)


def _concerns(records: Records, used: Used) -> bool:
    user, group = (used.name, "") if used.kind == "user" else ("", used.name)
    return records.concerns(user, group)


def _row(used: Used) -> Row:
    cells = {what: Amount(count, limit) for what, count, limit in used.amounts()}
    return Row(used.kind, used.name, cells.get("disk"), cells["day"], cells["month"])

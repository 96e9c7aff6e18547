"""Options of sr_quota."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Final

import platformdirs
from msgspec import Meta

from sarra_lite import units
from sarra_lite.config.base_url import is_web
from sarra_lite.config.schema import option
from sarra_lite.config.shared import BrokerConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

GRANTS_PER_SECOND: Final = 20  # of each group; the role broker_objects calculates with it, too
_MIN_RATE: Final = 1000  # bytes a second
_MAX_BURST: Final = 3600  # seconds
_LEAST_EVERY: Final = 1.0  # seconds


class QuotaConfig(BrokerConfig):
    """Options of sr_quota.

    rate: Bandwidth of each group, as "100 Mbit/s" or "12.5 MB/s", of all its senders together.
    burst: For how long each group may save what it does not use, and then send it at once. Default
        for a group that is not listed: 1s. It is the length of a queue that is created here; of one
        that exists, operators set it by a policy (max-length: 20 grants for each second).
    exchange: Exchange that grants are published on.
    activeQueue: Queue that all instances consume. The one that the broker delivers to fills the
        queues of grants; the others stand by.
    member: Group of each broker user. With it, reports are counted by user and group.
    dailyVolume: What each group may send a day (UTC). At the limit it gets no more grants until the
        next day.
    monthlyVolume: The same for a calendar month.
    warnPercent: Share of a volume at which a warning is logged.
    prometheusUrl: Prometheus of the scope, to which SFTP nodes tell the disk space that users and
        groups have used. Default: none, and disk space is not counted.
    usageExchange: Exchange on which users with a stream of reports are told what they and their
        group have used; sr_status shows it.
    usageEvery: How often a user is told at most.
    xlogStream: Stream that keeps the reports of all users.
    stateDir: Directory for what was counted. Default: sarra_lite in the user's directory for state
        ($XDG_STATE_HOME or ~/.local/state).
    """

    component: ClassVar[str] = "quota"
    rate: dict[str, str] = option(default={}, example='{ cloudmech = "100 Mbit/s" }')
    burst: dict[str, str] = option(default={}, example='{ cloudmech = "5s" }')
    exchange: str = option(default="xgrant", example='"xgrant"')
    activeQueue: str = option(default="q_quota", example='"q_quota"')
    member: dict[str, str] = option(default={}, example='{ uearnest = "cloudmech" }')
    dailyVolume: dict[str, str] = option(default={}, example='{ cloudmech = "2T" }')
    monthlyVolume: dict[str, str] = option(default={}, example='{ cloudmech = "40T" }')
    warnPercent: Annotated[int, Meta(ge=1, le=100)] = option(default=80, example="90")
    prometheusUrl: str | None = option(default=None, example='"http://127.0.0.1:9090"', kind="URL")
    usageExchange: str = option(default="xusage", example='"xusage"')
    usageEvery: float = option(default=60.0, example='"5m"')
    xlogStream: str = option(default="q_xlog", example='"q_xlog"')
    stateDir: str | None = option(default=None, example='"/var/lib/sr_quota"', kind="directory")

    @property
    def volumes_file(self) -> Path:
        """File with what was counted."""
        directory = self.stateDir or platformdirs.user_state_path("sarra_lite")
        return Path(directory) / f"quota-{self.name}.sqlite"

    @functools.cached_property
    def volume_bytes(self) -> dict[str, dict[str, int]]:
        """Limit of each group, in bytes, by the option that sets it."""
        return {
            option: {group: units.parse_size(text) for group, text in table.items()}
            for option, table in self._volumes.items()
        }

    @property
    def _volumes(self) -> dict[str, dict[str, str]]:
        return {"dailyVolume": self.dailyVolume, "monthlyVolume": self.monthlyVolume}

    @functools.cached_property
    def byte_rates(self) -> dict[str, int]:
        """Bytes a second of each group."""
        return {group: units.parse_rate(text) for group, text in self.rate.items()}

    @functools.cached_property
    def burst_grants(self) -> dict[str, int]:
        """Maximum number of grants in the queue of each group."""
        bursts = {group: self.burst.get(group, "1s") for group in self.rate}
        return {
            group: max(1, round(units.parse_duration(text) * GRANTS_PER_SECOND))
            for group, text in bursts.items()
        }

    def grant_queue(self, group: str) -> str:
        """Queue that the grants of a group are taken from."""
        return f"grant_{group}"

    def problems(self) -> Iterator[tuple[str, str]]:
        """Add rates and bursts that cannot be used, and groups without a rate."""
        yield from super().problems()
        yield from _wrong("rate", self.rate, units.parse_rate, _MIN_RATE, None)
        yield from _wrong("burst", self.burst, units.parse_duration, 0, _MAX_BURST)
        for key, table in self._volumes.items():
            yield from _wrong(key, table, units.parse_size, 1, None)
            for group in sorted(table.keys() - set(self.member.values())):
                yield key, f"{group} has no member"
        if self.usageEvery < _LEAST_EVERY:
            yield "usageEvery", f"is below {_LEAST_EVERY:.0f} s"
        if self.prometheusUrl is not None and not is_web(self.prometheusUrl):
            yield "prometheusUrl", f"not a URL of http or https: {self.prometheusUrl}"
        for group in self.burst.keys() - self.rate.keys():
            yield "burst", f"{group} has no rate"


def _wrong(
    key: str,
    table: dict[str, str],
    parse: Callable[[str], float],
    least: int,
    most: int | None,
) -> Iterator[tuple[str, str]]:
    """Yield key and reason for each value that does not parse or is out of range."""
    for name, text in table.items():
        try:
            value = parse(text)
        except ValueError as error:
            yield key, f"{name}: {error}"
            continue
        if value < least or (most is not None and value > most):
            yield key, f"{name}: {text} is {'too small' if value < least else 'too much'}"

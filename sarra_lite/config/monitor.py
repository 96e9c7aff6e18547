"""Options of sr_monitor."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Final

import platformdirs
from msgspec import Meta

from sarra_lite.config import expected
from sarra_lite.config.schema import option
from sarra_lite.config.shared import BrokerConfig

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sarra_lite.config.expected import Expected

_MAX_PORT: Final = 65535


class MonitorConfig(BrokerConfig):
    """Options of sr_monitor.

    xlogStream: Stream that keeps the reports of all users.
    postsStream: Stream that keeps the announcements of all users, so that files are seen that
        nobody has reported. Where it does not exist, only reports are read. Set it to "" to read no
        announcements.
    member: Group of each broker user, for history and metrics.
    expectFile: File with the files that are expected of users and groups, as tables [[expect]] with
        user or group, match (a pattern for paths), by (a time of day), timezone, every (day,
        weekday, weekend, the name of a day, or a list of these), least (how many) and name.
    retention: How many days of history are kept.
    metricsAddress: Host and port where Prometheus gets the metrics, over HTTP without a password.
        Set it to "" for none.
    maxUsers: Maximum number of users with metrics of their own. Further ones are counted together
        as the user "other".
    stateDir: Directory for the history. Default: sarra_lite in the user's directory for state
        ($XDG_STATE_HOME or ~/.local/state).
    """

    component: ClassVar[str] = "monitor"
    xlogStream: str = option(default="q_xlog", example='"q_xlog"')
    postsStream: str = option(default="q_xposts", example='"q_xposts"')
    member: dict[str, str] = option(default={}, example='{ uearnest = "cloudmech" }')
    expectFile: str | None = option(
        default=None, example='"/etc/sarra_lite/expected.toml"', kind="file"
    )
    retention: Annotated[int, Meta(ge=1, le=3650)] = option(default=90, example="30")
    metricsAddress: str = option(default="127.0.0.1:9411", example='"0.0.0.0:9411"')
    maxUsers: Annotated[int, Meta(ge=1, le=10_000)] = option(default=1000, example="200")
    stateDir: str | None = option(default=None, example='"/var/lib/sr_monitor"', kind="directory")

    @property
    def history_file(self) -> Path:
        """File with the history."""
        directory = self.stateDir or platformdirs.user_state_path("sarra_lite")
        return Path(directory) / f"monitor-{self.name}.sqlite"

    @property
    def metrics_endpoint(self) -> tuple[str, int] | None:
        """Host and port of the metrics; None for no metrics."""
        host, _, port = self.metricsAddress.rpartition(":")
        return (host.strip("[]"), int(port)) if self.metricsAddress else None

    def expectations(self) -> list[Expected]:
        """Return what is expected; raise ConfigError with one line for each mistake."""
        return [] if self.expectFile is None else expected.read(Path(self.expectFile))

    def problems(self) -> Iterator[tuple[str, str]]:
        """Add an address that is none, and mistakes in the file of what is expected."""
        yield from super().problems()
        yield from (("expectFile", line) for line in expected.problems(self.expectFile))
        host, _, port = self.metricsAddress.rpartition(":")
        valid = host and port.isdecimal() and 0 < int(port) <= _MAX_PORT
        if self.metricsAddress and not valid:
            yield (
                "metricsAddress",
                f"not a host and port like 127.0.0.1:9411: {self.metricsAddress}",
            )

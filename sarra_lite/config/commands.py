"""The options of sr_post, sr_src2log and sr_log, and the configuration of each command."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Literal
from urllib.parse import unquote, urlsplit

import msgspec
import platformdirs

from sarra_lite.config.schema import option
from sarra_lite.config.sender import SenderConfig
from sarra_lite.config.shared import BrokerConfig, ExchangeConfig
from sarra_lite.messages.v03 import Announcement

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["COMMANDS", "LogConfig", "PostConfig", "SenderConfig", "Src2logConfig"]

_RESERVED: Final = {field.encode_name for field in msgspec.structs.fields(Announcement)} - {"extra"}


class PostConfig(ExchangeConfig, frozen=True, kw_only=True):
    """Options of sr_post."""

    component: ClassVar[str] = "post"
    baseUrl: Annotated[
        str,
        option(
            "URL that the announced paths are relative to: file: and a directory, or any other URL"
            " if baseDir is set.",
            example='"file:/home/earnest"',
            kind="URL",
        ),
    ] = "file:/"
    identity: Annotated[
        Literal["sha512", "sha256", "md5", "cod", "none"],
        option(
            "Checksum of a file in its announcement. cod (calculate on delivery): the sender"
            " calculates it, as it always does for files in blocks.",
            example='"sha256"',
        ),
    ] = "sha512"
    header: Annotated[
        dict[str, str],
        option(
            "Fields to add to all announcements.", example='{ project = "ocean" }', kind="table"
        ),
    ] = msgspec.field(default_factory=dict)
    settle: Annotated[
        float,
        option(
            "With --watch: how long a file must not change before it is announced, if no program"
            " was seen closing it.",
            example='"10s"',
        ),
    ] = 5.0
    stateDir: Annotated[
        str | None,
        option(
            "With --watch: directory for the record of what was announced. Default: sarra_lite in"
            " the user's directory for state ($XDG_STATE_HOME or ~/.local/state).",
            example='"/var/lib/sarra_lite"',
            kind="directory",
        ),
    ] = None

    @property
    def base_dir(self) -> str:
        """Directory that announced paths are relative to."""
        return self.baseDir or unquote(urlsplit(self.baseUrl).path) or "/"

    @property
    def state_directory(self) -> Path:
        """Directory for files that outlive the process."""
        return Path(self.stateDir) if self.stateDir else platformdirs.user_state_path("sarra_lite")

    def problems(self) -> Iterator[tuple[str, str]]:
        """Add base URLs that cannot be used, and header fields that sr_post itself sets."""
        yield from super().problems()
        try:
            parts = urlsplit(self.baseUrl)
        except ValueError as error:
            yield "baseUrl", f"not a URL: {error}"
        else:
            if parts.scheme != "file" and self.baseDir is None:
                yield "baseUrl", "not file:, so baseDir must tell which directory it stands for"
            if parts.password is not None:
                yield "baseUrl", "contains a password"
        reserved = sorted(self.header.keys() & _RESERVED)
        if reserved:
            yield "header", f"{', '.join(reserved)}: set by sr_post itself"


class Src2logConfig(BrokerConfig, frozen=True, kw_only=True):
    """Options of sr_src2log."""

    component: ClassVar[str] = "src2log"
    queueName: Annotated[
        str | None,
        option(
            "Queue of the reports of all users. Bind it to each user's exchange when the exchange"
            " is created. Default: q_src2log.",
            example='"q_src2log"',
        ),
    ] = None
    exchanges: Annotated[
        list[str],
        option(
            "Exchanges to bind the queue to at the start. It may be bound to others at any time.",
            example='["xac_earnest"]',
        ),
    ] = msgspec.field(default_factory=list)
    xlog: Annotated[
        str, option("Exchange that the reports of all users are copied to.", example='"xlog"')
    ] = "xlog"
    xlogStream: Annotated[
        str, option("Stream that keeps the reports of all users.", example='"q_xlog"')
    ] = "q_xlog"
    prefetch: Annotated[
        int, option("Maximum number of unacknowledged reports from the queue.", example="1000")
    ] = 500
    acceptUnproven: Annotated[
        bool,
        option("Accept reports without an author that the broker has verified. sr3 sends none."),
    ] = False

    @property
    def queue(self) -> str:
        """Queue that all instances share."""
        return self.queueName or "q_src2log"

    def owner_of(self, exchange: str) -> str | None:
        """Return the user who owns an exchange, None for an exchange without the user prefix."""
        name = exchange.removeprefix(self.exchangePrefix)
        return None if name in ("", exchange) else f"{self.userPrefix}{name}"


class LogConfig(BrokerConfig, frozen=True, kw_only=True):
    """Options of sr_log."""

    component: ClassVar[str] = "log"
    borrows: ClassVar[tuple[str, ...]] = ("post", "sender")
    queueName: Annotated[
        str | None,
        option(
            "Stream to read: q_xlog has the reports of all users. Default: q_<user>_reports.",
            example='"q_xlog"',
        ),
    ] = None

    @property
    def queue(self) -> str:
        """Stream to read."""
        return self.queueName or f"q_{self.user}_reports"


COMMANDS: Final[dict[str, type[BrokerConfig]]] = {
    config.component: config for config in (PostConfig, SenderConfig, Src2logConfig, LogConfig)
}

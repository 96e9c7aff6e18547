"""Options of sr_post, sr_src2log and sr_log.

``COMMANDS`` has the configuration class of every command, sr_sender's included.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final, Literal
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


class PostConfig(ExchangeConfig):
    """Options of sr_post."""

    component: ClassVar[str] = "post"
    baseUrl: str = option(
        "URL that the announced paths are relative to: file: and a directory, or any other URL if"
        " baseDir is set.",
        default="file:/",
        example='"file:/home/earnest"',
        kind="URL",
    )
    identity: Literal["sha512", "sha256", "md5", "cod", "none"] = option(
        "Checksum of a file in its announcement. cod (calculate on delivery): the sender"
        " calculates it, as it always does for files in blocks.",
        default="sha512",
        example='"sha256"',
    )
    header: dict[str, str] = option(
        "Fields to add to all announcements.",
        default_factory=dict,
        example='{ project = "ocean" }',
    )
    settle: float = option(
        "With --watch: how long a file must not change before it is announced, if no program was"
        " seen closing it.",
        default=5.0,
        example='"10s"',
    )
    stateDir: str | None = option(
        "With --watch: directory for the record of what was announced. Default: sarra_lite in the"
        " user's directory for state ($XDG_STATE_HOME or ~/.local/state).",
        default=None,
        example='"/var/lib/sarra_lite"',
        kind="directory",
    )

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
        except ValueError:  # its text may have a password in it
            yield "baseUrl", "not a URL: its host cannot be read"
        else:
            if parts.scheme != "file" and self.baseDir is None:
                yield "baseUrl", "not file:, so baseDir must tell which directory it stands for"
            if parts.password is not None:
                yield "baseUrl", "contains a password"
        reserved = sorted(self.header.keys() & _RESERVED)
        if reserved:
            yield "header", f"{', '.join(reserved)}: set by sr_post itself"


class Src2logConfig(BrokerConfig):
    """Options of sr_src2log."""

    component: ClassVar[str] = "src2log"
    queueName: str | None = option(
        "Queue of the reports of all users. Bind it to each user's exchange when the exchange is"
        " created. Default: q_src2log.",
        default=None,
        example='"q_src2log"',
    )
    exchanges: list[str] = option(
        "Exchanges to bind the queue to at the start. It may be bound to others at any time.",
        default_factory=list,
        example='["xac_earnest"]',
    )
    xlog: str = option(
        "Exchange that the reports of all users are copied to.", default="xlog", example='"xlog"'
    )
    xlogStream: str = option(
        "Stream that keeps the reports of all users.", default="q_xlog", example='"q_xlog"'
    )
    prefetch: int = option(
        "Maximum number of unacknowledged reports from the queue.", default=500, example="1000"
    )
    acceptUnproven: bool = option(
        "Accept reports without an author that the broker has verified. sr3 sends none.",
        default=False,
    )

    @property
    def queue(self) -> str:
        """Queue that all instances share."""
        return self.queueName or "q_src2log"

    def owner_of(self, exchange: str) -> str | None:
        """Return the user who owns an exchange, None for an exchange without the user prefix."""
        name = exchange.removeprefix(self.exchangePrefix)
        return None if name in ("", exchange) else f"{self.userPrefix}{name}"


class LogConfig(BrokerConfig):
    """Options of sr_log."""

    component: ClassVar[str] = "log"
    borrows: ClassVar[tuple[str, ...]] = ("post", "sender")
    queueName: str | None = option(
        "Stream to read: q_xlog has the reports of all users. Default: q_<user>_reports.",
        default=None,
        example='"q_xlog"',
    )

    @property
    def queue(self) -> str:
        """Stream to read."""
        return self.queueName or f"q_{self.user}_reports"


COMMANDS: Final[dict[str, type[BrokerConfig]]] = {
    config.component: config for config in (PostConfig, SenderConfig, Src2logConfig, LogConfig)
}

"""The configuration of each command: every option, its type, default and explanation.

Keys are spelt as sr3 spells them (sr3_options(7)), where sr3 has them.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Literal
from urllib.parse import unquote, urlsplit

import msgspec
import platformdirs

from sarra_lite.config import credentials, rules
from sarra_lite.config.schema import option
from sarra_lite.config.shared import BrokerConfig, ExchangeConfig

if TYPE_CHECKING:
    from collections.abc import Iterator

FEWEST_CONNECTIONS: Final = 2  # that a sender has when it chooses by itself
Digest = Literal["sha512", "sha256", "md5", "cod", "none"]
Stream = Literal["auto", "ssh", "paramiko"]
_WIRE: Final = (
    *("pubTime", "baseUrl", "relPath", "size", "mtime", "atime", "mode", "identity", "blocks"),
    *("fileOp", "source", "contentType", "report"),
)


class PostConfig(ExchangeConfig, frozen=True, kw_only=True):
    """Options of sr_post."""

    component: ClassVar[str] = "post"
    baseUrl: Annotated[
        str,
        option(
            "Where the files are to be had: file:/ and the base directory, or another URL.",
            metavar="URL",
            example='"file:/home/earnest"',
        ),
    ] = "file:/"
    identity: Annotated[
        Digest,
        option(
            "Fingerprint that is announced. cod leaves its calculation to the sender; files in"
            " blocks always have cod.",
            example='"sha256"',
        ),
    ] = "sha512"
    header: Annotated[
        dict[str, str],
        option("Fields to add to every announcement.", "table", example='{ project = "ocean" }'),
    ] = msgspec.field(default_factory=dict)
    settle: Annotated[
        float,
        option(
            "With --watch: a file that was found, not seen closing, is complete when it was not"
            " changed for so long.",
            "duration",
            example='"10s"',
        ),
    ] = 5.0
    stateDir: Annotated[
        str | None,
        option(
            "With --watch: where is kept what was announced. Default: the user's state directory.",
            metavar="DIR",
            example='"/var/lib/sarra_lite"',
        ),
    ] = None

    @property
    def base_dir(self) -> str:
        """Directory that paths are relative to."""
        return self.baseDir or unquote(urlsplit(self.baseUrl).path) or "/"

    @property
    def state_directory(self) -> Path:
        """Directory of what survives a restart."""
        return Path(self.stateDir) if self.stateDir else platformdirs.user_state_path("sarra_lite")

    def problems(self) -> Iterator[tuple[str, str]]:
        """Add base URLs that tell no directory."""
        yield from super().problems()
        yield from (("baseUrl", text) for text in self._base_url_problems())
        taken = sorted(self.header.keys() & set(_WIRE))
        if taken:
            yield "header", f"{', '.join(taken)}: set by sr_post itself"

    def _base_url_problems(self) -> Iterator[str]:
        try:
            parts = urlsplit(self.baseUrl)
        except ValueError as error:
            yield f"not a URL: {error}"
            return
        if parts.scheme != "file" and self.baseDir is None:
            yield "not file:, so baseDir must tell which directory it stands for"
        if parts.password is not None:
            yield "contains a password"


class SenderConfig(ExchangeConfig, frozen=True, kw_only=True):
    """Options of sr_sender."""

    component: ClassVar[str] = "sender"
    sendTo: Annotated[
        str,
        option(
            "SFTP host to send to. Its key or password is taken from credentials.conf, else keys"
            " and agent are found as ssh finds them.",
            metavar="URL",
            example='"sftp://ear001@sftp.science.gc.ca/"',
        ),
    ]
    directory: Annotated[
        str,
        option(
            "Directory at the destination; relative to where the login ends, if not absolute."
            " ${%Y%m%d} is the time of the announcement, ${source} who posted, ${BROKER_USER} our"
            " broker user, ${0} the first group of the rule that matched.",
            metavar="DIR",
            example='"incoming/${%Y%m%d}"',
        ),
    ] = ""
    mirror: Annotated[
        bool,
        option("Whether directories are made as they are at the source.", "flag", example="false"),
    ] = True
    strip: Annotated[
        int,
        option("How many leading directories of a path to leave out.", "count", example="2"),
    ] = 0
    flatten: Annotated[
        str,
        option(
            "Character to write instead of / so that all files are in one directory.",
            example='"-"',
        ),
    ] = "/"
    connections: Annotated[
        int,
        option(
            "Connections to the SFTP host, which work side by side. 0: two, and more the farther"
            " away it is, up to 8, and while one more brings more.",
            "count",
            example="4",
        ),
    ] = 0
    prefetch: Annotated[
        int,
        option(
            "Announcements to take from the queue before the first is done. 0: 16 a connection,"
            " and up to 1000 while they are small.",
            "count",
            example="100",
        ),
    ] = 0
    stream: Annotated[
        Stream,
        option(
            "What encrypts: the ssh program, with all that is set in ssh_config(5), or paramiko."
            " auto is ssh, but where it is not installed or a password is needed.",
            example='"paramiko"',
        ),
    ] = "auto"
    knownHosts: Annotated[
        str | None,
        option(
            "File with the keys of SFTP hosts. Default: those that ssh uses.",
            metavar="FILE",
            example='"/etc/sarra_lite/known_hosts"',
        ),
    ] = None
    timeout: Annotated[
        float,
        option(
            "How long the SFTP host may leave a request unanswered, and with --drain, how long it"
            " may be away.",
            "duration",
            example='"2m"',
        ),
    ] = 60.0
    limit: Annotated[
        int,
        option(
            "Bytes a second that a process sends at most, all its connections together. 0: as fast"
            " as it can.",
            "size",
            metavar="RATE",
            example='"20Mi"',
        ),
    ] = 0
    verify: Annotated[
        bool,
        option(
            "Whether what was written is read again, and compared, before it is reported. Takes"
            " as long as the way back does.",
            "flag",
            example="true",
        ),
    ] = False
    fsync: Annotated[
        bool,
        option(
            "Whether a file is to be on the server's disk, not only in its memory, before it is"
            " reported (fsync@openssh.com).",
            "flag",
            example="true",
        ),
    ] = False
    retry_ttl: Annotated[
        float,
        option(
            "How long a file is tried again while the destination is full.",
            "duration",
            example='"1d"',
        ),
    ] = 86400.0
    permCopy: Annotated[
        bool, option("Whether files get the mode that was announced.", "flag", example="false")
    ] = True
    permDefault: Annotated[
        int,
        option(
            "Mode of files that are announced without, or with permCopy off.",
            "mode",
            example='"640"',
        ),
    ] = 0o644
    permDirDefault: Annotated[
        int, option("Mode of directories that have to be made.", "mode", example='"750"')
    ] = 0o775
    timeCopy: Annotated[
        bool,
        option("Whether files get the modification time announced.", "flag", example="false"),
    ] = True
    acceptUsers: Annotated[
        list[str],
        option(
            "Broker users, besides our own, whose announcements are acted on.",
            "list",
            example='["ucloudmech"]',
        ),
    ] = msgspec.field(default_factory=list)
    requireUserId: Annotated[
        bool,
        option(
            "Whether announcements without a proven author are refused. sr3 proves none.",
            "flag",
            example="true",
        ),
    ] = False

    @property
    def queue(self) -> str:
        """Queue that all senders of this configuration share."""
        return self.queueName or f"q_{self.user}_{self.name}"

    @property
    def prefetch_count(self) -> int:
        """Announcements that may be on the desk at once."""
        return self.prefetch or 16 * (self.connections or FEWEST_CONNECTIONS)

    @property
    def instance_name(self) -> str:
        """What tells this process from others of its configuration, in reports."""
        return f"{self.name}/{os.getpid()}"

    @property
    def destination(self) -> credentials.Endpoint:
        """The SFTP host's URL in parts."""
        return credentials.parse_url(self.sendTo, ["sftp"])

    def problems(self) -> Iterator[tuple[str, str]]:
        """Add destinations that are none."""
        yield from super().problems()
        if (text := credentials.problem(self.sendTo, ["sftp"])) is not None:
            yield "sendTo", text
        elif self.destination.path:
            yield "sendTo", "must end after the host; write where files go as directory"
        yield from (
            ("directory", text.removeprefix("directory: "))
            for text in rules.template_problems(self.directory)
        )
        if (text := rules.flatten_problem(self.flatten)) is not None:
            yield "flatten", text
        if self.timeout <= 0:
            yield "timeout", "must be more than 0"
        if not 0 <= self.connections <= 64:  # noqa: PLR2004  more than sshd lets in by default
            yield "connections", "must be between 0 and 64"
        if not 0 <= self.prefetch <= 65535:  # noqa: PLR2004  AMQP 0.9.1, short
            yield "prefetch", "must be between 0 and 65535"
        if self.limit < 0:
            yield "limit", "is negative"
        if self.strip < 0:
            yield "strip", "is negative"


class Src2logConfig(BrokerConfig, frozen=True, kw_only=True):
    """Options of sr_src2log."""

    component: ClassVar[str] = "src2log"
    queueName: Annotated[
        str | None,
        option(
            "Queue of the reports of all users. Whoever makes a user's exchange binds it to this"
            " queue. Default: q_src2log.",
            example='"q_src2log"',
        ),
    ] = None
    exchanges: Annotated[
        list[str],
        option(
            "Exchanges to bind to the queue now. Others may be bound to it at any time.",
            "list",
            example='["xac_earnest"]',
        ),
    ] = msgspec.field(default_factory=list)
    xlog: Annotated[str, option("Exchange for the reports of all users.", example='"xlog"')] = (
        "xlog"
    )
    xlogStream: Annotated[
        str, option("Stream that keeps the reports of all users.", example='"q_xlog"')
    ] = "q_xlog"
    prefetch: Annotated[
        int, option("Reports to take from the queue at once.", "count", example="1000")
    ] = 500
    acceptUnproven: Annotated[
        bool,
        option(
            "Whether reports without a proven author are accepted. sr3 proves none.",
            "flag",
            example="true",
        ),
    ] = False

    @property
    def queue(self) -> str:
        """Queue that all instances share."""
        return self.queueName or "q_src2log"

    def owner_of(self, exchange: str) -> str | None:
        """Return the user to whom an exchange belongs, None when it is no user's."""
        name = exchange.removeprefix(self.exchangePrefix)
        if not name or name == exchange:
            return None
        return f"{self.userPrefix}{name}"


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
    "post": PostConfig,
    "sender": SenderConfig,
    "src2log": Src2logConfig,
    "log": LogConfig,
}

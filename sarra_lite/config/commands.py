"""Options of sr_post, sr_sender and sr_log; those of all commands by component."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Literal
from urllib.parse import unquote, urlsplit

import platformdirs
from msgspec import Meta

from sarra_lite.config import base_url, rules
from sarra_lite.config.credentials import Endpoint  # noqa: TC001  schema evaluates the annotation
from sarra_lite.config.monitor import MonitorConfig
from sarra_lite.config.quota import QuotaConfig
from sarra_lite.config.schema import option
from sarra_lite.config.shared import BrokerConfig, ExchangeConfig, Prefetch
from sarra_lite.config.src2log import Src2logConfig
from sarra_lite.config.status import StatusConfig
from sarra_lite.config.web import WebConfig
from sarra_lite.messages import v03

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sarra_lite.messages.v03 import Announcement


class PostConfig(ExchangeConfig):
    """Options of sr_post.

    baseUrl: URL that the announced paths are relative to: file: and a directory, or any other URL
        if baseDir is set.
    identity: Checksum of a file in its announcement. cod (calculate on delivery): the sender
        calculates it, as it always does for files in blocks.
    checksum: Have a file sent unless the destination has one with the same content, whatever size
        and modification time say. Both files are read for this. A file above the block size is then
        sent in one piece.
    force: Have a file sent even if the destination has it. A file above the block size is then sent
        in one piece.
    header: Fields to add to all announcements.
    mirror: With --watch: announce what is renamed and removed, too, as if events had rename and
        remove. Senders follow only if their option events has them.
    settle: With --watch: how long a file must not change before it is announced, if no program was
        seen closing it.
    maxRemovals: With --watch: stop at the start when more announced names than this are missing,
        instead of announcing their removal.
    maxRemovalPercent: With --watch: stop at the start when more than this share of at least 100
        announced names is missing.
    stateDir: With --watch: directory for the record of what was announced. Default: sarra_lite in
        the user's directory for state ($XDG_STATE_HOME or ~/.local/state).
    """

    component: ClassVar[str] = "post"
    baseUrl: str = option(default="file:/", example='"file:/home/earnest"', kind="URL")
    identity: Literal["sha512", "sha256", "md5", "cod", "none"] = option(
        default="sha512", example='"sha256"'
    )
    checksum: bool = option(default=False)
    force: bool = option(default=False)
    header: dict[str, str] = option(default={}, example='{ project = "ocean" }')
    mirror: bool = option(default=False)
    settle: float = option(default=5.0, example='"10s"')
    maxRemovals: Annotated[int, Meta(ge=0)] = option(default=1000, example="10000")
    maxRemovalPercent: Annotated[int, Meta(ge=0, le=100)] = option(default=50, example="20")
    stateDir: str | None = option(default=None, example='"/var/lib/sarra_lite"', kind="directory")

    @functools.cached_property
    def allowed_events(self) -> frozenset[str]:
        """The events that are announced."""
        return frozenset([*self.events, *(("rename", "remove") if self.mirror else ())])

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
        for problem in base_url.problems(self.baseUrl, is_directory=self.baseDir is None):
            yield "baseUrl", problem
        if self.checksum and self.identity in ("cod", "none"):
            yield "checksum", f"needs a checksum, but identity is {self.identity}"
        if self.checksum and self.force:
            yield "checksum", "force sends whatever the content is: leave one of them out"
        reserved = sorted(self.header.keys() & v03.FIELDS)
        if reserved:
            yield "header", f"{', '.join(reserved)}: set by sr_post itself"


class SenderConfig(ExchangeConfig):
    """Options of sr_sender.

    sendTo: SFTP host to send to. It may be an alias of ssh_config(5), also without a user:
        sftp://alias. Its password or key file is taken from credentials.conf; without an entry
        there, keys and the agent are used as ssh uses them.
    directory: Directory at the destination, relative to the login directory unless it is absolute.
        ${%Y%m%d} is the time of the announcement, ${BROKER_USER} the sender's own broker user,
        ${source} its author if the broker has verified it, or else the same, ${0} the first group
        of the rule that matched.
    mirror: Keep the directories of the path at the destination. For removals there is events.
    strip: Number of leading directories to remove from the path.
    flatten: Replacement for each / of the path, so that all files are in one directory.
    connections: Number of simultaneous connections to the SFTP host. 0: between 2 and 8, more for a
        distant host.
    prefetch: Maximum number of unacknowledged announcements from the queue. 0: 16 for each
        connection, and up to 1000 while the files are small.
    stream: SSH implementation: the ssh program, which obeys ssh_config(5), or the library paramiko.
        auto: ssh, but paramiko if ssh is not installed or a password is needed.
    knownHosts: File with the keys of SFTP hosts. Default: the files that ssh uses.
    timeout: How long to wait for a response of the SFTP host. With --drain, also how long the host
        may be unreachable.
    limit: Maximum number of bytes per second that a process sends over all its connections. 0:
        unlimited.
    grants: Queue of the group, from which a sender takes a grant before it sends as many bytes.
    grantsMissing: What to do when no grants come: wait, or send without them.
    grantsTimeout: For how long no grants must come until that is logged and done.
    verify: Read back what was written and compare it, before a file is reported. This takes as long
        as a download.
    fsync: Have the server write a file to its disk, not only to its memory, before the file is
        reported (fsync@openssh.com).
    retry_ttl: How long after its announcement a file is retried while the destination is full.
    permCopy: Set the mode of files as announced. With permCopy and timeCopy off nothing is set,
        and the server applies its umask to permDefault and permDirDefault.
    permDefault: Mode of files whose announcement has none, and of all files if permCopy is off.
    permDirDefault: Mode of directories that the sender creates without a mode announced.
    permDirCopy: Set the announced mode also of directories that no sender has made.
    timeCopy: Set the modification time of files as announced.
    acceptUsers: Broker users whose announcements are accepted, in addition to the sender's own, for
        files below baseDir, which must be set. The broker must have verified the author.
    requireUserId: Refuse announcements without a verified author, as acceptUsers does. sr3 sends
        none.
    """

    component: ClassVar[str] = "sender"
    sendTo: Endpoint = option(
        example='"sftp://ear001@sftp.science.gc.ca/"', kind="URL", schemes=["sftp"]
    )
    directory: str = option(default="", example='"incoming/${%Y%m%d}"', kind="directory")
    mirror: bool = option(default=True)
    strip: Annotated[int, Meta(ge=0)] = option(default=0, example="2")
    flatten: str = option(default="/", example='"-"')
    # 64 sessions are more than sshd accepts by default.
    connections: Annotated[int, Meta(ge=0, le=64)] = option(default=0, example="4")
    prefetch: Prefetch = option(default=0, example="100")
    stream: Literal["auto", "ssh", "paramiko"] = option(default="auto", example='"paramiko"')
    knownHosts: str | None = option(
        default=None, example='"/etc/sarra_lite/known_hosts"', kind="file"
    )
    timeout: Annotated[float, Meta(gt=0)] = option(default=60.0, example='"2m"')
    limit: int = option(default=0, example='"20Mi"', kind="size")
    grants: str | None = option(default=None, example='"grant_cloudmech"')
    grantsMissing: Literal["wait", "send"] = option(default="wait", example='"send"')
    grantsTimeout: Annotated[float, Meta(ge=1)] = option(default=30.0, example='"2m"')
    verify: bool = option(default=False)
    fsync: bool = option(default=False)
    retry_ttl: float = option(default=86400.0, example='"1d"')
    permCopy: bool = option(default=True)
    permDefault: int = option(default=0o644, example='"640"', kind="mode")
    permDirDefault: int = option(default=0o775, example='"750"', kind="mode")
    permDirCopy: bool = option(default=False)
    timeCopy: bool = option(default=True)
    acceptUsers: list[str] = option(default=[], example='["ucloudmech"]')
    requireUserId: bool = option(default=False)

    @property
    def queue(self) -> str:
        """Queue that all senders of this configuration share."""
        return self.queueName or f"q_{self.broker.user}_{self.name}"

    @property
    def prefetch_count(self) -> int:
        """Maximum number of unacknowledged announcements at the start."""
        return self.prefetch or 16 * (self.connections or 2)

    def destination_path(self, announcement: Announcement, rel_path: str) -> str:
        """Return the path at the destination for ``rel_path``; TransferError 404 if it is rejected.

        ``rel_path`` is that of the announcement, or the old name of a rename.
        """
        rule, match = self.accepting_rule(announcement)
        template = self.directory if rule.directory is None else rule.directory
        *parents, name = rel_path.split("/")
        parents = parents[self.strip if rule.strip is None else rule.strip :]
        flatten = self.flatten if rule.flatten is None else rule.flatten
        if flatten != "/":
            name, parents = flatten.join([*parents, name]), []
        elif not (self.mirror if rule.mirror is None else rule.mirror):
            parents = []
        directory = rules.substituted(template, announcement, match, self.broker.user)
        return "/".join([directory.rstrip("/"), *parents, name] if directory else [*parents, name])

    def problems(self) -> Iterator[tuple[str, str]]:
        """Add destinations that cannot be used."""
        yield from super().problems()
        if self.sendTo.path:
            yield "sendTo", "must end after the host; write where files go as directory"
        using = [rule for rule in self.rules if rule.directory is None]
        yield from rules.path_problems(self.directory, self.flatten, using)
        if self.acceptUsers and self.baseDir is None:
            yield "acceptUsers", "needs baseDir, which says what these users may have sent"


class LogConfig(BrokerConfig):
    """Options of sr_log.

    queueName: Stream to read: q_xlog has the reports of all users. Default: q_<user>_reports.
    """

    component: ClassVar[str] = "log"
    borrows: ClassVar[tuple[str, ...]] = ("post", "sender")
    queueName: str | None = option(default=None, example='"q_xlog"')

    @property
    def queue(self) -> str:
        """Stream to read."""
        return self.queueName or f"q_{self.broker.user}_reports"


COMMANDS: Final[dict[str, type[BrokerConfig]]] = {
    config.component: config
    for config in (
        PostConfig,
        SenderConfig,
        Src2logConfig,
        QuotaConfig,
        MonitorConfig,
        WebConfig,
        StatusConfig,
        LogConfig,
    )
}

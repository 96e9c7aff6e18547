"""The options of sr_sender."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, ClassVar, Final, Literal

from sarra_lite.config import credentials, rules
from sarra_lite.config.schema import option
from sarra_lite.config.shared import ExchangeConfig

if TYPE_CHECKING:
    from collections.abc import Iterator

# More sessions than sshd accepts by default; prefetch is a 16-bit integer in AMQP 0.9.1.
_MAXIMUM: Final = {"connections": 64, "prefetch": 65535}


class SenderConfig(ExchangeConfig):
    """Options of sr_sender."""

    component: ClassVar[str] = "sender"
    sendTo: str = option(
        "SFTP host to send to. Its password or key file is taken from credentials.conf; without"
        " an entry there, keys and the agent are used as ssh uses them.",
        example='"sftp://ear001@sftp.science.gc.ca/"',
        kind="URL",
    )
    directory: str = option(
        "Directory at the destination, relative to the login directory unless it is absolute."
        " ${%Y%m%d} is the time of the announcement, ${source} the user who posted it,"
        " ${BROKER_USER} the sender's own broker user, ${0} the first group of the rule that"
        " matched.",
        default="",
        example='"incoming/${%Y%m%d}"',
        kind="directory",
    )
    mirror: bool = option("Keep the directories of the path at the destination.", default=True)
    strip: int = option(
        "Number of leading directories to remove from the path.", default=0, example="2"
    )
    flatten: str = option(
        "Replacement for each / of the path, so that all files are in one directory.",
        default="/",
        example='"-"',
    )
    connections: int = option(
        "Number of simultaneous connections to the SFTP host. 0: between 2 and 8, more for a"
        " distant host, and one more as long as that increases the throughput.",
        default=0,
        example="4",
    )
    prefetch: int = option(
        "Maximum number of unacknowledged announcements from the queue. 0: 16 for each"
        " connection, and up to 1000 while the files are small.",
        default=0,
        example="100",
    )
    stream: Literal["auto", "ssh", "paramiko"] = option(
        "SSH implementation: the ssh program, which obeys ssh_config(5), or the library paramiko."
        " auto: ssh, but paramiko if ssh is not installed or a password is needed.",
        default="auto",
        example='"paramiko"',
    )
    knownHosts: str | None = option(
        "File with the keys of SFTP hosts. Default: the files that ssh uses.",
        default=None,
        example='"/etc/sarra_lite/known_hosts"',
        kind="file",
    )
    timeout: float = option(
        "How long to wait for a response of the SFTP host. With --drain, also how long the host"
        " may be unreachable.",
        default=60.0,
        example='"2m"',
    )
    limit: int = option(
        "Maximum number of bytes per second that a process sends over all its connections. 0:"
        " unlimited.",
        default=0,
        example='"20Mi"',
        kind="size",
    )
    verify: bool = option(
        "Read back what was written and compare it, before a file is reported. This takes as long"
        " as a download.",
        default=False,
    )
    fsync: bool = option(
        "Have the server write a file to its disk, not only to its memory, before the file is"
        " reported (fsync@openssh.com).",
        default=False,
    )
    retry_ttl: float = option(
        "How long to retry a file while the destination is full.", default=86400.0, example='"1d"'
    )
    permCopy: bool = option("Set the mode of files as announced.", default=True)
    permDefault: int = option(
        "Mode of files whose announcement has none, and of all files if permCopy is off.",
        default=0o644,
        example='"640"',
        kind="mode",
    )
    permDirDefault: int = option(
        "Mode of directories that the sender creates.", default=0o775, example='"750"', kind="mode"
    )
    timeCopy: bool = option("Set the modification time of files as announced.", default=True)
    acceptUsers: list[str] = option(
        "Broker users whose announcements are accepted, in addition to the sender's own.",
        default_factory=list,
        example='["ucloudmech"]',
    )
    requireUserId: bool = option(
        "Refuse announcements without an author that the broker has verified. sr3 sends none.",
        default=False,
    )

    @property
    def queue(self) -> str:
        """Queue that all senders of this configuration share."""
        return self.queueName or f"q_{self.user}_{self.name}"

    @property
    def prefetch_count(self) -> int:
        """Maximum number of unacknowledged announcements at the start."""
        return self.prefetch or 16 * (self.connections or 2)

    @property
    def instance_name(self) -> str:
        """Name of this process in reports, unique among the processes of a configuration."""
        return f"{self.name}/{os.getpid()}"

    @property
    def destination(self) -> credentials.Endpoint:
        """The parsed URL of the SFTP host."""
        return credentials.parse_url(self.sendTo, ["sftp"])

    def problems(self) -> Iterator[tuple[str, str]]:
        """Add destinations that cannot be used, and numbers out of range."""
        yield from super().problems()
        if (text := credentials.problem(self.sendTo, ["sftp"])) is not None:
            yield "sendTo", text
        elif self.destination.path:
            yield "sendTo", "must end after the host; write where files go as directory"
        yield from rules.path_problems(self.directory, self.flatten)
        if self.timeout <= 0:
            yield "timeout", "must be more than 0"
        for key, most in _MAXIMUM.items():
            if not 0 <= getattr(self, key) <= most:
                yield key, f"must be between 0 and {most}"
        for key in ("limit", "strip"):
            if getattr(self, key) < 0:
                yield key, "is negative"

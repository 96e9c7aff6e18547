"""Options that several commands share: the broker, its exchanges and queues, rules."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal, TypeVar

from msgspec import Meta

from sarra_lite.config import rules
from sarra_lite.config.credentials import Endpoint  # noqa: TC001  schema evaluates the annotation
from sarra_lite.config.rules import Rule
from sarra_lite.config.schema import BaseConfig, option
from sarra_lite.errors import TransferError
from sarra_lite.messages import usage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sarra_lite.messages.v03 import Announcement

# sr3's names (sr3_options(7), fileEvents), with remove for its delete and rmdir, and attributes.
EVENTS: Final = ("create", "modify", "attributes", "link", "mkdir", "rename", "remove")
Prefetch = Annotated[int, Meta(ge=0, le=65535)]  # a 16-bit integer in AMQP 0.9.1


class BrokerConfig(BaseConfig):
    """Options of every command: how to connect to the broker, and how names on it are formed.

    broker: Broker to connect to. Its password is taken from credentials.conf.
    tlsCaFile: File with the CA certificates to trust for amqps. Default: those of the host.
    exchangePrefix: Prefix of the names of users' exchanges. sr3 uses xs_.
    userPrefix: Prefix of broker user names that is left out of exchange names: with u, user
        uearnest has the exchange xac_earnest. Set it to "" for exchanges of sr3.
    topicPrefix: Prefix of the topics of announcements. sr3 uses v03.
    reportMaxAge: How long a stream keeps reports; the units are Y, M, D, h, m and s. All commands
        that use the same stream need the same value.
    reportMaxBytes: Maximum size of a stream of reports; the broker deletes the oldest reports
        first.
    logLevel: Lowest level of messages that are logged on standard error.
    """

    component: ClassVar[str] = ""  # the command's name without sr_
    # Components whose configuration "default" supplies the broker if the command has none itself.
    borrows: ClassVar[tuple[str, ...]] = ()
    # What that configuration supplies beside the options of this class.
    borrowed: ClassVar[tuple[str, ...]] = ()
    name: str = "default"

    broker: Endpoint = option(
        example='"amqps://uearnest@svrsftp.science.gc.ca/"', kind="URL", schemes=("amqps", "amqp")
    )
    tlsCaFile: str | None = option(default=None, example='"/etc/sarra_lite/ca.pem"', kind="file")
    exchangePrefix: str = option(default="xac_", example='"xs_"')
    userPrefix: str = option(default="u", example='""')
    topicPrefix: str = option(default="v03.post", example='"v03"')
    reportMaxAge: str = option(default="30D", example='"30D"', kind="age")
    reportMaxBytes: int = option(default=1024**3, example='"1Gi"', kind="size")
    logLevel: Literal["debug", "info", "warning", "error"] = option(
        default="info", example='"debug"'
    )

    @property
    def report_topic(self) -> str:
        """Prefix of the topics of reports."""
        return self.topicPrefix.partition(".")[0] + ".report"

    @property
    def finish_topic(self) -> str:
        """Prefix of the topics of finishes."""
        return self.topicPrefix.partition(".")[0] + ".finish"

    @property
    def block_topic(self) -> str:
        """Prefix of the topics of all blocks of a file but the first one."""
        return self.topicPrefix.partition(".")[0] + ".block"

    @property
    def usage_topic(self) -> str:
        """Topic by which sr_quota tells the user what is used of quotas."""
        return usage.topic(self.broker.user)

    def topic_prefix(self, announcement: Announcement) -> str:
        """Return the prefix of the topic of an announcement.

        Whoever wants to know which files are announced, and not their blocks, binds to the topics
        of announcements and of finishes.
        """
        if announcement.is_finish:
            return self.finish_topic
        return self.block_topic if announcement.block else self.topicPrefix

    @property
    def report_arguments(self) -> dict[str, Any]:
        """Queue arguments of a stream of reports, the same whichever command declares it."""
        return {
            "x-queue-type": "stream",
            "x-max-age": self.reportMaxAge,
            "x-max-length-bytes": self.reportMaxBytes,
            "x-stream-max-segment-size-bytes": max(self.reportMaxBytes // 20, 10**6),
        }

    def owner_of(self, exchange: str) -> str | None:
        """Return the user who owns an exchange, None for an exchange without the user prefix."""
        name = exchange.removeprefix(self.exchangePrefix)
        return None if name in ("", exchange) else f"{self.userPrefix}{name}"

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield values that no broker accepts."""
        if self.tlsCaFile is not None and not Path(self.tlsCaFile).is_file():
            yield "tlsCaFile", f"no such file: {self.tlsCaFile}"
        age = self.reportMaxAge
        if age[-1:] not in "YMDhms" or not age[:-1].isdecimal():
            yield "reportMaxAge", f'not an age like "30D" (units Y, M, D, h, m, s): {age}'
        if not self.topicPrefix:
            yield "topicPrefix", "is empty"


Config = TypeVar("Config", bound=BrokerConfig)


class ExchangeConfig(BrokerConfig):
    """Options that sr_post and sr_sender share: both publish announcements on an exchange.

    exchange: Exchange to publish on. Default: exchangePrefix and the user name without userPrefix.
    queueName: Queue of announcements. The default of sr_sender is q_<user>_<configuration>; sr_post
        declares and binds a queue only if this option is set.
    queueType: Type of a queue that is created. sr3 creates classic.
    subtopic: Topics that the queue is bound to, without the prefix: directories with dots between
        them. * matches one directory, # any number.
    reportStream: Stream that keeps the user's reports, and the announcements of files for
        sr_status. Default: q_<user>_reports.
    baseDir: Directory that the paths in announcements are relative to. Default: the path of
        baseUrl.
    blockSize: Size of blocks. Larger files are sent as blocks of this size. 0: a thousandth of the
        file, at least 16 MiB and at most 1 GiB. 1: files are never split.
    rules: Rules that accept or reject files. The first rule whose regular expression matches the
        beginning of baseUrl and path decides.
    acceptUnmatched: Accept files that no rule matches.
    privateFiles: Announce and send also what is in .ssh, .gnupg and the like, which hold keys and
        passwords, and write to these directories at the destination.
    events: What is announced, and what a sender does: create and modify files, change only their
        attributes, link (make symbolic links), mkdir, rename and remove. Without remove nothing is
        removed at the destination; without rename a new name is sent and the old one stays there.
    """

    exchange: str | None = option(default=None, example='"xac_earnest"')
    queueName: str | None = option(default=None, example='"q_uearnest_science"')
    queueType: Literal["quorum", "classic"] = option(default="quorum", example='"classic"')
    subtopic: list[str] = option(default=["#"], example='["data.#"]')
    reportStream: str | None = option(default=None, example='"q_uearnest_reports"')
    baseDir: str | None = option(default=None, example='"/home/earnest"', kind="directory")
    blockSize: int = option(default=0, example='"256Mi"', kind="size")
    rules: list[Rule] = option(
        default=[], example='[{ reject = ".*[.]tmp$" }, { accept = ".*" }]', kind="rules"
    )
    acceptUnmatched: bool = option(default=True)
    privateFiles: bool = option(default=False)
    events: list[str] = option(
        default=list(EVENTS[:-2]),
        example=json.dumps(EVENTS),  # a list in TOML, too
    )

    @property
    def exchange_name(self) -> str:
        """Exchange to publish on."""
        return self.exchange or self.exchangePrefix + self.broker.user.removeprefix(self.userPrefix)

    @property
    def report_stream(self) -> str:
        """Stream of the user's reports."""
        return self.reportStream or f"q_{self.broker.user}_reports"

    @property
    def binding_keys(self) -> list[str]:
        """Binding keys of the queue: topics of announcements, of blocks and of finishes."""
        prefixes = dict.fromkeys([self.topicPrefix, self.block_topic, self.finish_topic])
        if "." not in self.topicPrefix and self.subtopic == ["#"]:
            prefixes = {self.topicPrefix: None}  # the key v03.# matches the others, too
        return [f"{prefix}.{subtopic}" for prefix in prefixes for subtopic in self.subtopic]

    @property
    def stream_keys(self) -> list[str]:
        """Binding keys of the stream of reports: of these, and of announcements of files.

        From both together it can be told where a file is.  Blocks, but the first, are on another
        topic; with the topics of sr3 they come, too.
        """
        prefixes = [self.report_topic, self.topicPrefix, self.finish_topic]
        if "." not in self.topicPrefix:
            prefixes = [self.topicPrefix]  # v03.# matches the others, too
        return [f"{prefix}.#" for prefix in prefixes]

    @property
    def instance_name(self) -> str:
        """Name of this process in reports, unique among the processes of a configuration."""
        return f"{self.name}/{os.getpid()}"

    @functools.cached_property
    def allowed_events(self) -> frozenset[str]:
        """The events that are announced, or that a sender may carry out."""
        return frozenset(self.events)

    def accepts(self, announcement: Announcement) -> bool:
        """Return whether the rules accept an announcement, and it announces one of the events."""
        if not self.allowed_events & announcement.events:
            return False
        with contextlib.suppress(TransferError):
            self.accepting_rule(announcement)
            return True
        return False

    def accepting_rule(self, announcement: Announcement) -> tuple[Rule, re.Match[str] | None]:
        """Return the rule that accepts an announcement and its match; raise TransferError 404.

        The first rule that matches decides, as in sr3 (sr3_options(7), accept).
        """
        url = f"{announcement.base_url.rstrip('/')}/{announcement.rel_path}"
        reason = None if self.acceptUnmatched else "no rule accepts it"
        for number, rule in enumerate(self.rules, start=1):
            # DOTALL because a name may contain a newline.
            match = re.match(rule.accept or rule.reject or "", url, re.DOTALL)
            if match is not None and rule.reject is None:
                return rule, match
            if match is not None:
                reason = f"rejected by rule {number}"
                break
        if reason is not None:
            raise TransferError(404, f"{reason} of configuration {self.instance_name}")
        return Rule(), None

    def problems(self) -> Iterator[tuple[str, str]]:
        """Add rules that cannot be applied."""
        yield from super().problems()
        yield from (("rules", text) for text in rules.problems(self.rules))
        for event in self.events:
            if event not in EVENTS:
                yield "events", f"no event: {event}; the events are {', '.join(EVENTS)}"

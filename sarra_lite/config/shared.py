"""Options that several commands share: the broker, its exchanges, rules.

Keys are spelt as sr3 spells them (sr3_options(7)), where sr3 has them.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal

import msgspec

from sarra_lite.config import credentials, rules
from sarra_lite.config.rules import Rule  # noqa: TC001  msgspec looks it up
from sarra_lite.config.schema import BaseConfig, option

if TYPE_CHECKING:
    from collections.abc import Iterator

AMQP: Final = ("amqps", "amqp")
Level = Literal["debug", "info", "warning", "error"]
QueueType = Literal["quorum", "classic"]


class BrokerConfig(BaseConfig, frozen=True, kw_only=True, dict=True):
    """What every command needs to talk to a broker."""

    component: ClassVar[str] = ""
    borrows: ClassVar[tuple[str, ...]] = ()  # components whose default will do, too
    name: str = "default"

    broker: Annotated[
        str,
        option(
            "Broker to connect to. Its password is taken from credentials.conf.",
            metavar="URL",
            example='"amqps://uearnest@svrsftp.science.gc.ca/"',
        ),
    ]
    tlsCaFile: Annotated[
        str | None,
        option(
            "File with the certificates of authorities to trust for amqps, instead of the host's.",
            metavar="FILE",
            example='"/etc/sarra_lite/ca.pem"',
        ),
    ] = None
    exchangePrefix: Annotated[
        str,
        option("Exchanges of users begin with this; sr3's begin with xs_.", example='"xs_"'),
    ] = "xac_"
    userPrefix: Annotated[
        str,
        option(
            "What users of the broker begin with and their exchanges leave out: the exchange of"
            ' uearnest is xac_earnest. Set to "" for the exchanges of sr3.',
            example='""',
        ),
    ] = "u"
    topicPrefix: Annotated[
        str,
        option("Topics of announcements begin with this; sr3's begin with v03.", example='"v03"'),
    ] = "v03.post"
    reportMaxAge: Annotated[
        str,
        option(
            "How long reports can be read again. All commands on a stream need the same value.",
            metavar="AGE",
            example='"30D"',
        ),
    ] = "30D"
    reportMaxBytes: Annotated[
        int,
        option(
            "How many bytes of reports can be read again; the oldest go first.",
            "size",
            example='"1Gi"',
        ),
    ] = 1024**3
    logLevel: Annotated[
        Level, option("How much is logged to standard error.", example='"debug"')
    ] = "info"

    @cached_property
    def endpoint(self) -> credentials.Endpoint:
        """The broker's URL in parts."""
        return credentials.parse_url(self.broker, AMQP)

    @property
    def user(self) -> str:
        """Name of the broker user."""
        return self.endpoint.user

    @property
    def report_topic(self) -> str:
        """Prefix of the topics of reports."""
        return self.topicPrefix.partition(".")[0] + ".report"

    @property
    def finish_topic(self) -> str:
        """Prefix of the topics of finishes."""
        return self.topicPrefix.partition(".")[0] + ".finish"

    @property
    def report_arguments(self) -> dict[str, Any]:
        """Arguments that the streams of reports are declared with, by whoever comes first."""
        return {
            "x-queue-type": "stream",
            "x-max-age": self.reportMaxAge,
            "x-max-length-bytes": self.reportMaxBytes,
            "x-stream-max-segment-size-bytes": max(self.reportMaxBytes // 20, 10**6),
        }

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield values that no broker could take."""
        if (text := credentials.problem(self.broker, AMQP)) is not None:
            yield "broker", text
        if self.tlsCaFile is not None and not Path(self.tlsCaFile).is_file():
            yield "tlsCaFile", f"no such file: {self.tlsCaFile}"
        if self.reportMaxAge[-1:] not in "YMDhms" or not self.reportMaxAge[:-1].isdecimal():
            yield (
                "reportMaxAge",
                f'not an age like "30D" (units Y, M, D, h, m, s): {self.reportMaxAge}',
            )
        if not self.topicPrefix:
            yield "topicPrefix", "is empty"


class ExchangeConfig(BrokerConfig, frozen=True, kw_only=True):
    """What poster and sender share."""

    exchange: Annotated[
        str | None,
        option(
            "Exchange to post on. Default: exchangePrefix and the user's name without userPrefix.",
            example='"xac_earnest"',
        ),
    ] = None
    queueName: Annotated[
        str | None,
        option(
            "Queue of announcements. A sender's default is q_<user>_<configuration>; sr_post"
            " declares and binds it only when it is named.",
            example='"q_uearnest_science"',
        ),
    ] = None
    queueType: Annotated[
        QueueType,
        option(
            "Type of a queue that does not exist yet. classic is what sr3 declares.",
            example='"classic"',
        ),
    ] = "quorum"
    subtopic: Annotated[
        list[str],
        option(
            "Only these topics are bound to the queue: directories with dots between.",
            "list",
            example='["data.#"]',
        ),
    ] = msgspec.field(default_factory=lambda: ["#"])
    reportStream: Annotated[
        str | None,
        option(
            "Stream that keeps the user's reports. Default: q_<user>_reports.",
            example='"q_uearnest_reports"',
        ),
    ] = None
    baseDir: Annotated[
        str | None,
        option(
            "Directory that the paths of announcements are relative to. Default: the path of"
            " baseUrl.",
            metavar="DIR",
            example='"/home/earnest"',
        ),
    ] = None
    blockSize: Annotated[
        int,
        option(
            "Files larger than this are sent in blocks of so many bytes: 0 chooses a thousandth of"
            " the file, between 16 MiB and 1 GiB; 1 never cuts.",
            "size",
            example='"256Mi"',
        ),
    ] = 0
    rules: Annotated[
        list[Rule],
        option(
            "What is taken, in order; the first rule whose regular expression matches the"
            " beginning of baseUrl and path decides.",
            "rules",
            example='[{ reject = ".*[.]tmp$" }, { accept = ".*" }]',
        ),
    ] = msgspec.field(default_factory=list)
    acceptUnmatched: Annotated[
        bool, option("Whether what no rule matches is taken.", "flag", example="false")
    ] = True

    @property
    def exchange_name(self) -> str:
        """Exchange to post on."""
        name = self.user.removeprefix(self.userPrefix)
        return self.exchange or f"{self.exchangePrefix}{name}"

    @property
    def report_stream(self) -> str:
        """Stream of the user's reports."""
        return self.reportStream or f"q_{self.user}_reports"

    @property
    def binding_keys(self) -> list[str]:
        """Topics of the announcements that the queue is to get, and of their finishes."""
        prefixes = dict.fromkeys([self.topicPrefix, self.finish_topic])
        if self.finish_topic.startswith(f"{self.topicPrefix}.") and self.subtopic == ["#"]:
            prefixes.pop(self.finish_topic)  # bound to v03.#, the queue gets all of it
        return [f"{prefix}.{subtopic}" for prefix in prefixes for subtopic in self.subtopic]

    @property
    def post_topic(self) -> str:
        """Prefix of the topics of announcements."""
        return self.topicPrefix

    def problems(self) -> Iterator[tuple[str, str]]:
        """Add rules that are none."""
        yield from super().problems()
        yield from (("rules", text) for text in rules.problems(self.rules))
        if self.blockSize < 0:
            yield "blockSize", "is negative"

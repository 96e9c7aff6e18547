"""Options that several commands share: the broker, its exchanges and queues, rules."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

from sarra_lite.config import credentials, rules
from sarra_lite.config.rules import Rule  # noqa: TC001  schema evaluates the annotation
from sarra_lite.config.schema import BaseConfig, option

if TYPE_CHECKING:
    from collections.abc import Iterator

AMQP: Final = ("amqps", "amqp")


class BrokerConfig(BaseConfig):
    """Options of every command: how to connect to the broker, and how names on it are formed."""

    component: ClassVar[str] = ""  # the command's name without sr_
    # Components whose configuration "default" supplies the broker if the command has none itself.
    borrows: ClassVar[tuple[str, ...]] = ()
    name: str = "default"

    broker: str = option(
        "Broker to connect to. Its password is taken from credentials.conf.",
        example='"amqps://uearnest@svrsftp.science.gc.ca/"',
        kind="URL",
    )
    tlsCaFile: str | None = option(
        "File with the CA certificates to trust for amqps. Default: those of the host.",
        default=None,
        example='"/etc/sarra_lite/ca.pem"',
        kind="file",
    )
    exchangePrefix: str = option(
        "Prefix of the names of users' exchanges. sr3 uses xs_.", default="xac_", example='"xs_"'
    )
    userPrefix: str = option(
        "Prefix of broker user names that is left out of exchange names: with u, user uearnest"
        ' has the exchange xac_earnest. Set it to "" for exchanges of sr3.',
        default="u",
        example='""',
    )
    topicPrefix: str = option(
        "Prefix of the topics of announcements. sr3 uses v03.", default="v03.post", example='"v03"'
    )
    reportMaxAge: str = option(
        "How long a stream keeps reports; the units are Y, M, D, h, m and s. All commands that"
        " use the same stream need the same value.",
        default="30D",
        example='"30D"',
        kind="age",
    )
    reportMaxBytes: int = option(
        "Maximum size of a stream of reports; the broker deletes the oldest reports first.",
        default=1024**3,
        example='"1Gi"',
        kind="size",
    )
    logLevel: Literal["debug", "info", "warning", "error"] = option(
        "Lowest level of messages that are logged on standard error.",
        default="info",
        example='"debug"',
    )

    @cached_property
    def endpoint(self) -> credentials.Endpoint:
        """The parsed URL of the broker."""
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
        """Queue arguments of a stream of reports, the same whichever command declares it."""
        return {
            "x-queue-type": "stream",
            "x-max-age": self.reportMaxAge,
            "x-max-length-bytes": self.reportMaxBytes,
            "x-stream-max-segment-size-bytes": max(self.reportMaxBytes // 20, 10**6),
        }

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield values that no broker accepts."""
        if (text := credentials.problem(self.broker, AMQP)) is not None:
            yield "broker", text
        if self.tlsCaFile is not None and not Path(self.tlsCaFile).is_file():
            yield "tlsCaFile", f"no such file: {self.tlsCaFile}"
        age = self.reportMaxAge
        if age[-1:] not in "YMDhms" or not age[:-1].isdecimal():
            yield "reportMaxAge", f'not an age like "30D" (units Y, M, D, h, m, s): {age}'
        if not self.topicPrefix:
            yield "topicPrefix", "is empty"


class ExchangeConfig(BrokerConfig):
    """Options that sr_post and sr_sender share: both publish announcements on an exchange."""

    exchange: str | None = option(
        "Exchange to publish on. Default: exchangePrefix and the user name without userPrefix.",
        default=None,
        example='"xac_earnest"',
    )
    queueName: str | None = option(
        "Queue of announcements. The default of sr_sender is q_<user>_<configuration>; sr_post"
        " declares and binds a queue only if this option is set.",
        default=None,
        example='"q_uearnest_science"',
    )
    queueType: Literal["quorum", "classic"] = option(
        "Type of a queue that is created. sr3 creates classic.",
        default="quorum",
        example='"classic"',
    )
    subtopic: list[str] = option(
        "Topics that the queue is bound to, without the prefix: directories with dots between"
        " them. * matches one directory, # any number.",
        default_factory=lambda: ["#"],
        example='["data.#"]',
    )
    reportStream: str | None = option(
        "Stream that keeps the user's reports. Default: q_<user>_reports.",
        default=None,
        example='"q_uearnest_reports"',
    )
    baseDir: str | None = option(
        "Directory that the paths in announcements are relative to. Default: the path of baseUrl.",
        default=None,
        example='"/home/earnest"',
        kind="directory",
    )
    blockSize: int = option(
        "Size of blocks. Larger files are sent as blocks of this size. 0: a thousandth of the"
        " file, at least 16 MiB and at most 1 GiB. 1: files are never split.",
        default=0,
        example='"256Mi"',
        kind="size",
    )
    rules: list[Rule] = option(
        "Rules that accept or reject files. The first rule whose regular expression matches the"
        " beginning of baseUrl and path decides.",
        default_factory=list,
        example='[{ reject = ".*[.]tmp$" }, { accept = ".*" }]',
        kind="rules",
    )
    acceptUnmatched: bool = option("Accept files that no rule matches.", default=True)

    @property
    def exchange_name(self) -> str:
        """Exchange to publish on."""
        return self.exchange or self.exchangePrefix + self.user.removeprefix(self.userPrefix)

    @property
    def report_stream(self) -> str:
        """Stream of the user's reports."""
        return self.reportStream or f"q_{self.user}_reports"

    @property
    def binding_keys(self) -> list[str]:
        """Binding keys of the queue: topics of announcements and of their finishes."""
        prefixes = dict.fromkeys([self.topicPrefix, self.finish_topic])
        if self.finish_topic.startswith(f"{self.topicPrefix}.") and self.subtopic == ["#"]:
            prefixes.pop(self.finish_topic)  # the key v03.# matches finishes, too
        return [f"{prefix}.{subtopic}" for prefix in prefixes for subtopic in self.subtopic]

    def problems(self) -> Iterator[tuple[str, str]]:
        """Add rules that cannot be applied."""
        yield from super().problems()
        yield from (("rules", text) for text in rules.problems(self.rules))
        if self.blockSize < 0:
            yield "blockSize", "is negative"

"""A configuration of sr3 into one of ours, with a note on each line that has no equivalent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple
from urllib.parse import unquote, urlsplit

from sarra_lite.errors import UsageError
from sarra_lite.sr3.options import Conversion
from sarra_lite.sr3.reader import VARIABLE, Note
from sarra_lite.sr3.rules import PLACING, truth

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sarra_lite.sr3.reader import Line

_DIGESTS: Final = {"s": "sha512", "d": "md5", "n": "none", "0": "none", "z": "cod"}
_MOST_CONNECTIONS: Final = 64
_BLOCKS: Final = (
    "Large files are announced in blocks, which senders of sr3 cannot send: say blockSize = 1 while"
    " any of them reads the exchange."
)
_QUEUE: Final = (
    "The name of sr3's queue is in ~/.cache/sr3/sender/{name}/; say queueName = that name to go on"
    " with the announcements that are in it."
)
_OTHERS: Final = (
    "If others than {user} announce on exchange {exchange}, name them: acceptUsers = [...]."
)


class Converted(NamedTuple):
    """What came out: values by our keys, remarks to put above them, notes on what is lost."""

    component: str
    name: str
    values: dict[str, Any]
    remarks: list[str]
    notes: list[Note]


def convert(file: Path, component: str | None = None) -> Converted:
    """Convert a file of sr3, whose directory tells the component if it is not given.

    default.conf beside that directory is read first, as sr3 does.  Raises UsageError for other
    components than post, watch and sender, ConfigError when the file cannot be read.
    """
    directory = file.resolve().parent
    told = component or directory.name
    if told not in COMPONENTS:
        raise UsageError(f"{file}: not in a directory post, watch or sender; say --component")
    conversion = COMPONENTS[told](told, file.stem)
    defaults = directory.parent / "default.conf"
    if directory.name in COMPONENTS and defaults.is_file():
        conversion.read(defaults)
    conversion.read(file)
    values = conversion.finish()
    remarks = [f"From {file.name} of sr3's {told}.", *conversion.remarks()]
    return Converted(conversion.component, file.stem, values, remarks, conversion.reader.notes)


class _Post(Conversion):
    """What posts and watches have."""

    component: ClassVar[str] = "post"

    def __init__(self, told: str, name: str) -> None:
        super().__init__(told, name)
        self._chosen: set[str] = set()
        self.handlers |= {
            "identity": self._identity,
            "header": self._header,
            "instances": self._instances,
            "path": self._path,
        }

    def take(self, line: Line, key: str) -> None:
        """Take a line; post_exchange and its like count more than exchange."""
        ours = key.removeprefix("post_")
        if ours != key:
            self._chosen.add(ours)
        elif ours in self._chosen:
            self.note(line, f"post_{ours} is what counts")
            return
        super().take(line, ours)

    def finish(self) -> dict[str, Any]:
        """Add the rules, and the base directory of a URL that is none."""
        if rules := self.places.values("").get("rules"):
            self.values["rules"] = rules
        parts = urlsplit(self.values.get("baseUrl", "file:/"))
        if parts.scheme != "file":
            # sr3 takes the path of sftp:, but the root for others.
            base = unquote(parts.path) if parts.scheme == "sftp" else ""
            self.values.setdefault("baseDir", base or "/")
        return super().finish()

    def remarks(self) -> Iterator[str]:
        """Yield what no line says."""
        if "blockSize" not in self.values:
            yield _BLOCKS
        if self.told == "watch":
            yield f"Run it as: sr_post --watch -c {self.name} DIRECTORY"

    def _identity(self, line: Line) -> None:
        method = line.value.lower().partition(",")[0]
        method = _DIGESTS.get(method, method)
        if method in (self.options["identity"].choices or ()):
            self.values["identity"] = method
        else:
            self.note(line, f"{line.value} is not calculated here; left at the default")

    def _header(self, line: Line) -> None:
        key, equals, value = line.value.partition("=")
        if not equals or VARIABLE.search(value):
            self.note(line, "not a field and its value, joined by =")
        else:
            self.values.setdefault("header", {})[key] = value

    def _instances(self, line: Line) -> None:
        self.note(line, "nothing to do: one process announces as fast as the broker takes it")

    def _path(self, line: Line) -> None:
        watch = "--watch " if self.told == "watch" else ""
        self.note(line, f"goes onto the command line: sr_post {watch}-c {self.name} {line.value}")


class _Sender(Conversion):
    """What senders have."""

    component: ClassVar[str] = "sender"

    def __init__(self, told: str, name: str) -> None:
        super().__init__(told, name)
        self._below = "/"
        self._bound: set[tuple[str, str]] = set()
        self.handlers |= {
            **dict.fromkeys(PLACING, self.places.take),
            "sendTo": self._send_to,
            "byteRateMax": lambda line: self._plain(self.options["limit"], line),
            "post_baseDir": self._base,
            "subtopic": self._subtopic,
            "instances": self._instances,
            "sundew_compat_regex_first_match_is_zero": self._groups,
        }

    def finish(self) -> dict[str, Any]:
        """Add what rules and directories amount to."""
        self.values |= self.places.values(self._below)
        return super().finish()

    def remarks(self) -> Iterator[str]:
        """Yield what no line says."""
        if "queueName" not in self.values:
            yield _QUEUE.format(name=self.name)
        if not self.exchange.startswith(f"xs_{self.user}"):
            yield _OTHERS.format(user=self.user, exchange=self.exchange)

    def _send_to(self, line: Line) -> None:
        self.url("sendTo", ("sftp",), line)
        url = self.values.get("sendTo", "")
        if path := urlsplit(url).path.lstrip("/"):
            self.note(line, f"/{path} is left out; directory alone says where files go")
            self.values["sendTo"] = url.removesuffix(path)

    def _base(self, line: Line) -> None:
        """What sr3 takes for the directory of files that no directory is said for."""
        self._below = self.known(line) or "/"

    def _subtopic(self, line: Line) -> None:
        topic = self.known(line)
        if topic is None:
            return
        self.values.setdefault("subtopic", []).append(topic.replace("/", "."))
        self._bound.add((self.exchange, self.values.get("topicPrefix", "")))
        if len(self._bound) > 1:
            self.note(line, "all topics are bound with the last exchange and topicPrefix here")

    def _instances(self, line: Line) -> None:
        if line.value.isdecimal() and 1 <= int(line.value) <= _MOST_CONNECTIONS:
            self.values["connections"] = int(line.value)
            self.note(line, f"one process with connections = {line.value} does their work")
        else:
            self.note(line, "one process has between 1 and 64 connections; left at the default")

    def _groups(self, line: Line) -> None:
        self.places.from_zero = truth(line.words)


COMPONENTS: Final[dict[str, type[_Post | _Sender]]] = {
    "post": _Post,
    "cpost": _Post,
    "watch": _Post,
    "sender": _Sender,
}

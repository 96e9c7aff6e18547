"""Converts a configuration of sr3 into one of ours, with a note on each line that is left out."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final
from urllib.parse import unquote, urlsplit

from sarra_lite.config.rules import VARIABLE
from sarra_lite.errors import UsageError
from sarra_lite.sr3.options import ConfigConverter
from sarra_lite.sr3.rules import FIRST_GROUP_IS_ZERO, PATH_OPTIONS

if TYPE_CHECKING:
    from pathlib import Path

    from sarra_lite.sr3.reader import Line

_DIGESTS: Final = {"s": "sha512", "d": "md5", "n": "none", "0": "none", "z": "cod"}
_MAX_CONNECTIONS: Final = 64
_BLOCKS: Final = (
    "Large files are announced in blocks, which senders of sr3 cannot send: set blockSize = 1 as"
    " long as any of them reads from this exchange."
)
_QUEUE: Final = (
    "The name of sr3's queue is in ~/.cache/sr3/sender/{name}/. Set queueName = that name to send"
    " the announcements that are in it."
)
_OTHER_USERS: Final = (
    "If users other than {user} announce on exchange {exchange}, name them: acceptUsers = [...]."
)


def convert(file: Path, component: str | None = None) -> ConfigConverter:
    """Convert a file of sr3; ``component`` is by default the name of its directory.

    Like sr3, read default.conf from the directory above first.  Return the converter, whose
    attributes have the result.  Raise UsageError for components other than post, cpost, watch and
    sender, ConfigError when a file cannot be read.
    """
    directory = file.resolve().parent
    component = component or directory.name
    if component not in COMPONENTS:
        raise UsageError(f"{file}: not in a directory post, watch or sender; say --component")
    converter = COMPONENTS[component](component, file)
    defaults = directory.parent / "default.conf"
    if directory.name in COMPONENTS and defaults.is_file():
        converter.read(defaults)
    converter.read(file)
    converter.finish()
    return converter


class _PostConverter(ConfigConverter):
    """Converts posts and watches."""

    component: ClassVar[str] = "post"

    def __init__(self, sr3_component: str, file: Path) -> None:
        super().__init__(sr3_component, file)
        self._with_prefix: set[str] = set()
        self.handlers |= {"identity": self._identity, "header": self._header, "path": self._path}

    def take(self, line: Line, key: str) -> None:
        """Convert a line; an option post_X overrides X, wherever it stands."""
        without_prefix = key.removeprefix("post_")
        if without_prefix != key:
            self._with_prefix.add(without_prefix)
        elif key in self._with_prefix:
            self.note(line, f"post_{key} is what counts")
            return
        super().take(line, without_prefix)

    def finish(self) -> None:
        """Add the base directory, if baseUrl does not contain it, and remarks."""
        url = urlsplit(self.values.get("baseUrl", "file:/"))
        if url.scheme != "file":
            # sr3 takes the path of an sftp: URL, but the root directory for all others.
            base = unquote(url.path) if url.scheme == "sftp" else ""
            self.values.setdefault("baseDir", base or "/")
        if "blockSize" not in self.values:
            self.remarks.append(_BLOCKS)
        if self.sr3_component == "watch":
            self.remarks.append(f"Run it as: sr_post --watch -c {self.name} DIRECTORY")
        super().finish()

    def _identity(self, line: Line) -> None:
        method = line.value.lower().partition(",")[0]
        self.convert("identity", line._replace(words=[_DIGESTS.get(method, method)]))

    def _header(self, line: Line) -> None:
        key, equals, value = line.value.partition("=")
        if not equals or VARIABLE.search(value):
            self.note(line, "not a field and its value, joined by =")
        else:
            self.values.setdefault("header", {})[key] = value

    def _path(self, line: Line) -> None:
        watch = "--watch " if self.sr3_component == "watch" else ""
        self.note(line, f"goes onto the command line: sr_post {watch}-c {self.name} {line.value}")


class _SenderConverter(ConfigConverter):
    """Converts senders."""

    component: ClassVar[str] = "sender"

    def __init__(self, sr3_component: str, file: Path) -> None:
        super().__init__(sr3_component, file)
        self._bindings: set[tuple[str, str]] = set()
        self.handlers |= {
            **dict.fromkeys((*PATH_OPTIONS, FIRST_GROUP_IS_ZERO), self.rules.take),
            "sendTo": self._send_to,
            "byteRateMax": lambda line: self.convert("limit", line),
            "post_baseDir": self._post_base_dir,
            "subtopic": self._subtopic,
            "instances": self._instances,
        }

    def finish(self) -> None:
        """Add remarks on the queue and on other users' announcements."""
        if "queueName" not in self.values:
            self.remarks.append(_QUEUE.format(name=self.name))
        if not self.exchange.startswith(f"xs_{self.user}"):
            self.remarks.append(_OTHER_USERS.format(user=self.user, exchange=self.exchange))
        super().finish()

    def _send_to(self, line: Line) -> None:
        self.url("sendTo", ("sftp",), line)
        url = self.values.get("sendTo", "")
        if path := urlsplit(url).path.lstrip("/"):
            self.note(line, f"/{path} is left out; directory alone says where files go")
            self.values["sendTo"] = url.removesuffix(path)

    def _post_base_dir(self, line: Line) -> None:
        # sr3 puts files there for which no line names a directory.
        self.rules.default_directory = self.text(line) or "/"

    def _subtopic(self, line: Line) -> None:
        if (topic := self.text(line)) is None:
            return
        self.values.setdefault("subtopic", []).append(topic.replace("/", "."))
        # sr3 binds a topic with the exchange and topicPrefix of the lines before it.
        self._bindings.add((self.exchange, self.values.get("topicPrefix", "")))
        if len(self._bindings) > 1:
            self.note(line, "all topics are bound with the last exchange and topicPrefix here")

    def _instances(self, line: Line) -> None:
        if line.value.isdecimal() and 1 <= int(line.value) <= _MAX_CONNECTIONS:
            self.values["connections"] = int(line.value)
            self.note(line, f"one process with connections = {line.value} does their work")
        else:
            self.note(line, "one process has between 1 and 64 connections; left at the default")


COMPONENTS: Final[dict[str, type[ConfigConverter]]] = {
    **dict.fromkeys(("post", "cpost", "watch"), _PostConverter),
    "sender": _SenderConverter,
}

"""Converts a configuration of sr3 into one of ours, with a note on each line that is left out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

from sarra_lite import units
from sarra_lite.config.commands import COMMANDS
from sarra_lite.config.rules import VARIABLE
from sarra_lite.config.schema import options
from sarra_lite.errors import UsageError
from sarra_lite.sr3.events import EventConverter
from sarra_lite.sr3.reader import Reader
from sarra_lite.sr3.rules import PATH_OPTIONS, RuleConverter
from sarra_lite.sr3.unsupported import Harmless, left_out

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sarra_lite.config.schema import Option
    from sarra_lite.sr3.reader import Line

# Components of sr3, and the command that does their work here.
COMPONENTS: Final = {"post": "post", "cpost": "post", "watch": "post", "sender": "sender"}
_LEVELS: Final = {"critical": "error", "warn": "warning", "notset": "debug", "none": "error"}
_DIGESTS: Final = {"s": "sha512", "d": "md5", "n": "none", "0": "none", "z": "cod"}
_MAX_CONNECTIONS: Final = 64
# Values that differ from our defaults, so that exchanges, queues and topics are those of sr3.
_SR3_NAMES: Final = {
    "exchangePrefix": "xs_",
    "userPrefix": "",
    "topicPrefix": "v03",
    "queueType": "classic",
}


def convert(file: Path, component: str | None = None) -> Converter:
    """Convert a file of sr3; ``component`` is by default the name of its directory.

    Like sr3, read default.conf from the directory above first.  Return the converter, whose
    attributes have the result.  Raise UsageError for components other than post, cpost, watch and
    sender, ConfigError when a file cannot be read.
    """
    directory = file.resolve().parent
    component = component or directory.name
    if component not in COMPONENTS:
        raise UsageError(f"{file}: not in a directory post, watch or sender; say --component")
    converter = Converter(component, file.stem)
    converter.remarks.append(f"From {file.name} of sr3's {component}.")
    defaults = directory.parent / "default.conf"
    if directory.name in COMPONENTS and defaults.is_file():
        converter.read(defaults)
    converter.read(file)
    converter.finish()
    return converter


class Converter:
    """Takes the lines of one configuration of sr3 and collects the values of ours.

    The result is in ``component`` and ``values`` (by our keys), ``remarks`` (comments to write
    above them), ``notes`` (on lines that are left out) and ``events`` (with warnings).
    """

    def __init__(self, sr3_component: str, name: str) -> None:
        """``sr3_component`` is post, cpost, watch or sender; ``name`` is the configuration's."""
        self.component = COMPONENTS[sr3_component]
        self.name = name
        self.values: dict[str, Any] = {}
        self.remarks: list[str] = []
        self._reader = Reader(sr3_component, name)
        self.notes, self.lossy = self._reader.notes, self._reader.lossy  # see Reader
        self._rules = RuleConverter(self._reader.note)
        self.events = EventConverter()
        self._options = {option.key: option for option in options(COMMANDS[self.component])}
        self._post = f"sr_post {'--watch ' * (sr3_component == 'watch')}-c {name}"
        self._suffix = ""  # of the exchange
        self._with_prefix: set[str] = set()  # options of a post that were read as post_X
        self._bindings: set[tuple[str, str]] = set()
        # Each takes a line, and raises ValueError with the note if it is left out.
        self._handlers: dict[str, Callable[[Line], None]] = {
            "exchangeSuffix": self._exchange_suffix,
            "topicPrefix": self._topic_prefix,
            "logLevel": self._log_level,
            "debug": self._debug,
            **dict.fromkeys(("accept", "reject"), self._rules.take),
            "fileEvents": self.events.take,
        }
        if self.component == "post":
            handlers = {"identity": self._identity, "header": self._header, "path": self._path}
            self._handlers |= handlers
            del self._options["mirror"]  # that of sr3 is for senders
        else:
            self._handlers |= dict.fromkeys(PATH_OPTIONS, self._rules.take)
            self._handlers["sendTo"] = self._send_to
            self._handlers["subtopic"] = self._subtopic
            self._handlers["instances"] = self._instances

    def read(self, file: Path) -> None:
        """Convert the lines of a file; add a note on each one that is left out."""
        for line in self._reader.read(file):
            try:
                self._take(line)
            except ValueError as error:
                self._reader.note(line, str(error), harmless=isinstance(error, Harmless))

    def finish(self) -> None:
        """Complete the values, in the order in which the reference lists them, and the remarks."""
        if self.component == "post":
            self._finish_post()
        else:
            self._finish_sender()
        self.remarks += self.events.warnings
        values = _SR3_NAMES | {"events": self.events.names} | self.values | self._rules.values()
        if self._suffix:
            values["exchange"] = self._exchange()
        self.values = {key: values[key] for key in self._options if key in values}

    def _finish_post(self) -> None:
        url = urlsplit(self.values.get("baseUrl", "file:/"))
        if url.scheme != "file":
            # sr3 takes the path of an sftp: URL, but the root directory for all others.
            base = unquote(url.path) if url.scheme == "sftp" else ""
            self.values.setdefault("baseDir", base or "/")
        if "blockSize" not in self.values:
            self.remarks.append(
                "Large files are announced in blocks, which senders of sr3 cannot send:"
                " set blockSize = 1 as long as any of them reads from this exchange."
            )
        if "--watch" in self._post:
            self.remarks.append(f"Run it as: {self._post} DIRECTORY")

    def _finish_sender(self) -> None:
        if "queueName" not in self.values:
            self.remarks.append(
                f"The name of sr3's queue is in ~/.cache/sr3/sender/{self.name}/."
                " Set queueName = that name to send the announcements that are in it."
            )
        exchange, user = self._exchange(), self._user()
        if not exchange.startswith(f"xs_{user}"):
            self.remarks.append(
                f"If users other than {user} announce on exchange {exchange},"
                " name them: acceptUsers = [...]. sr3's own posts are refused then."
            )

    def _user(self) -> str:
        """Return the broker user; empty before the line that names the broker."""
        return urlsplit(self.values.get("broker", "")).username or ""

    def _exchange(self) -> str:
        """Return the exchange as sr3 derives it from the lines so far."""
        return f"{self.values.get('exchange', f'xs_{self._user()}')}{self._suffix}"

    def _take(self, line: Line) -> None:
        key = line.option
        if self.component == "post" and key.startswith("post_"):
            # It overrides the option without the prefix, wherever that stands.
            key = key.removeprefix("post_")
            self._with_prefix.add(key)
        elif key in self._with_prefix:
            raise Harmless(f"post_{key} is what counts")
        if key in self._handlers:
            self._handlers[key](line)
        elif key not in self._options:
            raise left_out(line.option)
        elif line.value == "None":  # of sr3: not set
            self.values.pop(key, None)
        elif self._options[key].kind == "flag":
            self.values[key] = line.flag
        else:
            self._set(key, line.text)

    def _set(self, key: str, text: str) -> None:
        """Set one of our options to a value of sr3."""
        option = self._options[key]
        try:
            value = _value(option, text)
            option.convert(value)
        except ValueError as error:
            default = "" if option.required else "; left at the default"
            raise ValueError(f"{error}{default}") from None
        self.values[key] = value

    def _exchange_suffix(self, line: Line) -> None:
        self._suffix = f"_{line.text}"

    def _topic_prefix(self, line: Line) -> None:
        prefix = line.text.replace("/", ".")
        if prefix.startswith("v02"):
            raise ValueError("v02 is not spoken here; post with post_format v03")
        self.values["topicPrefix"] = prefix

    def _log_level(self, line: Line) -> None:
        level = _LEVELS.get(line.value.lower(), line.value.lower())
        if level not in (self._options["logLevel"].choices or ()):
            raise Harmless(f"{line.value} is no level here; left at the default")
        self.values["logLevel"] = level

    def _debug(self, line: Line) -> None:
        if line.flag:
            self.values["logLevel"] = "debug"

    def _identity(self, line: Line) -> None:
        method = line.text.lower().partition(",")[0]
        self._set("identity", _DIGESTS.get(method, method))

    def _header(self, line: Line) -> None:
        key, equals, value = line.value.partition("=")
        if not equals or VARIABLE.search(value):
            raise ValueError("not a field and its value, joined by =")
        self.values.setdefault("header", {})[key] = value

    def _path(self, line: Line) -> None:
        raise Harmless(f"goes onto the command line: {self._post} {line.value}")

    def _send_to(self, line: Line) -> None:
        self._set("sendTo", line.text)
        if path := urlsplit(line.text).path.lstrip("/"):
            self.values["sendTo"] = line.text.removesuffix(path)
            raise ValueError(f"/{path} is left out; directory alone says where files go")

    def _subtopic(self, line: Line) -> None:
        self.values.setdefault("subtopic", []).append(line.text.replace("/", "."))
        # sr3 binds a topic with the exchange and topicPrefix of the lines before it.
        self._bindings.add((self._exchange(), self.values.get("topicPrefix", "")))
        if len(self._bindings) > 1:
            raise ValueError("all topics are bound with the last exchange and topicPrefix here")

    def _instances(self, line: Line) -> None:
        if not line.value.isdecimal() or not 1 <= int(line.value) <= _MAX_CONNECTIONS:
            raise Harmless("one process has between 1 and 64 connections; left at the default")
        self.values["connections"] = int(line.value)
        raise Harmless(f"one process with connections = {line.value} does their work")


def _value(option: Option, text: str) -> Any:
    """Return sr3's value as it is written in our files; ValueError if there is no equivalent."""
    match option.kind:
        case "count":
            return units.parse_size(text)
        case "mode":
            if (mode := int(text, 8)) == 0:
                raise ValueError("0 leaves the mode to the SFTP host")
            return f"{mode:03o}"
        case "duration" if units.parse_duration(text) == 0:
            raise ValueError("0 stands for without end")
        case _:
            return text

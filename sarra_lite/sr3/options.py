"""Converts the options that posts and senders of sr3 have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final
from urllib.parse import urlsplit

from sarra_lite import units
from sarra_lite.config import credentials
from sarra_lite.config.commands import COMMANDS
from sarra_lite.config.rules import VARIABLE
from sarra_lite.config.schema import options
from sarra_lite.config.shared import AMQP
from sarra_lite.sr3.reader import Reader
from sarra_lite.sr3.rules import RuleConverter, parse_flag
from sarra_lite.sr3.unsupported import EXPLANATIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from sarra_lite.config.schema import Option
    from sarra_lite.sr3.reader import Line

_LEVELS: Final = {"critical": "error", "warn": "warning", "notset": "debug", "none": "error"}
# Values that differ from our defaults, so that exchanges, queues and topics are those of sr3.
_SR3_NAMES: Final = {
    "exchangePrefix": "xs_",
    "userPrefix": "",
    "topicPrefix": "v03",
    "queueType": "classic",
}


class ConfigConverter:
    """Takes the lines of one configuration of sr3 and collects the values of ours.

    ``convert.convert`` calls ``read`` for each file, then ``finish``.  The result is in
    ``component`` and ``values`` (by our keys), ``remarks`` (comments to write above them) and
    ``notes`` (on lines that are left out).  Subclasses add to ``handlers`` the options that only
    posts or only senders have.
    """

    component: ClassVar[str]

    def __init__(self, sr3_component: str, file: Path) -> None:
        """``sr3_component`` is post, cpost, watch or sender; ``file`` gives the name."""
        self.sr3_component = sr3_component
        self.name = file.stem
        self.values: dict[str, Any] = {}
        self.remarks = [f"From {file.name} of sr3's {sr3_component}."]
        self._reader = Reader(sr3_component, self.name)
        self.notes = self._reader.notes
        self.note = self._reader.note
        self.rules = RuleConverter(self.note)
        self.options = {option.key: option for option in options(COMMANDS[self.component])}
        self._suffix = ""
        self.handlers: dict[str, Callable[[Line], None]] = {
            "broker": lambda line: self.url("broker", AMQP, line),
            "exchangeSuffix": self._exchange_suffix,
            "topicPrefix": self._topic_prefix,
            "logLevel": self._log_level,
            "debug": self._debug,
            "accept": self.rules.take,
            "reject": self.rules.take,
        }

    @property
    def user(self) -> str:
        """Name of the broker user; empty before the line that names the broker."""
        return urlsplit(self.values.get("broker", "")).username or ""

    @property
    def exchange(self) -> str:
        """Exchange as sr3 derives it from the lines so far."""
        return f"{self.values.get('exchange', f'xs_{self.user}')}{self._suffix}"

    def read(self, file: Path) -> None:
        """Convert the lines of a file."""
        for line in self._reader.read(file):
            self.take(line, line.option)

    def finish(self) -> None:
        """Complete the values, in the order in which the reference lists them."""
        values = _SR3_NAMES | self.values | self.rules.values()
        if self._suffix:
            values["exchange"] = self.exchange
        self.values = {key: values[key] for key in self.options if key in values}

    def take(self, line: Line, key: str) -> None:
        """Convert a line; ``key`` is our name of its option."""
        if key in self.handlers:
            self.handlers[key](line)
        elif key in self.options:
            self.convert(key, line)
        else:
            self.note(line, EXPLANATIONS.get(line.option, "has no equivalent here"))

    def text(self, line: Line) -> str | None:
        """Return the value of a line; None, with a note, if missing or with unknown variables."""
        if unknown := VARIABLE.search(line.value):
            self.note(line, f"{unknown[0]} is not known here; write what it stands for")
            return None
        if not line.value:
            self.note(line, "has no value")
        return line.value or None

    def url(self, key: str, schemes: Sequence[str], line: Line) -> None:
        """Set ``key`` to the URL of a line, if it has one of the schemes."""
        if (url := self.text(line)) is None:
            return
        if problem := credentials.problem(url, schemes):
            self.note(line, problem)
        else:
            self.values[key] = url

    def convert(self, key: str, line: Line) -> None:
        """Set ``key``, one of our options, to the value of a line."""
        option = self.options[key]
        if option.kind == "flag":
            self.values[key] = parse_flag(line.words)
            return
        if (text := self.text(line)) is None:
            return
        try:
            value = _value(option, text)
            option.convert(value)
        except ValueError as error:
            self.note(line, f"{error}; left at the default")
        else:
            self.values[key] = value

    def _exchange_suffix(self, line: Line) -> None:
        suffix = self.text(line)
        self._suffix = "" if suffix is None else f"_{suffix}"

    def _topic_prefix(self, line: Line) -> None:
        prefix = (self.text(line) or "v03").replace("/", ".")
        if prefix.startswith("v02"):
            self.note(line, "v02 is not spoken here; post with post_format v03")
            prefix = "v03"
        self.values["topicPrefix"] = prefix

    def _log_level(self, line: Line) -> None:
        level = line.value.lower()
        level = _LEVELS.get(level, level)
        if level in (self.options["logLevel"].choices or ()):
            self.values["logLevel"] = level
        else:
            self.note(line, f"{line.value} is no level here; left at the default")

    def _debug(self, line: Line) -> None:
        if parse_flag(line.words):
            self.values["logLevel"] = "debug"


def _value(option: Option, text: str) -> Any:
    """Return sr3's value as it is written in our files; ValueError if there is no equivalent."""
    match option.kind:
        case "count":
            return units.parse_size(text)
        case "mode":
            mode = int(text, 8)
            if mode == 0:
                raise ValueError("0 leaves the mode to the SFTP host")
            return f"{mode:03o}"
        case "duration" if units.parse_duration(text) == 0:
            raise ValueError("0 stands for without end")
        case _:
            return text

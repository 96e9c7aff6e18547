"""What lines of sr3 amount to in options of ours, as far as posts and senders have it in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final
from urllib.parse import urlsplit

from sarra_lite import units
from sarra_lite.config import credentials
from sarra_lite.config.commands import COMMANDS
from sarra_lite.config.schema import options
from sarra_lite.config.shared import AMQP
from sarra_lite.sr3.reader import VARIABLE, Reader
from sarra_lite.sr3.rules import PLACING, Places, truth
from sarra_lite.sr3.unsupported import GAPS, UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from sarra_lite.config.schema import Option
    from sarra_lite.sr3.reader import Line

_LEVELS: Final = {"critical": "error", "warn": "warning", "notset": "debug", "none": "error"}
# What keeps a configuration working with what sr3 declared and still posts.
_BESIDE_SR3: Final = {
    "exchangePrefix": "xs_",
    "userPrefix": "",
    "topicPrefix": "v03",
    "queueType": "classic",
}


class Conversion:
    """Takes line after line; what has no equivalent is noted in its ``reader``."""

    component: ClassVar[str]

    def __init__(self, told: str, name: str) -> None:
        """Begin a configuration called ``name`` of a component that sr3 calls ``told``."""
        self.told = told
        self.name = name
        self.values: dict[str, Any] = {}
        self.reader = Reader(told, name)
        self.note = self.reader.note
        self.places = Places(self.note)
        self.options = {option.key: option for option in options(COMMANDS[self.component])}
        self._suffix = ""
        self.handlers: dict[str, Callable[[Line], None]] = {
            "broker": lambda line: self.url("broker", AMQP, line),
            "documentRoot": lambda line: self._plain(self.options["baseDir"], line),
            "exchangeSuffix": self._set_suffix,
            "topicPrefix": self._topic_prefix,
            "logLevel": self._log_level,
            "debug": self._log_level,
            "accept": self.places.take,
            "reject": self.places.take,
        }

    @property
    def user(self) -> str:
        """Name of the broker user; empty as long as it is not known."""
        return urlsplit(self.values.get("broker", "")).username or ""

    @property
    def exchange(self) -> str:
        """Exchange, as sr3 calls it where no line does."""
        suffix = f"_{self._suffix}" if self._suffix else ""
        return f"{self.values.get('exchange', f'xs_{self.user}')}{suffix}"

    def read(self, file: Path) -> None:
        """Take the lines of a file."""
        for line in self.reader.read(file):
            self.take(line, line.option)

    def finish(self) -> dict[str, Any]:
        """Return values by our keys, in the order in which we list them."""
        values = _BESIDE_SR3 | self.values
        if self._suffix:
            values["exchange"] = self.exchange
        return {key: values[key] for key in self.options if key in values}

    def take(self, line: Line, key: str) -> None:
        """Take a line whose option would be called ``key`` here."""
        if key in self.handlers:
            self.handlers[key](line)
        elif key in PLACING:
            self.note(line, "only senders say where files go")
        elif key in self.options:
            self._plain(self.options[key], line)
        else:
            self.note(line, GAPS.get(line.option, UNKNOWN))

    def known(self, line: Line) -> str | None:
        """Value of a line; None, and a note, where it is missing or has unknown variables."""
        if unknown := VARIABLE.search(line.value):
            self.note(line, f"{unknown[0]} is not known here; write what it stands for")
            return None
        if not line.words:
            self.note(line, "has no value")
        return line.value or None

    def url(self, key: str, schemes: Sequence[str], line: Line) -> None:
        """Take a URL to connect to."""
        url = self.known(line)
        if url is None:
            return
        if (text := credentials.problem(url, schemes)) is not None:
            self.note(line, text)
        else:
            self.values[key] = url

    def _plain(self, option: Option, line: Line) -> None:
        """Take an option that we have, too."""
        if option.kind == "flag":
            self.values[option.key] = truth(line.words)
            return
        text = self.known(line)
        if text is None:
            return
        try:
            value = _value(option, text)
            option.convert(value)
        except ValueError as error:
            self.note(line, f"{error}; left at the default")
        else:
            self.values[option.key] = value

    def _set_suffix(self, line: Line) -> None:
        self._suffix = self.known(line) or ""

    def _topic_prefix(self, line: Line) -> None:
        prefix = (self.known(line) or "v03").replace("/", ".")
        if prefix.startswith("v02"):
            self.note(line, "v02 is not spoken here; post with post_format v03")
            prefix = "v03"
        self.values["topicPrefix"] = prefix

    def _log_level(self, line: Line) -> None:
        if line.option == "logLevel":
            level = line.value.lower()
            level = _LEVELS.get(level, level)
            if level in (self.options["logLevel"].choices or ()):
                self.values["logLevel"] = level
            else:
                self.note(line, f"{line.value} is no level here; left at the default")
        elif truth(line.words):
            self.values["logLevel"] = "debug"


def _value(option: Option, text: str) -> Any:
    """Value of a file of ours from sr3's; ValueError when we have none like it."""
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

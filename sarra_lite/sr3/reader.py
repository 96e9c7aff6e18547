"""Reads sr3's configuration language (sr3_options(7)) line by line, as sr3 reads it.

Later lines override earlier ones, their order matters, a comment is a line that begins with #.
Variables are replaced: those of ``declare``, PROGRAM, COMPONENT, CONFIG, the broker users,
HOSTNAME, HOME and all others of the environment in which the command runs.
"""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from sarra_lite.config.rules import VARIABLE
from sarra_lite.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

# Up to the last @, because a password that is not percent-encoded may contain one.
_PASSWORD: Final = re.compile(r"(?<=://)([^:/@\s]*):\S*@")

# Present names of the options that are converted, each with its old and short names; limit is ours.
_SYNONYMS: Final = {
    old: new
    for new, names in {
        "acceptUnmatched": "accept_unmatch accept_unmatched",
        "baseDir": "bd basedir base_dir documentRoot document_root",
        "blockSize": "blocksize",
        "broker": "b",
        "exchange": "ex",
        "exchangeSuffix": "exchange_suffix",
        "fileEvents": "events e",
        "header": "h",
        "identity": "sum integrity",
        "include": "config c",
        "instances": "instance",
        "limit": "byteRateMax",
        "logLevel": "ll loglevel",
        "path": "p",
        "permCopy": "pm preserve_mode",
        "permDefault": "chmod default_mode",
        "permDirDefault": "chmod_dir default_dir_mode",
        "post_baseDir": "pbd post_base_dir post_basedir post_document_root post_documentRoot",
        "post_baseUrl": "pbu post_base_url post_baseurl",
        "post_broker": "pb",
        "post_exchange": "px",
        "post_exchangeSuffix": "post_exchange_suffix",
        "post_topicPrefix": "post_topic_prefix",
        "queueName": "qn queue queue_name",
        "sendTo": "destination remoteUrl",
        "subtopic": "sub",
        "timeCopy": "preserve_time pt",
        "topicPrefix": "topic_prefix",
    }.items()
    for old in names.split()
}


def known(text: str) -> str:
    """Return a text in which all variables are replaced; ValueError if one is not known."""
    if unknown := VARIABLE.search(text):
        raise ValueError(f"{unknown[0]} is not known here; write what it stands for")
    return text


class Line(NamedTuple):
    """One line: ``written`` is its option as in the file, ``option`` its present name.

    ``value`` is everything after it, with single blanks.
    """

    file: Path
    number: int
    written: str
    option: str
    value: str

    @property
    def text(self) -> str:
        """The value; ValueError if it is missing or contains unknown variables."""
        if not self.value:
            raise ValueError("has no value")
        return known(self.value)

    @property
    def flag(self) -> bool:
        """The value of a flag, which is true when the line has none."""
        return self.value.partition(" ")[0].lower() in ("", "true", "yes", "on", "1")


class Reader:
    """Reads the files of one configuration, and collects the notes on its lines."""

    def __init__(self, component: str, name: str) -> None:
        """``component`` is sr3's, ``name`` the configuration's; both are values of variables."""
        self.notes: list[str] = []  # with the file and number of the line
        self.lossy: set[str] = set()  # those on lines without which what is sent may differ
        self._variables = {"PROGRAM": component, "COMPONENT": component, "CONFIG": name}
        self._variables |= {"HOSTNAME": socket.gethostname(), "HOME": str(Path.home())}
        self._open: list[Path] = []

    def read(self, file: Path) -> Iterator[Line]:
        """Yield the lines of a file and of the included files; ConfigError if one is unreadable."""
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{file}: {getattr(error, 'strerror', error)}") from None
        self._open.append(file.resolve())
        for number, content in enumerate(text.splitlines(), start=1):
            written, *words = content.split() or ["#"]
            if written.startswith("#"):
                continue
            value = VARIABLE.sub(self._value, " ".join(words))
            line = Line(file, number, written, _SYNONYMS.get(written, written), value)
            if line.option == "include":
                yield from self._included(line)
            elif line.option == "declare":
                self._declare(line)
            else:
                yield self._without_password(line)
        self._open.pop()

    def note(self, line: Line, text: str, *, harmless: bool = False) -> None:
        """Add a note: why a line is not converted, or what else the user must know about it.

        ``harmless``: what is sent stays the same.
        """
        self.notes.append(f"{line.file}: line {line.number}: {line.written}: {text}")
        if not harmless:
            self.lossy.add(self.notes[-1])

    def _value(self, variable: re.Match[str]) -> str:
        """Return the value of a variable, or the variable itself when it is not known."""
        name = variable[1]
        known = self._variables.get(name, self._variables.get(name.upper()))
        return os.environ.get(name, variable[0]) if known is None else known

    def _included(self, line: Line) -> Iterator[Line]:
        """Yield the lines of an included file, from this file's directory or the one above."""
        directory = line.file.parent
        files = [directory / line.value, directory.parent / line.value]
        found = next((file for file in files if file.is_file()), None)
        if found is None:
            self.note(line, f"no such file: {line.value}")
        elif found.resolve() in self._open:
            self.note(line, f"{line.value} includes itself")
        else:
            yield from self.read(found)

    def _declare(self, line: Line) -> None:
        kind, text = (*line.value.split(), "", "")[:2]
        name, equals, value = text.partition("=")
        if kind in ("env", "envvar", "var", "value") and equals:
            self._variables[name] = value
        else:
            text = "accounts and exchanges are made by whoever runs the broker"
            self.note(line, text, harmless=True)

    def _without_password(self, line: Line) -> Line:
        """Remove passwords from URLs; define the variables for the broker's user."""
        if line.option in ("accept", "reject"):
            return line  # expressions that only look like URLs
        value = _PASSWORD.sub(r"\1@", line.value)
        if value != line.value:
            text = "its password is left out; write it into credentials.conf, mode 0600"
            self.note(line, text, harmless=True)
        user = value.partition("://")[2].rpartition("@")[0]
        if user and line.option in ("broker", "post_broker"):
            self._variables[f"{line.option.upper()}_USER"] = user
            self._variables.setdefault("BROKER_USER", user)
        return line._replace(value=value)

"""Which files are expected, by when: the tables [[expect]] of the file that expectFile names."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

import msgspec

from sarra_lite.config.schema import structs
from sarra_lite.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

DAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
#: What ``every`` may be, beside the name of a day, and the days that it means.
EVERY: Final = {"day": DAYS, "weekday": DAYS[:5], "weekend": DAYS[5:]}
_MAX_EXPECTED: Final = 1000  # each has metrics, and is looked up every minute
_MAX_LEAST: Final = 1_000_000  # files
_TIME: Final = re.compile(r"(?:[01]\d|2[0-3]):[0-5]\d")


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """At least so many files of a user, or of the members of a group, by a time of day.

    ``match`` is a pattern of shells for paths, as announced, of which ``*`` also matches ``/``.
    ``name`` is that of the metrics; where it is not given, the pattern.
    """

    match: str = ""
    by: str = ""
    user: str = ""
    group: str = ""
    name: str = ""
    timezone: str = "UTC"
    every: str | list[str] = "day"
    least: int = 1

    @property
    def title(self) -> str:
        """The name, or else the pattern."""
        return self.name or self.match

    @property
    def owner(self) -> str:
        """The user or group, in words."""
        return f"user {self.user}" if self.user else f"group {self.group}"

    @property
    def weekdays(self) -> frozenset[int]:
        """Days of the week, Monday is 0."""
        wanted = [self.every] if isinstance(self.every, str) else self.every
        return frozenset(DAYS.index(day) for word in wanted for day in EVERY.get(word, (word,)))

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield key and reason for each value that cannot be used."""
        if bool(self.user) == bool(self.group):
            yield "user", "either user or group must be set"
        if not self.match:
            yield "match", "is missing: a pattern like obs/*.nc"
        if not _TIME.fullmatch(self.by):
            yield "by", f"not a time of day like 06:00: {self.by!r}"
        try:
            ZoneInfo(self.timezone)
        except (ValueError, OSError, KeyError):  # a name that is none, a directory, not there
            yield "timezone", f"not a time zone like America/Toronto: {self.timezone!r}"
        wanted = [self.every] if isinstance(self.every, str) else self.every
        for word in wanted:
            if word not in (*EVERY, *DAYS):
                yield "every", f"not one of {', '.join((*EVERY, *DAYS))}: {word!r}"
        if not wanted:
            yield "every", "is an empty list"
        if not 1 <= self.least <= _MAX_LEAST:
            yield "least", f"not from 1 to {_MAX_LEAST}: {self.least}"


def problems(file: str | None) -> Iterator[str]:
    """Yield a line for each mistake in a file, if there is one."""
    if file is not None:
        try:
            read(Path(file))
        except ConfigError as error:
            yield from str(error).splitlines()


def read(file: Path) -> list[Expected]:
    """Return what is expected; raise ConfigError with one line for each mistake."""
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"{file}: {reason}") from None
    mistakes = [f"{key}: unknown key; there are only tables [[expect]]" for key in table]
    mistakes = [line for line in mistakes if not line.startswith("expect: ")]
    entries: list[Expected] = []
    try:
        entries = structs(table.get("expect", []), Expected, "expect")
    except ValueError as error:
        mistakes += str(error).splitlines()
    for number, entry in enumerate(entries, start=1):
        mistakes += [f"expect {number}: {key}: {text}" for key, text in entry.problems()]
    if len(entries) > _MAX_EXPECTED:
        mistakes.append(f"expect: more than {_MAX_EXPECTED} tables")
    names = Counter((entry.user, entry.group, entry.title) for entry in entries)
    mistakes += [
        f"expect: name: two of the same owner are called {title!r}"
        for (_, _, title), count in names.items()
        if count > 1
    ]
    if mistakes:
        raise ConfigError("\n".join(f"{file}: {line}" for line in mistakes))
    return entries

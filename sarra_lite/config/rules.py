"""Which announcements are taken, and where their files go.  Pure.

Rules are tried in order, the first that matches decides, as in sr3 (sr3_options(7), accept).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Final, NamedTuple, Protocol

import msgspec

from sarra_lite import units

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sarra_lite.messages.v03 import Announcement

_VARIABLE: Final = re.compile(r"\$\{([^}]*)\}")
_DATE: Final = re.compile(r"%[aAbBdGHIjmMpSuUVwWyY](?:[^%]|%[aAbBdGHIjmMpSuUVwWyY])*")
_NAMES: Final = ("source", "BROKER_USER")


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One rule: ``accept`` or ``reject`` and, for what is accepted, where it goes.

    What is None here is taken from the configuration.
    """

    accept: str | None = None
    reject: str | None = None
    directory: str | None = None
    mirror: bool | None = None
    strip: Annotated[int, msgspec.Meta(ge=0)] | None = None
    flatten: str | None = None


class HasRules(Protocol):
    """What of a configuration concerns rules."""

    @property
    def rules(self) -> Sequence[Rule]:
        """See the option."""

    @property
    def acceptUnmatched(self) -> bool:
        """See the option."""


class HasDirectory(HasRules, Protocol):
    """What of a configuration tells where files go."""

    @property
    def user(self) -> str:
        """Name of the broker user."""

    @property
    def directory(self) -> str:
        """See the option."""

    @property
    def mirror(self) -> bool:
        """See the option."""

    @property
    def strip(self) -> int:
        """See the option."""

    @property
    def flatten(self) -> str:
        """See the option."""


class Placed(NamedTuple):
    """Where a file goes: a path at the destination."""

    path: str


class Rejected(NamedTuple):
    """Why a file goes nowhere."""

    reason: str


def problems(rules: Sequence[Rule]) -> Iterator[str]:
    """Yield what is wrong with rules, each a line for people."""
    for number, rule in enumerate(rules, start=1):
        if (rule.accept is None) == (rule.reject is None):
            yield f"rule {number}: needs either accept or reject"
            continue
        if rule.flatten is not None and (text := flatten_problem(rule.flatten)):
            yield f"rule {number}: flatten: {text}"
        try:
            re.compile(rule.accept or rule.reject or "")
        except re.error as error:
            yield f"rule {number}: not a regular expression: {error}"
        if rule.directory is not None:
            yield from (f"rule {number}: {text}" for text in template_problems(rule.directory))


def template_problems(directory: str) -> Iterator[str]:
    """Yield what is wrong with a directory template."""
    if ".." in directory.split("/"):
        yield "directory: .. is not allowed"
    for name in _VARIABLE.findall(directory):
        if not (_is_group(name) or _DATE.fullmatch(name) or name in _NAMES):
            yield f"directory: unknown variable ${{{name}}}"


def flatten_problem(flatten: str) -> str | None:
    """Say what is wrong with what is written instead of /; None when nothing is."""
    if not flatten:
        return "is empty"
    return "contains /" if "/" in flatten and flatten != "/" else None


def _is_group(name: str) -> bool:
    return name.isascii() and name.isdecimal()


def accepts(config: HasRules, announcement: Announcement) -> bool:
    """Whether the rules of a configuration accept an announcement."""
    return not isinstance(_deciding(config, announcement), Rejected)


def place(config: HasDirectory, announcement: Announcement, rel_path: str) -> Placed | Rejected:
    """Return where ``rel_path`` goes under the rules of a sender."""
    found = _deciding(config, announcement)
    if isinstance(found, Rejected):
        return found
    rule, match = found
    directory = config.directory if rule.directory is None else rule.directory
    parents, _, name = rel_path.rpartition("/")
    kept = parents.split("/") if parents else []
    kept = kept[config.strip if rule.strip is None else rule.strip :]
    flatten = config.flatten if rule.flatten is None else rule.flatten
    if flatten != "/":
        name, kept = flatten.join([*kept, name]), []
    elif not (config.mirror if rule.mirror is None else rule.mirror):
        kept = []
    base = _filled(directory, announcement, match, config.user)
    # No "..", nor a leading slash: what variables bring comes from an announcement.
    fixed = [part for part in base.split("/") if part not in ("", ".", "..")]
    path = "/".join([*fixed, *kept, name])
    return Placed("/" + path if directory.startswith("/") else path)


def _deciding(
    config: HasRules, announcement: Announcement
) -> tuple[Rule, re.Match[str] | None] | Rejected:
    """Return the rule that accepts, and how it matched."""
    url = f"{announcement.base_url.rstrip('/')}/{announcement.rel_path}"
    for number, rule in enumerate(config.rules, start=1):
        match = _compiled(rule.accept or rule.reject or "").match(url)
        if match is not None:
            return (rule, match) if rule.reject is None else Rejected(f"rejected by rule {number}")
    return (Rule(), None) if config.acceptUnmatched else Rejected("no rule accepts it")


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.DOTALL)  # a name may contain a newline


def _filled(
    template: str, announcement: Announcement, match: re.Match[str] | None, user: str
) -> str:
    """Directory with its variables replaced."""

    def value(variable: re.Match[str]) -> str:
        name = variable[1]
        if name.startswith("%"):
            moment = datetime.fromtimestamp(units.nanoseconds(announcement.pub_time) / 1e9, UTC)
            return moment.strftime(name)
        if _is_group(name):
            groups = match.groups("") if match else ()
            number = int(name)
            return groups[number] if number < len(groups) else ""
        return user if name == "BROKER_USER" else announcement.source or ""

    return _VARIABLE.sub(value, template)

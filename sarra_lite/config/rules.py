"""Accept and reject rules of a configuration, their check, and the variables of directories."""

from __future__ import annotations

import itertools
import math
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from sarra_lite import units

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sarra_lite.messages.v03 import Announcement

VARIABLE: Final = re.compile(r"\$\{([^}]*)\}")
_GROUP: Final = re.compile(r"\$\{[0-9]+\}")
# Number of a group of the regular expression, date of the announcement, or name.
_KNOWN: Final = re.compile(
    r"[0-9]+|%[aAbBdGHIjmMpSuUVwWyY](?:[^%]|%[aAbBdGHIjmMpSuUVwWyY])*|source|BROKER_USER"
)


class Rule(msgspec.Struct, frozen=True, omit_defaults=True):
    """One rule: a regular expression to ``accept`` or ``reject``, and options for accepted files.

    The configuration's own options apply where those of the rule are None.
    """

    accept: str | None = None
    reject: str | None = None
    directory: str | None = None
    mirror: bool | None = None
    strip: Annotated[int, msgspec.Meta(ge=0)] | None = None
    flatten: str | None = None


def problems(rules: Sequence[Rule]) -> Iterator[str]:
    """Yield a message for each error in the rules, with the number of the rule, from 1."""
    for number, rule in enumerate(rules, start=1):
        if (rule.accept is None) == (rule.reject is None):
            yield f"rule {number}: needs either accept or reject"
            continue
        try:
            re.compile(rule.accept or rule.reject or "")
        except re.error as error:
            yield f"rule {number}: not a regular expression: {error}"
        flatten = "/" if rule.flatten is None else rule.flatten
        for key, text in path_problems(rule.directory or "", flatten, [rule]):
            yield f"rule {number}: {key}: {text}"


def path_problems(
    directory: str, flatten: str = "/", rules: Sequence[Rule] | None = None
) -> Iterator[tuple[str, str]]:
    """Yield key and reason for each error in the options that make the path of a file.

    ``rules``: those whose groups the variables of ``directory`` name; None: any.
    """
    if ".." in directory.split("/"):
        yield "directory", ".. is not allowed"
    if directory.startswith("~"):
        yield "directory", "only shells expand ~; a relative directory is below the login directory"
    groups = math.inf if rules is None else max(map(_count_groups, rules), default=0)
    for name in VARIABLE.findall(directory):
        if not _KNOWN.fullmatch(name):
            yield "directory", f"unknown variable ${{{name}}}"
        elif name.isdecimal() and int(name) >= groups:
            yield "directory", f"${{{name}}}: no rule has so many groups; the first is ${{0}}"
    if not flatten:
        yield "flatten", "is empty"
    elif "/" in flatten and flatten != "/":
        yield "flatten", "contains /"


def _count_groups(rule: Rule) -> int:
    try:
        return re.compile(rule.accept or "").groups
    except re.error:  # reported by problems()
        return 0


def substituted(
    template: str, announcement: Announcement, match: re.Match[str] | None, user: str
) -> str:
    """Return a directory with the values of its variables; ``user`` is that of the sender."""

    def value(variable: re.Match[str]) -> str:
        name = variable[1]
        if name.startswith("%"):
            moment = datetime.fromtimestamp(units.nanoseconds(announcement.pub_time) // 10**9, UTC)
            return moment.strftime(name)
        if name.isdecimal():
            groups = match.groups("") if match else ()
            return groups[int(name)] if int(name) < len(groups) else ""
        return user if name == "BROKER_USER" else announcement.source or ""

    # Variables come from an announcement: they must not add ".." or make the path absolute.
    directory = VARIABLE.sub(value, template)
    path = "/".join(part for part in directory.split("/") if part not in ("", ".", ".."))
    return f"/{path}" if template.startswith("/") else path


def trusted(template: str) -> str:
    """Return a directory up to its first part with a group of a rule, which can be any text."""
    parts = itertools.takewhile(lambda part: not _GROUP.search(part), template.split("/"))
    return "/".join(parts) or "/" * template.startswith("/")


def constant(template: str, values: Mapping[str, str]) -> str:
    """Return a directory up to its first part with a variable that has no value in ``values``."""
    for name, value in values.items():
        template = template.replace(f"${{{name}}}", value)
    parts = itertools.takewhile(lambda part: not VARIABLE.search(part), template.split("/"))
    return "/".join(parts) or "/" * template.startswith("/")

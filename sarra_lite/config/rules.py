"""Accept and reject rules of a configuration, and their check; ``config.matching`` applies them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

VARIABLE: Final = re.compile(r"\$\{([^}]*)\}")
_DATE: Final = re.compile(r"%[aAbBdGHIjmMpSuUVwWyY](?:[^%]|%[aAbBdGHIjmMpSuUVwWyY])*")
_NAMES: Final = ("source", "BROKER_USER")


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
        yield from (f"rule {number}: {text}" for text in _rule_problems(rule))


def _rule_problems(rule: Rule) -> Iterator[str]:
    if (rule.accept is None) == (rule.reject is None):
        yield "needs either accept or reject"
        return
    try:
        re.compile(rule.accept or rule.reject or "")
    except re.error as error:
        yield f"not a regular expression: {error}"
    flatten = "/" if rule.flatten is None else rule.flatten
    for key, text in path_problems(rule.directory or "", flatten):
        yield f"{key}: {text}"


def path_problems(directory: str, flatten: str = "/") -> Iterator[tuple[str, str]]:
    """Yield key and reason for each error in the options that make the path of a file."""
    if ".." in directory.split("/"):
        yield "directory", ".. is not allowed"
    for name in VARIABLE.findall(directory):
        if not (is_group(name) or _DATE.fullmatch(name) or name in _NAMES):
            yield "directory", f"unknown variable ${{{name}}}"
    if not flatten:
        yield "flatten", "is empty"
    elif "/" in flatten and flatten != "/":
        yield "flatten", "contains /"


def is_group(name: str) -> bool:
    """Return whether a variable is the number of a group of the rule's regular expression."""
    return name.isascii() and name.isdecimal()

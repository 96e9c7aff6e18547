"""Accept and reject rules as a configuration has them, and what can be wrong with them.  Pure.

``config.matching`` applies them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

VARIABLE: Final = re.compile(r"\$\{([^}]*)\}")
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
    for name in VARIABLE.findall(directory):
        if not (is_group(name) or _DATE.fullmatch(name) or name in _NAMES):
            yield f"directory: unknown variable ${{{name}}}"


def flatten_problem(flatten: str) -> str | None:
    """Say what is wrong with what is written instead of /; None when nothing is."""
    if not flatten:
        return "is empty"
    return "contains /" if "/" in flatten and flatten != "/" else None


def is_group(name: str) -> bool:
    """Whether a variable of a template is the number of a group of the rule."""
    return name.isascii() and name.isdecimal()

"""Applies the rules of a configuration to announcements.

Rules are tried in order; the first that matches decides, as in sr3 (sr3_options(7), accept).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from sarra_lite import units
from sarra_lite.config import rules
from sarra_lite.config.rules import Rule

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sarra_lite.config.sender import SenderConfig
    from sarra_lite.config.shared import ExchangeConfig
    from sarra_lite.messages.v03 import Announcement


class Rejected(NamedTuple):
    """The reason why the rules reject a file."""

    reason: str


def accepts(config: ExchangeConfig, announcement: Announcement) -> bool:
    """Return whether the rules accept an announcement."""
    return not isinstance(_apply(config, announcement), Rejected)


def accepted(
    config: ExchangeConfig, announcements: Iterable[Announcement]
) -> Iterator[Announcement]:
    """Yield the announcements of one path, none of them if the rules reject the path."""
    iterator = iter(announcements)
    first = next(iterator, None)
    if first is not None and accepts(config, first):
        yield first
        yield from iterator


def destination_path(
    config: SenderConfig, announcement: Announcement, rel_path: str
) -> str | Rejected:
    """Return the path at the destination for ``rel_path``, by the rules of a sender."""
    outcome = _apply(config, announcement)
    if isinstance(outcome, Rejected):
        return outcome
    rule, match = outcome
    template = config.directory if rule.directory is None else rule.directory
    source_directory, _, name = rel_path.rpartition("/")
    parents = source_directory.split("/") if source_directory else []
    parents = parents[config.strip if rule.strip is None else rule.strip :]
    flatten = config.flatten if rule.flatten is None else rule.flatten
    if flatten != "/":
        name, parents = flatten.join([*parents, name]), []
    elif not (config.mirror if rule.mirror is None else rule.mirror):
        parents = []
    directory = _substituted(template, announcement, match, config.user)
    # Variables come from an announcement: they must not add ".." or make the path absolute.
    parts = [part for part in directory.split("/") if part not in ("", ".", "..")]
    path = "/".join([*parts, *parents, name])
    return "/" + path if template.startswith("/") else path


def _apply(
    config: ExchangeConfig, announcement: Announcement
) -> tuple[Rule, re.Match[str] | None] | Rejected:
    """Return the rule that accepts an announcement and its match, or the reason of rejection."""
    url = f"{announcement.base_url.rstrip('/')}/{announcement.rel_path}"
    for number, rule in enumerate(config.rules, start=1):
        # DOTALL because a name may contain a newline.
        match = re.match(rule.accept or rule.reject or "", url, re.DOTALL)
        if match is not None:
            return (rule, match) if rule.reject is None else Rejected(f"rejected by rule {number}")
    return (Rule(), None) if config.acceptUnmatched else Rejected("no rule accepts it")


def _substituted(
    template: str, announcement: Announcement, match: re.Match[str] | None, user: str
) -> str:
    """Return a directory with the values of its variables."""

    def value(variable: re.Match[str]) -> str:
        name = variable[1]
        if name.startswith("%"):
            moment = datetime.fromtimestamp(units.nanoseconds(announcement.pub_time) / 1e9, UTC)
            return moment.strftime(name)
        if rules.is_group(name):
            groups = match.groups("") if match else ()
            return groups[int(name)] if int(name) < len(groups) else ""
        return user if name == "BROKER_USER" else announcement.source or ""

    return rules.VARIABLE.sub(value, template)

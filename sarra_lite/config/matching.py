"""Which announcements a configuration accepts, and where their files go.  Pure.

Rules are tried in order, the first that matches decides, as in sr3 (sr3_options(7), accept).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from sarra_lite import units
from sarra_lite.config import rules
from sarra_lite.config.rules import Rule

if TYPE_CHECKING:
    from sarra_lite.config.commands import SenderConfig
    from sarra_lite.config.shared import ExchangeConfig
    from sarra_lite.messages.v03 import Announcement


class Rejected(NamedTuple):
    """Why a file goes nowhere."""

    reason: str


def accepts(config: ExchangeConfig, announcement: Announcement) -> bool:
    """Whether the rules of a configuration accept an announcement."""
    return not isinstance(_deciding(config, announcement), Rejected)


def destination_path(
    config: SenderConfig, announcement: Announcement, rel_path: str
) -> str | Rejected:
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
    return "/" + path if directory.startswith("/") else path


def _deciding(
    config: ExchangeConfig, announcement: Announcement
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
        if rules.is_group(name):
            groups = match.groups("") if match else ()
            number = int(name)
            return groups[number] if number < len(groups) else ""
        return user if name == "BROKER_USER" else announcement.source or ""

    return rules.VARIABLE.sub(value, template)

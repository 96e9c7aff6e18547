"""What audit tools find at the scope, and what of it is accepted: table of ``make security``."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable, Iterator
    from typing import Any

DIRECTORY = Path(__file__).parents[2] / "docs/security"


@dataclass(frozen=True)
class Waiver:
    """An accepted finding of a tool, until a date."""

    tool: str
    finding: str
    """Regular expression of the whole finding."""
    reason: str
    until: dt.date

    def covers(self, tool: str, finding: str, today: dt.date) -> bool:
        """Return whether the finding is accepted today."""
        return (
            self.tool == tool and today <= self.until and bool(re.fullmatch(self.finding, finding))
        )


def waivers(path: Path = DIRECTORY / "waivers.toml") -> list[Waiver]:
    """Read the accepted findings."""
    return [Waiver(**entry) for entry in tomllib.loads(path.read_text()).get("waiver", [])]


@dataclass
class Findings:
    """Collects what tools find, with the waiver of each."""

    accepted: list[Waiver]
    today: dt.date
    rows: list[tuple[str, str, str]] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)

    def add(self, tool: str, found: Iterable[str], version: str = "") -> list[str]:
        """Record the findings of a tool, also that it has none; return those without a waiver."""
        open_ = []
        if version:
            self.versions[tool] = version
        findings = sorted(set(found))
        for finding in findings:
            covering = [w for w in self.accepted if w.covers(tool, finding, self.today)]
            said = f"{covering[0].reason} (until {covering[0].until})" if covering else "**none**"
            self.rows.append((tool, finding, said))
            if not covering:
                open_.append(finding)
        if not findings:
            self.rows.append((tool, "nothing", ""))
        return open_

    def table(self) -> str:
        """Return the findings as a table in Markdown."""
        rows = [("tool", "finding", "waiver"), ("---", "---", "---"), *self.rows]
        return markdown(rows)

    def report(self, command: str, counts: dict[str, int]) -> str:
        """Return a page: date, command, versions of tools, numbers of tests, and the table.

        ``counts``: number of tests by outcome.
        """
        versions = [("tool", "version"), ("---", "---"), *sorted(self.versions.items())]
        tests = ", ".join(f"{number} {outcome}" for outcome, number in counts.items())
        return (
            f"# Last result of {command}\n\n{self.today}; tests: {tests}. Accepted findings are"
            f" in [waivers.toml](waivers.toml).\n\n{self.table()}\n{markdown(versions)}"
        )


def markdown(rows: Iterable[tuple[str, ...]]) -> str:
    """Return rows of cells as a table."""
    return "".join(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |\n" for row in rows)


def mismatches(errors: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Yield a line for each difference that ssh-audit finds between a server and a policy."""
    for error in errors:
        kind, actual = error["mismatched_field"], error["actual"]
        wanted = error["expected_required"]
        allowed = {*wanted, *error["expected_optional"]}
        found = [f"{name} is not in the policy" for name in actual if name not in allowed]
        found += [f"lacks {name}" for name in wanted if name not in actual]
        if [name for name in actual if name in wanted] != [n for n in wanted if n in actual]:
            found.append(f"the order is {', '.join(actual)}")
        yield from (f"{kind}: {line}" for line in found)

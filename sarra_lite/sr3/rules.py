"""sr3's accept and reject lines, and the lines that say where the files accepted after them go."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, Final

from sarra_lite.config import rules
from sarra_lite.sr3.reader import VARIABLE
from sarra_lite.sr3.unsupported import GAPS

if TYPE_CHECKING:
    from collections.abc import Callable

    from sarra_lite.sr3.reader import Line

PLACING: Final = ("directory", "mirror", "strip", "flatten")
SELECTING: Final = ("accept", "reject")
_DEFAULTS: Final = {"mirror": True, "strip": 0, "flatten": "/"}
_VARIABLES: Final = {
    "YYYYMMDD": "%Y%m%d",
    "YYYY": "%Y",
    "MM": "%m",
    "DD": "%d",
    "HH": "%H",
    "SS": "%S",
    "JJJ": "%j",
    "SOURCE": "source",
}


def truth(words: list[str]) -> bool:
    """Whether a flag of sr3 is on; without a value it is."""
    return not words or words[0].lower() in ("true", "yes", "on", "1")


class Places:
    """Collects rules as they are met."""

    def __init__(self, note: Callable[[Line, str], None]) -> None:
        """Begin; ``note`` is told what has no equivalent.

        ``from_zero``: whether the first group of a regular expression is ``${0}`` already.
        """
        self.from_zero = False
        self._note = note
        self._now: dict[str, Any] = {"directory": None, **_DEFAULTS}
        self._rules: list[dict[str, Any]] = []
        self._whole: list[Line] = []

    def take(self, line: Line) -> None:
        """Take one more line, of PLACING or SELECTING."""
        match line.option:
            case "accept" | "reject":
                self._rule(line)
            case "mirror":
                self._now["mirror"] = truth(line.words)
            case "strip":
                count = line.value.isdecimal()
                self._now["strip"] = int(line.value) if count else 0
                if not count:
                    self._note(line, "only a number of directories can be left out, no expression")
            case "flatten":
                self._now["flatten"] = line.value
            case _:
                self._now["directory"] = self._directory(line)

    def values(self, directory: str) -> dict[str, Any]:
        """Return rules and options of ours; ``directory`` is for what has none."""
        final = self._placed(self._now, directory)
        made = []
        for rule in self._rules:
            placed = self._placed(rule, directory) if "accept" in rule else rule
            made.append({k: v for k, v in placed.items() if k in SELECTING or v != final[k]})
        if not self.from_zero:
            for line in self._whole:
                self._note(line, "${0}: put the whole regular expression into ( ) for this")
        kept = {key: value for key, value in final.items() if value != _DEFAULTS.get(key, "")}
        return kept | ({"rules": made} if made else {})

    def _rule(self, line: Line) -> None:
        pattern, *name = line.words or [""]
        try:
            re.compile(pattern)
        except re.error as error:
            self._note(line, f"not a regular expression, so sr3 passes over it: {error}")
            return
        if unknown := VARIABLE.search(pattern):
            self._note(line, f"{unknown[0]} is not known here; write what it stands for")
            return
        if name:
            self._note(line, f"{' '.join(name)} is left out: {GAPS['filename']}")
        placed = self._now if line.option == "accept" else {}
        self._rules.append({line.option: pattern, **placed})

    def _directory(self, line: Line) -> str | None:
        def ours(variable: re.Match[str]) -> str:
            return f"${{{_VARIABLES.get(variable[1], variable[1])}}}"

        if line.value == "None":
            return None
        text = VARIABLE.sub(ours, os.path.expanduser(line.value))  # noqa: PTH111  a template
        for problem in rules.template_problems(text):
            self._note(line, f"{problem.removeprefix('directory: ')}; change it by hand")
        if "${0}" in text:
            self._whole.append(line)
        return text

    def _placed(self, rule: dict[str, Any], directory: str) -> dict[str, Any]:
        """Fill in the directory, and count groups as we do: the first is ``${0}``."""

        def ours(variable: re.Match[str]) -> str:
            return f"${{{int(variable[1]) - 1}}}" if variable[1] != "0" else variable[0]

        text = directory if rule["directory"] is None else rule["directory"]
        if not self.from_zero:
            text = re.sub(r"\$\{([0-9]+)\}", ours, text)
        return {**rule, "directory": text}

"""Converts sr3's accept and reject lines, and the lines that say where accepted files go.

In sr3, ``directory``, ``mirror``, ``strip`` and ``flatten`` apply to the accept lines after them.
Here, each rule has these as fields, and the configuration has them for files that match no rule.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, Final

from sarra_lite.config.rules import VARIABLE, path_problems
from sarra_lite.sr3.reader import known
from sarra_lite.sr3.unsupported import EXPLANATIONS, Harmless

if TYPE_CHECKING:
    from collections.abc import Callable

    from sarra_lite.sr3.reader import Line

_FIRST_IS_ZERO: Final = "sundew_compat_regex_first_match_is_zero"
# Those of senders that RuleConverter takes; files go to post_baseDir if no line names a directory.
PATH_OPTIONS: Final = ("directory", "mirror", "strip", "flatten", "post_baseDir", _FIRST_IS_ZERO)
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


class RuleConverter:
    """Takes the lines in order, then returns the rules and path options."""

    def __init__(self, note: Callable[[Line, str], None]) -> None:
        """Call ``note`` with each line that cannot be converted and the reason."""
        self._note = note
        self._default_directory = "/"  # of accepted files while no directory line was read
        self._first_group_is_zero = False
        self._current: dict[str, Any] = {"directory": None, **_DEFAULTS}
        self._rules: list[dict[str, Any]] = []
        self._whole_match: list[Line] = []  # whose directory uses ${0}

    def take(self, line: Line) -> None:
        """Take an accept or reject line, or one of PATH_OPTIONS.

        Raises ValueError with the reason when a line, or a part of it, is left out.
        """
        match line.option:
            case "accept" | "reject":
                self._add_rule(line)
            case "mirror":
                self._current["mirror"] = line.flag
            case "strip" if line.value.isdecimal():
                self._current["strip"] = int(line.value)
            case "strip":
                self._current["strip"] = 0
                raise ValueError("only a number of directories can be left out, no expression")
            case "flatten":
                self._current["flatten"] = line.value
            case "directory":
                self._current["directory"] = self._directory(line)
            case "post_baseDir":
                self._default_directory = "/" if line.value == "None" else line.text
            case _:  # _FIRST_IS_ZERO
                self._first_group_is_zero = line.flag

    def values(self) -> dict[str, Any]:
        """Return ``rules`` and path options as a configuration has them, without defaults."""
        final = self._with_directory(self._current)
        rules = [
            {k: v for k, v in self._with_directory(rule).items() if v != final.get(k)}
            for rule in self._rules
        ]
        if not self._first_group_is_zero:
            for line in self._whole_match:
                self._note(line, "${0}: put the whole regular expression into ( ) for this")
        values = {key: value for key, value in final.items() if value != _DEFAULTS.get(key, "")}
        return values | ({"rules": rules} if rules else {})

    def _add_rule(self, line: Line) -> None:
        pattern, _, name = line.value.partition(" ")
        try:
            re.compile(pattern)
        except re.error as error:
            text = f"not a regular expression, so sr3 passes over it: {error}"
            raise Harmless(text) from None
        options = self._current if line.option == "accept" else {}
        self._rules.append({line.option: known(pattern), **options})
        if name:
            raise ValueError(f"{name} is left out: {EXPLANATIONS['filename']}")

    def _directory(self, line: Line) -> str | None:
        """Return the directory with its variables as we spell them; None for sr3's None."""
        if line.value == "None":
            return None
        directory = VARIABLE.sub(
            lambda variable: f"${{{_VARIABLES.get(variable[1], variable[1])}}}",
            os.path.expanduser(line.value),  # noqa: PTH111  a template
        )
        for _, problem in path_problems(directory):
            self._note(line, f"{problem}; change it by hand")
        if "${0}" in directory:
            self._whole_match.append(line)
        return directory

    def _with_directory(self, rule: dict[str, Any]) -> dict[str, Any]:
        """Fill in the directory, with the first group of the expression as ``${0}``."""
        if "reject" in rule:
            return rule
        directory = self._default_directory if rule["directory"] is None else rule["directory"]
        if not self._first_group_is_zero:
            directory = re.sub(
                r"\$\{([1-9][0-9]*)\}", lambda group: f"${{{int(group[1]) - 1}}}", directory
            )
        return {**rule, "directory": directory}

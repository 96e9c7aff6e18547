"""Finds every report code in the code, and compares with the page that explains them."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from typing import TYPE_CHECKING, Final

from sarra_lite import errors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PAGE: Final = "docs/reference/reports.md"
# Where, among its arguments, a call has the code of a report.
_CODE_ARGUMENT: Final = {"Outcome": 0, "__init__": 0, "report": 1, "retry": 1, "_rejected": 2} | {
    name: 0
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, errors.TransferError)
}


def report_problems(root: Path) -> Iterator[str]:
    """Yield how the page of report codes differs from the code."""
    in_code = report_codes(root)
    told: dict[int, set[str]] = {}
    page = (root / PAGE).read_text(encoding="utf-8") if (root / PAGE).exists() else ""
    for row in re.finditer(r"^\| (\d{3}) \|.*$", page, re.MULTILINE):
        told.setdefault(int(row[1]), set()).update(re.findall(r"`([\w/]+\.py)`", row[0]))
    for code in sorted(in_code.keys() | told.keys()):
        for module in sorted(in_code[code] - told.get(code, set())):
            yield f"{PAGE}: code {code} of {module} is missing; add it by hand"
        for module in sorted(told.get(code, set()) - in_code[code]):
            yield f"{PAGE}: {module} does not report {code} (any more); remove it by hand"


def report_codes(root: Path) -> defaultdict[int, set[str]]:
    """Return every code that is reported, and the modules that do so."""
    found: defaultdict[int, set[str]] = defaultdict(set)
    package = root / "sarra_lite"
    for path in package.rglob("*.py"):
        for code in _codes(ast.parse(path.read_bytes())):
            found[code].add(str(path.relative_to(package)))
    return found


def _codes(tree: ast.Module) -> Iterator[int]:
    """Codes of reports in a module, where they are numbers or constants of the module."""
    constants = {
        node.target.id: node.value.value
        for node in tree.body
        if isinstance(node, ast.AnnAssign)
        and isinstance(node.target, ast.Name)
        and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        value: object = None
        if isinstance(node, ast.Call):
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            place = _CODE_ARGUMENT.get(name)
            if place is not None and place < len(node.args):
                argument = node.args[place]
                value = getattr(argument, "value", constants.get(getattr(argument, "id", "")))
        elif isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "code":
            value = getattr(node.value, "value", None)
        if isinstance(value, int) and value:  # 0: nothing to report yet
            yield value

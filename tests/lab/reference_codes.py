"""Finds every report code in the code, and compares them with the page that explains them."""

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
# Position of the report code among the arguments of a call.
_CODE_ARGUMENT: Final = {"Outcome": 0, "__init__": 0, "report": 1, "retry": 1} | {
    name: 0
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, errors.TransferError)
}


def report_problems(root: Path) -> Iterator[str]:
    """Yield each difference between the page of report codes and the code."""
    in_code = report_codes(root)
    on_page: defaultdict[int, set[str]] = defaultdict(set)
    page = (root / PAGE).read_text(encoding="utf-8")
    for row in re.finditer(r"^\| (\d{3}) \|.*$", page, re.MULTILINE):
        on_page[int(row[1])].update(re.findall(r"`([\w/]+\.py)`", row[0]))
    for code in sorted(in_code.keys() | on_page.keys()):
        for module in sorted(in_code[code] - on_page[code]):
            yield f"{PAGE}: code {code} of {module} is missing; add it by hand"
        for module in sorted(on_page[code] - in_code[code]):
            yield f"{PAGE}: {module} does not report {code} (any more); remove it by hand"


def report_codes(root: Path) -> defaultdict[int, set[str]]:
    """Return the modules that report each code."""
    modules: defaultdict[int, set[str]] = defaultdict(set)
    package = root / "sarra_lite"
    for path in package.rglob("*.py"):
        for code in _codes(ast.parse(path.read_bytes())):
            modules[code].add(str(path.relative_to(package)))
    return modules


def _codes(tree: ast.Module) -> Iterator[int]:
    """Yield report codes of a module that are literals or constants of the module."""
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
            position = _CODE_ARGUMENT.get(name)
            if position is not None and position < len(node.args):
                argument = node.args[position]
                value = getattr(argument, "value", constants.get(getattr(argument, "id", "")))
        elif isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "code":
            value = getattr(node.value, "value", None)
        if isinstance(value, int) and value:  # BrokerRefused.code = 0 is not a report code
            yield value

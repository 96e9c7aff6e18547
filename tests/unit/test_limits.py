"""The page of limits says what the code does."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sarra_lite.config.commands import COMMANDS

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference" / "limits.md").read_text(encoding="utf-8")
CONSTANTS = re.findall(r"^\| .* \| ([\d.]+) [^|]*\| `(\w+)` `(\w+)` \|", PAGE, re.MULTILINE)
OPTIONS = re.findall(
    r"^\| .* \| ([\d.]+)([^|]*) \| option \[`(\w+)`\]\(options-(\w+)\.md\)", PAGE, re.MULTILINE
)
NAMED_AS_LIMIT = re.compile(
    r"^(_?(?:\w+_)?(?:MAX|MOST|TIMEOUT|PREFETCH)(?:_\w+)?): Final = ", re.MULTILINE
)


def modules(package: str) -> Iterator[tuple[str, str]]:
    """Yield the name and source of each module of a package, or of the module itself."""
    for path in sorted((ROOT / "sarra_lite").rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        if name.split(".")[1] == package:
            yield name, path.read_text(encoding="utf-8")


@pytest.mark.parametrize(("value", "package", "name"), CONSTANTS)
def test_a_limit_on_the_page_is_that_of_the_code(value: str, package: str, name: str) -> None:
    found = [importlib.import_module(module) for module, text in modules(package) if name in text]
    assert float(value) in {vars(module).get(name) for module in found}


@pytest.mark.parametrize(("value", "unit", "name", "command"), OPTIONS)
def test_a_default_on_the_page_is_that_of_the_option(
    value: str, unit: str, name: str, command: str
) -> None:
    default = COMMANDS[command].__dataclass_fields__[name].metadata["default"]
    assert default in (f"{value}{unit}", float(value))


def named_as_limits() -> Iterator[tuple[str, str]]:
    """Yield package and name of each constant that its name calls a limit."""
    for package in {path.stem for path in (ROOT / "sarra_lite").iterdir()}:
        if package != "sr3":  # what sr3's limits become in a configuration
            for _, text in modules(package):
                for name in NAMED_AS_LIMIT.findall(text):
                    yield package, name


@pytest.mark.parametrize(("package", "name"), sorted(set(named_as_limits())))
def test_a_limit_of_the_code_is_on_the_page(package: str, name: str) -> None:
    assert (package, name) in {(package, name) for _, package, name in CONSTANTS}, (
        f"add to docs/reference/limits.md: | … | … | `{package}` `{name}` | … |"
    )


def test_the_page_is_read() -> None:
    assert len(CONSTANTS) > 60
    assert len(OPTIONS) > 7

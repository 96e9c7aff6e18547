"""ARCHITECTURE.md names packages, modules, functions and files that exist."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
PACKAGES = {path.parent.name for path in (ROOT / "sarra_lite").glob("*/__init__.py")}


def resolve(dotted: str) -> object:
    """Import as much of a dotted name as is a module, and look up the rest."""
    names = ["sarra_lite", *dotted.split(".")]
    found: object = importlib.import_module(names[0])
    for position, name in enumerate(names[1:], start=2):
        if not hasattr(found, name):
            importlib.import_module(".".join(names[:position]))
        found = getattr(found, name)
    return found


def test_every_name_of_the_walk_exists() -> None:
    names = re.findall(r"`((?:[a-z0-9_]+\.)+\w+)`", TEXT)
    walked = [name for name in names if name.partition(".")[0] in PACKAGES]
    assert len(walked) > 20
    for name in walked:
        resolve(name)


def test_every_file_named_exists() -> None:
    paths = re.findall(r"`((?:[a-z0-9_]+/)+[a-z0-9_]+(?:\.\w+)?)`", TEXT)
    assert len(paths) > 10
    for path in paths:
        assert (ROOT / path).exists() or (ROOT / "sarra_lite" / path).exists(), path


def test_every_package_has_its_row() -> None:
    table = TEXT.partition("## Packages")[2].partition("##")[0]
    rows = {
        name
        for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
        for name in re.findall(r"`(\w+)`", row)
    }
    assert rows >= PACKAGES | {"runtime", "units", "errors"}

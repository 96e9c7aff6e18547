"""The pinned versions that hosts get satisfy the package's dependencies."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NEEDED = PROJECT["dependencies"] + PROJECT["optional-dependencies"]["web"]


def fixed() -> dict[str, str]:
    """Return the pinned versions that hosts get, by package."""
    lines = (ROOT / "roles/sarra_lite/files/requirements.txt").read_text().splitlines()
    pairs = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {canonicalize_name(name): version for name, version in pairs}


@pytest.mark.parametrize("needed", NEEDED)
def test_each_dependency_is_shipped_in_a_version_that_will_do(needed: str) -> None:
    requirement = Requirement(needed)
    assert fixed()[canonicalize_name(requirement.name)] in requirement.specifier

"""Loads plug-ins and modules of Ansible, and programs of roles, which belong to no package."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]


def load(path: str) -> Any:
    """Return the module in a file, whose path is below the root of the repository."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, ROOT / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

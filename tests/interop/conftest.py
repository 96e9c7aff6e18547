"""Fixture: the real sr3 for the user of a site."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.lab.sr3 import Sr3

if TYPE_CHECKING:
    from tests.lab.site import Site


@pytest.fixture
def sr3(site: Site) -> Sr3:
    """Return sr3 without any configuration."""
    return Sr3(site)

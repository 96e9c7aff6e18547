"""The relPath of an announced path."""

from __future__ import annotations

import pytest

from sarra_lite.errors import UsageError
from sarra_lite.posting import scan


@pytest.mark.parametrize(
    ("path", "base", "expected"),
    [
        ("/data/a/b", "/data", "a/b"),
        ("/data/a/../b", "/data/", "b"),
        ("/data", "/data", ""),
        ("/data/a", "/", "data/a"),
        ("//data//a", "/", "data/a"),
        ("//data/a", "/data", "a"),
        ("/data/a", "//data", "a"),
    ],
)
def test_a_path_is_relative_to_the_base_directory(path: str, base: str, expected: str) -> None:
    assert scan.relative(path, base) == expected


@pytest.mark.parametrize("path", ["/database/a", "/data/../a", "/"])
def test_a_path_outside_the_base_directory_is_refused(path: str) -> None:
    with pytest.raises(UsageError, match="is not below baseDir /data"):
        scan.relative(path, "/data")

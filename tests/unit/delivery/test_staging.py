"""Names of what is not complete: of one version only, short enough, beside the file."""

import os
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sarra_lite.delivery import staging
from sarra_lite.messages.v03 import Announcement

NAMES = st.binary(min_size=1, max_size=255).filter(lambda b: b"/" not in b and b"\0" not in b)


def announced(path: str, **fields: Any) -> Announcement:
    return Announcement("20260101T000000", "file:/", path, **fields)


def test_they_stand_beside_the_file_and_are_hidden() -> None:
    names = staging.names("in/d/f", announced("d/f", size=1))
    directory, _, name = names.inflight.rpartition("/")
    assert directory == "in/d"
    assert name.startswith(".f.")
    assert name.endswith(".inflight")
    assert staging.names("f", announced("f")).inflight.startswith(".f.")
    assert staging.names("/f", announced("f")).inflight.startswith("/.f.")


def test_versions_of_a_file_never_share_a_name() -> None:
    versions = [
        announced("f", size=1, mtime="20260101T000000"),
        announced("f", size=2, mtime="20260101T000000"),
        announced("f", size=1, mtime="20260101T000000.1"),
        announced("g", size=1, mtime="20260101T000000"),
    ]
    assert len({staging.names("in/f", version) for version in versions}) == len(versions)


@given(NAMES)
def test_no_name_is_longer_than_a_file_system_takes(raw: bytes) -> None:
    path = os.fsdecode(raw)
    for name in staging.names(f"d/{path}", announced(path))[1:]:
        assert len(os.fsencode(name.rpartition("/")[2])) <= 255

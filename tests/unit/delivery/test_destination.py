"""Names at the destination while a file is not complete: unique, short enough, beside the file."""

import os
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sarra_lite.delivery.destination import Destination
from sarra_lite.delivery.job import Job
from sarra_lite.messages.v03 import Announcement
from tests.lab.jobs import sender_config

NAMES = st.binary(min_size=1, max_size=255).filter(lambda b: b"/" not in b and b"\0" not in b)
NO_CLIENT: Any = None  # no request is made


def announced(path: str, **fields: Any) -> Announcement:
    return Announcement("20260101T000000", "file:/", path, **fields)


def destination(path: str, announcement: Announcement) -> Destination:
    return Destination(NO_CLIENT, Job(announcement, "/source", path, sender_config()))


def staging_file(path: str, announcement: Announcement) -> str:
    return destination(path, announcement).staging_file


def test_they_stand_beside_the_file_and_are_hidden() -> None:
    directory, _, name = staging_file("in/d/f", announced("d/f", size=1)).rpartition("/")
    assert directory == "in/d"
    assert name.startswith(".f.")
    assert name.endswith(".inflight")
    assert staging_file("f", announced("f")).startswith(".f.")
    assert staging_file("/f", announced("f")).startswith("/.f.")


def test_versions_of_a_file_never_share_a_name() -> None:
    versions = [
        announced("f", size=1, mtime="20260101T000000"),
        announced("f", size=2, mtime="20260101T000000"),
        announced("f", size=1, mtime="20260101T000000.1"),
        announced("g", size=1, mtime="20260101T000000"),
        announced("f", size=1, mtime="20260101T000000", overwrite="always"),
    ]
    assert len({staging_file("in/f", version) for version in versions}) == len(versions)


@given(NAMES)
def test_no_name_is_longer_than_a_file_system_takes(raw: bytes) -> None:
    path = os.fsdecode(raw)
    names = destination(f"d/{path}", announced(path))
    for name in (names.staging_file, names.marker_directory):
        assert len(os.fsencode(name.rpartition("/")[2])) <= 255

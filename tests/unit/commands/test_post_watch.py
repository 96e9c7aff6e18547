"""What sr_post --watch announces of a change that it has found."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from sarra_lite.commands.post_watch import announcements_of
from sarra_lite.config.commands import PostConfig
from sarra_lite.config.credentials import parse_url
from sarra_lite.errors import SarraError
from sarra_lite.watch.diff import Change

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def config(tmp_path: Path) -> PostConfig:
    broker = parse_url("amqp://u@h/", ["amqp"])
    return PostConfig(broker=broker, baseUrl="file:/", baseDir=str(tmp_path), mirror=True)


def found(path: Path, *, is_dir: bool, old: Path | None = None) -> Change:
    kind, event = ("renamed", "rename") if old else ("changed", "mkdir" if is_dir else "create")
    former = str(old) if old else None
    return Change(kind, str(path), former, is_dir, 1, frozenset({event}))  # type: ignore[arg-type]


def test_what_is_still_as_it_was_found_is_announced(tmp_path: Path, config: PostConfig) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "f").write_text("x")
    os.symlink("f", tmp_path / "l")  # noqa: PTH211  pathlib would swap the names
    for name, is_dir in (("d", True), ("f", False), ("l", False)):
        (announced,) = announcements_of(found(tmp_path / name, is_dir=is_dir), config)
        assert announced.rel_path == name


@pytest.mark.parametrize("is_dir", [True, False])
@pytest.mark.parametrize("renamed", [True, False])
def test_a_name_that_was_replaced_meanwhile_is_not_announced_as_what_it_was(
    tmp_path: Path, config: PostConfig, *, is_dir: bool, renamed: bool
) -> None:
    """The ledger would take it for the other kind, and a later rename would replace that."""
    path = tmp_path / "name"
    if is_dir:
        path.write_text("a file by now")
    else:
        path.mkdir()
    change = found(path, is_dir=is_dir, old=tmp_path / "old" if renamed else None)
    with pytest.raises(SarraError, match="name: changes while it is announced"):
        announcements_of(change, config)


def test_a_name_that_is_gone_is_not_announced(tmp_path: Path, config: PostConfig) -> None:
    with pytest.raises(SarraError, match="name"):
        announcements_of(found(tmp_path / "name", is_dir=False), config)

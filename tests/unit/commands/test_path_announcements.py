"""sr_post --dry-run: what it prints, without a broker."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from sarra_lite.commands import post

if TYPE_CHECKING:
    from pathlib import Path

Output = pytest.CaptureFixture[str]


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    root = tmp_path / "root"
    (root / "d").mkdir(parents=True)
    (root / "d" / "f").write_bytes(b"x" * 3000)
    os.symlink("f", root / "d" / "l")  # noqa: PTH211  pathlib would swap the names
    return root


def _dry_run(root: Path, *arguments: str) -> int:
    flags = ["--broker", "amqps://u@localhost:1/", "--base-url", f"file:{root}", "--dry-run"]
    return post.main([*flags, *arguments])


def test_a_dry_run_prints_what_would_be_announced(tree: Path, capsys: Output) -> None:
    assert _dry_run(tree, "--block-size", "1Ki", str(tree)) == 0
    output = capsys.readouterr()
    assert sorted(output.out.splitlines()) == [
        "d/f: file, 2.9 KiB, 3 blocks",
        "d/l: link to f",
        "d: directory",
    ]
    assert "3 would be announced" in output.err


def test_a_dry_run_obeys_rules_and_flags(tree: Path, capsys: Output) -> None:
    assert _dry_run(tree, "--reject", ".*/d/.*", str(tree)) == 0
    assert _dry_run(tree, "--remove", f"{tree}/old", f"{tree}/olds/") == 0
    assert _dry_run(tree, "--renamed-from", f"{tree}/old", f"{tree}/d/f") == 0
    assert capsys.readouterr().out.splitlines() == [
        "d: directory",
        "old: removed",
        "olds: directory, removed",
        f"d/f: renamed from {tree}/old",
    ]


def test_a_dry_run_tells_what_would_fail(tree: Path, capsys: Output) -> None:
    assert _dry_run(tree, f"{tree}/d/l", f"{tree}/nosuch") == 1
    output = capsys.readouterr()
    assert "nosuch: no such file or directory" in output.err
    assert "1 would be announced, 1 not" in output.err

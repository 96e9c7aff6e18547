"""The ledger: pending, confirmed and uncertain entries, renames, and files it refuses."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarra_lite.errors import ConfigError
from sarra_lite.watch.ledger import Ledger

_IN_MEMORY = Path(":memory:")  # the name that makes SQLite write no file
_RANDOM_NAMES = st.binary(min_size=1, max_size=3).filter(
    lambda name: b"/" not in name and b"\0" not in name
)
_SIMILAR_NAMES = st.sampled_from([b"a", b"b", b"a0", b"a-", b"\xff"])
_PATHS = st.lists(_SIMILAR_NAMES | _RANDOM_NAMES, min_size=1, max_size=4).map(
    lambda names: os.fsdecode(b"/" + b"/".join(names))
)


def _in_subtree(path: str, top: str) -> bool:
    return path == top or path.startswith(top + "/")


def test_a_confirmed_version_is_known_after_a_restart(tmp_path: Path) -> None:
    with Ledger(tmp_path / "state" / "ledger") as ledger:
        ledger.confirm(ledger.record_pending("/d/f", "v1", is_dir=False))
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
    with Ledger(tmp_path / "state" / "ledger") as ledger:
        assert ledger.entry("/d/f") == ("/d/f", False, "v1", True)
        assert ledger.entry("/d") is None


def test_an_unconfirmed_entry_is_uncertain_after_a_restart(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger") as ledger:
        ledger.record_pending("/f", "v1", is_dir=False)
        assert ledger.entry("/f") == ("/f", False, "v1", False)
        ledger.record_pending("/g", None, is_dir=False)
    with Ledger(tmp_path / "ledger") as ledger:
        assert list(ledger.subtree("/")) == [("/g", False, None, True), ("/f", False, "", True)]
        assert all(entry.may_exist for entry in ledger.subtree("/"))


def test_a_confirmed_removal_deletes_the_entry(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger") as ledger:
        ledger.confirm(ledger.record_pending("/f", None, is_dir=False))
        assert ledger.entry("/f") is None


def test_a_late_confirmation_does_not_confirm_a_newer_version(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger") as ledger:
        first = ledger.record_pending("/f", "v1", is_dir=False)
        second = ledger.record_pending("/f", None, is_dir=False)
        third = ledger.record_pending("/f", "v2", is_dir=False)
        ledger.confirm(second)
        ledger.confirm(first)
        assert ledger.entry("/f") == ("/f", False, "v2", False)
        ledger.confirm(third)
        assert ledger.entry("/f") == ("/f", False, "v2", True)


def test_after_a_restart_both_names_of_an_unconfirmed_rename_may_exist(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger") as ledger:
        for path in ("/a", "/a/x", "/a/y"):
            ledger.confirm(ledger.record_pending(path, "v", is_dir=path == "/a"))
        ledger.record_pending("/b", "v", is_dir=True, old="/a")
        ledger.confirm(ledger.record_pending("/b/x", None, is_dir=False))
        token = ledger.record_pending("/b/z", "v", is_dir=False, old="/b/y")
        present = [entry.path for entry in ledger.subtree("/") if entry.version is not None]
        assert present == ["/b/z", "/b"]
        ledger.confirm(token)
    with Ledger(tmp_path / "ledger") as ledger:
        entries = {entry.path: entry.version for entry in ledger.subtree("/")}
        assert entries == {"/a": None, "/a/x": None, "/a/y": None, "/b": "", "/b/z": "v"}
        assert all(entry.may_exist for entry in ledger.subtree("/"))


def test_a_chain_of_unconfirmed_renames_loses_no_name(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger") as ledger:
        for path in ("/p", "/p/a", "/p/a/f"):
            ledger.confirm(ledger.record_pending(path, "v", is_dir=path != "/p/a/f"))
        ledger.record_pending("/p/a/g", "v", is_dir=False, old="/p/a/f")
        ledger.record_pending("/p/b", "v", is_dir=True, old="/p/a")
        ledger.confirm(ledger.record_pending("/q", "v", is_dir=True, old="/p"))
    with Ledger(tmp_path / "ledger") as ledger:
        known = {entry.path for entry in ledger.subtree("/")}
    assert known >= {"/q", "/q/b", "/q/b/g", "/p/a", "/p/a/g", "/p/a/f"}


def test_a_confirmed_rename_leaves_only_the_new_names(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger") as ledger:
        ledger.confirm(ledger.record_pending("/a", "v", is_dir=True))
        ledger.confirm(ledger.record_pending("/a/f", "v", is_dir=False))
        pending = ledger.record_pending("/a/g", "v", is_dir=False)
        ledger.confirm(ledger.record_pending("/b", "v", is_dir=True, old="/a"))
        ledger.confirm(pending)
    with Ledger(tmp_path / "ledger") as ledger:
        assert list(ledger.subtree("/")) == [
            ("/b/g", False, "", True),  # it was announced by a name that is gone
            ("/b/f", False, "", True),  # it must be announced again
            ("/b", True, "v", True),
        ]


def test_after_a_failed_rename_both_names_are_uncertain(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger") as ledger:
        ledger.confirm(ledger.record_pending("/a", "v", is_dir=False))
        ledger.mark_uncertain(ledger.record_pending("/b", "v", is_dir=False, old="/a"))
        assert list(ledger.subtree("/")) == [("/b", False, "", True), ("/a", False, "", True)]


@given(paths=st.lists(_PATHS, unique=True, max_size=30), old=_PATHS, new=_PATHS)
def test_a_rename_moves_the_whole_subtree_and_nothing_else(
    paths: list[str], old: str, new: str
) -> None:
    if _in_subtree(new, old) or _in_subtree(old, new):
        return
    stayed = {path for path in paths if not _in_subtree(path, old)}
    moved = {new + path[len(old) :] for path in paths if _in_subtree(path, old)}
    with Ledger(_IN_MEMORY) as ledger:
        for path in paths:
            version = path[1:].encode("utf-8", "replace").hex()
            ledger.confirm(ledger.record_pending(path, version, is_dir=False))
        ledger.confirm(ledger.record_pending(new, "v", is_dir=True, old=old))
        assert {entry.path for entry in ledger.subtree("/")} == stayed | moved | {new}
        below = {path for path in stayed if _in_subtree(path, new)}
        assert {entry.path for entry in ledger.subtree(new)} == below | moved | {new}
        assert list(ledger.subtree(old)) == []


@given(paths=st.lists(_PATHS, unique=True, max_size=30), top=_PATHS)
def test_subtree_yields_children_before_their_directory(paths: list[str], top: str) -> None:
    with Ledger(_IN_MEMORY) as ledger:
        for path in paths:
            ledger.record_pending(path, "v", is_dir=False)
        found = [entry.path for entry in ledger.subtree(top)]
    assert sorted(found) == sorted(path for path in paths if _in_subtree(path, top))
    for number, path in enumerate(found):
        assert not any(_in_subtree(later, path) for later in found[number + 1 :])


def test_subtree_yields_all_entries_while_they_are_removed(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger") as ledger:
        for number in range(1700):
            ledger.record_pending(f"/d/{number}", "v", is_dir=False)
        count = 0
        for entry in ledger.subtree("/d"):
            ledger.confirm(ledger.record_pending(entry.path, None, is_dir=False))
            count += 1
        assert count == 1700
        assert next(ledger.subtree("/"), None) is None


def test_a_second_process_is_refused_until_the_first_is_killed(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib; from sarra_lite.watch.ledger import Ledger\n"
        "with Ledger(pathlib.Path(sys.argv[1])) as ledger:\n"
        "    print(ledger.record_pending('/f', 'v', is_dir=False), flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, tmp_path / "ledger"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline()
        refused = pytest.raises(ConfigError, match=r"another sr_post --watch .* runs")
        with refused, Ledger(tmp_path / "ledger"):
            pass
        other.kill()
    with Ledger(tmp_path / "ledger") as ledger:
        assert ledger.entry("/f") == ("/f", False, "", True), "a pending entry survives the kill"


def test_a_file_that_is_not_a_ledger_is_refused_and_not_changed(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("certainly no database\n" * 100)
    with sqlite3.connect(tmp_path / "foreign") as foreign:
        foreign.execute("CREATE TABLE other (x)")
    foreign.close()
    for name in ("text", "foreign"):
        before = (tmp_path / name).read_bytes()
        with pytest.raises(ConfigError, match=rf"{name}: .*move it away"), Ledger(tmp_path / name):
            pass
        assert (tmp_path / name).read_bytes() == before


def test_a_damaged_ledger_is_refused_when_a_damaged_page_is_read(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger") as ledger:
        for number in range(3000):
            ledger.record_pending(f"/d/{number}", "v", is_dir=False)
    size = (tmp_path / "ledger").stat().st_size
    with (tmp_path / "ledger").open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * (size - 4096))
    with pytest.raises(ConfigError, match="move it away"), Ledger(tmp_path / "ledger") as ledger:
        list(ledger.subtree("/"))


def test_a_path_that_cannot_be_opened_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="file"), Ledger(tmp_path / "file" / "ledger"):
        pass
    with pytest.raises(ConfigError, match="unable to open"), Ledger(tmp_path):
        pass

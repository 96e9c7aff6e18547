from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sarra_lite.errors import ConfigError
from sarra_lite.watch.ledger import Ledger

if TYPE_CHECKING:
    from pathlib import Path

_PARTS = st.binary(min_size=1, max_size=3).filter(
    lambda part: b"/" not in part and b"\0" not in part
)
_FEW = st.sampled_from([b"a", b"b", b"a0", b"a-", b"\xff"])
_PATHS = st.lists(_FEW | _PARTS, min_size=1, max_size=4).map(
    lambda parts: os.fsdecode(b"/" + b"/".join(parts))
)


def _beneath(path: str, top: str) -> bool:
    return path == top or path.startswith(top + "/")


def test_what_is_confirmed_is_known_after_a_restart(tmp_path: Path) -> None:
    with Ledger(tmp_path / "state" / "ledger") as ledger:
        ledger.confirm("/d/f", ledger.begin("/d/f", "v1", is_dir=False))
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
    with Ledger(tmp_path / "state" / "ledger") as ledger:
        assert ledger.entry("/d/f") == ("/d/f", False, "v1", True)
        assert ledger.entry("/d") is None


def test_what_is_not_confirmed_is_in_doubt_after_a_restart(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger") as ledger:
        ledger.begin("/f", "v1", is_dir=False)
        assert ledger.entry("/f") == ("/f", False, "v1", False)
        ledger.begin("/g", None, is_dir=False)
    with Ledger(tmp_path / "ledger") as ledger:
        assert list(ledger.beneath("/")) == [("/g", False, "", True), ("/f", False, "", True)]


def test_a_confirmed_removal_is_forgotten(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger") as ledger:
        ledger.confirm("/f", ledger.begin("/f", None, is_dir=False))
        assert ledger.entry("/f") is None


def test_a_late_confirmation_does_not_hide_what_began_after_it(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger") as ledger:
        first = ledger.begin("/f", "v1", is_dir=False)
        second = ledger.begin("/f", None, is_dir=False)
        third = ledger.begin("/f", "v2", is_dir=False)
        ledger.confirm("/f", second)
        ledger.confirm("/f", first)
        assert ledger.entry("/f") == ("/f", False, "v2", False)
        ledger.confirm("/f", third)
        assert ledger.entry("/f") == ("/f", False, "v2", True)


def test_an_unconfirmed_renaming_leaves_both_names_in_doubt_after_a_restart(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger") as ledger:
        for path in ("/a", "/a/x", "/a/y"):
            ledger.confirm(path, ledger.begin(path, "v", is_dir=path == "/a"))
        ledger.rename("/a", "/b", "v", is_dir=True)
        ledger.confirm("/b/x", ledger.begin("/b/x", None, is_dir=False))
        token = ledger.rename("/b/y", "/b/z", "v", is_dir=False)
        assert [entry.path for entry in ledger.beneath("/")] == ["/b/z", "/b"]
        ledger.confirm("/b/z", token)
    with Ledger(tmp_path / "ledger") as ledger:
        assert {entry.path for entry in ledger.beneath("/")} == {"/a", "/a/z", "/b", "/b/z"}
        assert {entry.version for entry in ledger.beneath("/")} == {""}


def test_a_chain_of_unconfirmed_renamings_loses_no_name(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger") as ledger:
        for path in ("/p", "/p/a", "/p/a/f"):
            ledger.confirm(path, ledger.begin(path, "v", is_dir=path != "/p/a/f"))
        ledger.rename("/p/a/f", "/p/a/g", "v", is_dir=False)
        ledger.rename("/p/a", "/p/b", "v", is_dir=True)
        ledger.confirm("/q", ledger.rename("/p", "/q", "v", is_dir=True))
    with Ledger(tmp_path / "ledger") as ledger:
        known = {entry.path for entry in ledger.beneath("/")}
    assert known >= {"/q", "/q/b", "/q/b/g", "/p/a", "/p/a/g", "/p/a/f"}


def test_a_confirmed_renaming_is_all_there_is(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger") as ledger:
        ledger.confirm("/a", ledger.begin("/a", "v", is_dir=True))
        ledger.confirm("/a/f", ledger.begin("/a/f", "v", is_dir=False))
        pending = ledger.begin("/a/g", "v", is_dir=False)
        ledger.confirm("/b", ledger.rename("/a", "/b", "v", is_dir=True))
        ledger.confirm("/a/g", pending)
    with Ledger(tmp_path / "ledger") as ledger:
        assert list(ledger.beneath("/")) == [
            ("/b/g", False, "", True),  # its announcement had a name that was no more
            ("/b/f", False, "v", True),
            ("/b", True, "v", True),
        ]


def test_a_renaming_that_was_not_announced_leaves_both_names_in_doubt(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger") as ledger:
        ledger.confirm("/a", ledger.begin("/a", "v", is_dir=False))
        ledger.doubt("/b", ledger.rename("/a", "/b", "v", is_dir=False))
        assert list(ledger.beneath("/")) == [("/b", False, "", True), ("/a", False, "", True)]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(paths=st.lists(_PATHS, unique=True, max_size=30), old=_PATHS, new=_PATHS)
def test_a_renaming_moves_all_beneath_and_nothing_else(
    tmp_path: Path, paths: list[str], old: str, new: str
) -> None:
    if _beneath(new, old) or _beneath(old, new):
        return
    (tmp_path / "ledger").unlink(missing_ok=True)
    with Ledger(tmp_path / "ledger") as ledger:
        for path in paths:
            ledger.confirm(
                path, ledger.begin(path, path[1:].encode("utf-8", "replace").hex(), is_dir=False)
            )
        ledger.confirm(new, ledger.rename(old, new, "v", is_dir=True))
    stayed = {path for path in paths if not _beneath(path, old) and not _beneath(path, new)}
    moved = {new + path[len(old) :] for path in paths if _beneath(path, old)}
    with Ledger(tmp_path / "ledger") as ledger:
        assert {entry.path for entry in ledger.beneath("/")} == stayed | moved | {new}
        assert {entry.path for entry in ledger.beneath(new)} == moved | {new}
        assert list(ledger.beneath(old)) == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(paths=st.lists(_PATHS, unique=True, max_size=30), top=_PATHS)
def test_beneath_yields_children_before_their_directory(
    tmp_path: Path, paths: list[str], top: str
) -> None:
    (tmp_path / "ledger").unlink(missing_ok=True)
    with Ledger(tmp_path / "ledger") as ledger:
        for path in paths:
            ledger.begin(path, "v", is_dir=False)
        found = [entry.path for entry in ledger.beneath(top)]
    assert sorted(found) == sorted(path for path in paths if _beneath(path, top))
    for number, path in enumerate(found):
        assert not any(_beneath(later, path) for later in found[number + 1 :])


def test_beneath_yields_all_though_they_are_removed_meanwhile(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger") as ledger:
        for number in range(1700):
            ledger.begin(f"/d/{number}", "v", is_dir=False)
        count = 0
        for entry in ledger.beneath("/d"):
            ledger.confirm(entry.path, ledger.begin(entry.path, None, is_dir=False))
            count += 1
        assert count == 1700
        assert next(ledger.beneath("/"), None) is None


def test_a_second_process_is_refused_in_one_line(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib; from sarra_lite.watch.ledger import Ledger\n"
        "with Ledger(pathlib.Path(sys.argv[1])): print('open', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, tmp_path / "ledger"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with (
            pytest.raises(ConfigError, match=r"another sr_post --watch .* runs"),
            Ledger(tmp_path / "ledger"),
        ):
            pass
        other.kill()
    with Ledger(tmp_path / "ledger"):
        pass


def test_a_file_that_is_no_ledger_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("certainly no database\n" * 100)
    with sqlite3.connect(tmp_path / "foreign") as foreign:
        foreign.execute("CREATE TABLE other (x)")
    foreign.close()
    for name in ("text", "foreign"):
        before = (tmp_path / name).read_bytes()
        with pytest.raises(ConfigError, match=rf"{name}: .*move it away"), Ledger(tmp_path / name):
            pass
        assert (tmp_path / name).read_bytes() == before


def test_a_damaged_ledger_is_refused_when_the_damage_is_met(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger") as ledger:
        for number in range(3000):
            ledger.begin(f"/d/{number}", "v", is_dir=False)
    size = (tmp_path / "ledger").stat().st_size
    with (tmp_path / "ledger").open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * (size - 4096))
    with pytest.raises(ConfigError, match="move it away"), Ledger(tmp_path / "ledger") as ledger:
        list(ledger.beneath("/"))


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="file"), Ledger(tmp_path / "file" / "ledger"):
        pass
    with pytest.raises(ConfigError, match="unable to open"), Ledger(tmp_path):
        pass


def test_what_is_begun_outlives_a_killed_process(tmp_path: Path) -> None:
    program = (
        "import os, sys, pathlib; from sarra_lite.watch.ledger import Ledger\n"
        "with Ledger(pathlib.Path(sys.argv[1])) as ledger:\n"
        "    ledger.begin('/f', 'v', is_dir=False); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", program, tmp_path / "ledger"], check=False)
    with Ledger(tmp_path / "ledger") as ledger:
        assert ledger.entry("/f") == ("/f", False, "", True)

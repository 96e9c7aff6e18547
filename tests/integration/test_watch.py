from __future__ import annotations

import contextlib
import os
import random
import resource
import shutil
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

import pytest

from sarra_lite.errors import ConfigError, SarraError
from sarra_lite.watch.ledger import Ledger
from sarra_lite.watch.watcher import Change, Watcher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SETTLE = 0.15
PATIENCE = 0.4


class Node(NamedTuple):
    kind: str
    mode: int
    content: bytes


def node(path: str) -> Node:
    at = os.lstat(path)
    if stat.S_ISLNK(at.st_mode):
        return Node("link", 0, os.fsencode(os.readlink(path)))
    if stat.S_ISDIR(at.st_mode):
        return Node("directory", stat.S_IMODE(at.st_mode), b"")
    return Node("file", stat.S_IMODE(at.st_mode), Path(path).read_bytes())


def tree(root: Path) -> dict[str, Node]:
    found = {str(root): node(str(root))}
    for directory, directories, files in os.walk(root):
        for name in directories + files:
            found[f"{directory}/{name}"] = node(f"{directory}/{name}")
    return found


class Mirror:
    """The other side, which applies changes in their order and objects to what makes no sense."""

    def __init__(self, root: Path) -> None:
        """Have nothing yet."""
        self.nodes: dict[str, Node] = {}
        self.root = str(root)

    def apply(self, change: Change) -> None:
        """Raise OSError when what changed is not there any more, as announcing it would."""
        match change.kind:
            case "changed":
                new = node(change.path)
                self._changed(change.path, new)
            case "removed":
                if self.nodes.get(change.path, Node("", 0, b"")).kind == "directory":
                    assert change.is_dir
                    assert not self.beneath(change.path)
                self.nodes.pop(change.path, None)
            case "renamed":
                assert change.old is not None
                assert (node(change.path).kind == "directory") == change.is_dir
                self._renamed(change.old, change.path)

    def _changed(self, path: str, new: Node) -> None:
        if path != self.root:
            assert self.nodes[str(Path(path).parent)].kind == "directory"
        if (old := self.nodes.get(path)) is not None:
            assert (old.kind == "directory") == (new.kind == "directory")
        self.nodes[path] = new

    def _renamed(self, old: str, path: str) -> None:
        assert old in self.nodes
        if self.nodes[old].kind == "directory":
            assert path not in self.nodes
        for name in [old, *self.beneath(old)]:
            self.nodes[path + name[len(old) :]] = self.nodes.pop(name)

    def beneath(self, path: str) -> list[str]:
        return [name for name in self.nodes if name.startswith(path + "/")]


class MirroredWatch:
    """A watch and its mirror; confirms each change at once, or in disorder and late."""

    def __init__(self, root: Path, ledger: Path, *, chance: random.Random | None = None) -> None:
        """Confirm at once unless there is chance."""
        self.root = root
        self._path = ledger
        self._chance = chance
        self._late: list[Change] = []
        self.mirror = Mirror(root)

    def __enter__(self) -> Self:
        """Begin to watch."""
        self._stack = contextlib.ExitStack()
        ledger = self._stack.enter_context(Ledger(self._path))
        self.watch = self._stack.enter_context(
            Watcher([str(self.root)], ledger, SETTLE, settle_if_open=PATIENCE)
        )
        return self

    def __exit__(self, *_: object) -> None:
        """End, and leave unconfirmed what is."""
        self._late.clear()
        self._stack.close()

    def run(self, until: Callable[[], bool], timeout: float = 0.05) -> list[Change]:
        """Apply changes until it is so; return them."""
        seen = []
        while not until():
            for change in self.watch.changes(timeout):
                if change is not None:
                    seen.append(change)
                    self._apply(change)
        return seen

    def quiet(self, seconds: float = 0.35) -> list[Change]:
        """Apply changes until none came for some time; return them."""
        last = time.monotonic()
        seen: list[Change] = []
        while time.monotonic() < last + seconds:
            some = self.run(iter([False, True]).__next__)
            if some:
                last = time.monotonic()
            seen += some
        return seen

    def told(self, seconds: float = 0.35) -> list[tuple[str, ...]]:
        """Return the changes until it is quiet, in short, with names below the root."""
        names = []
        for change in self.quiet(seconds):
            old = [] if change.old is None else [self._short(change.old)]
            names.append((change.kind, *old, self._short(change.path)))
        return names

    def _short(self, path: str) -> str:
        return path[len(str(self.root)) + 1 :]

    def _apply(self, change: Change) -> None:
        try:
            self.mirror.apply(change)
        except OSError:
            self.watch.failed(change)
            return
        if self._chance is None:
            self.watch.done(change)
            return
        self._late.append(change)
        while self._late and self._chance.random() < 0.8:
            self.watch.done(self._late.pop(self._chance.randrange(len(self._late))))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


@pytest.fixture
def watcher(root: Path, tmp_path: Path) -> Iterator[MirroredWatch]:
    with MirroredWatch(root, tmp_path / "ledger") as watcher:
        assert watcher.told(0.2) == [("changed", "")]
        yield watcher


def test_a_file_is_announced_once_when_it_is_closed(watcher: MirroredWatch) -> None:
    with (watcher.root / "f").open("wb", buffering=0) as file:
        for _ in range(3):
            file.write(b"part")
            assert watcher.told(SETTLE + 0.2) == []
    begun = time.monotonic()
    assert watcher.run(lambda: bool(watcher.mirror.beneath(str(watcher.root))))[0].kind == "changed"
    assert time.monotonic() - begun < SETTLE
    assert watcher.told() == []


def test_a_file_renamed_in_is_announced_at_once(watcher: MirroredWatch, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("whole")
    (tmp_path / "f").rename(watcher.root / "g")
    assert watcher.told() == [("changed", "g")]


def test_a_file_in_a_new_deep_directory_is_not_missed(watcher: MirroredWatch) -> None:
    for number in range(50):
        (watcher.root / f"{number}/b/c").mkdir(parents=True)
        (watcher.root / f"{number}/b/c/f").write_text("immediate")
    told = watcher.told()
    assert len(told) == len(set(told)) == 200
    assert watcher.mirror.nodes == tree(watcher.root)


def test_a_directory_that_moves_in_or_out_does_so_with_all_beneath(
    watcher: MirroredWatch, tmp_path: Path
) -> None:
    (tmp_path / "d" / "e").mkdir(parents=True)
    (tmp_path / "d" / "e" / "f").touch()
    (tmp_path / "d").rename(watcher.root / "d")
    assert watcher.told() == [("changed", "d"), ("changed", "d/e"), ("changed", "d/e/f")]
    (watcher.root / "d").rename(tmp_path / "out")
    assert watcher.told() == [("removed", "d/e/f"), ("removed", "d/e"), ("removed", "d")]
    (tmp_path / "out" / "e" / "g").touch()
    assert watcher.told(0.3) == []


def test_links_are_announced(watcher: MirroredWatch, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("content")
    (watcher.root / "hard").hardlink_to(tmp_path / "f")
    (watcher.root / "soft").symlink_to("nowhere")
    assert watcher.told() == [("changed", "soft"), ("changed", "hard")]
    (watcher.root / "soft").unlink()
    (watcher.root / "soft").symlink_to("elsewhere")
    assert ("changed", "soft") in watcher.told()
    assert watcher.mirror.nodes == tree(watcher.root)


def test_a_file_linked_in_whose_other_name_is_removed_is_announced(
    watcher: MirroredWatch, tmp_path: Path
) -> None:
    (tmp_path / "f").write_text("content")
    (watcher.root / "g").hardlink_to(tmp_path / "f")
    (tmp_path / "f").unlink()
    assert watcher.told(2 * PATIENCE) == [("changed", "g")]


def test_a_file_of_several_names_is_announced_under_all_of_them(watcher: MirroredWatch) -> None:
    (watcher.root / "f").write_text("content")
    (watcher.root / "g").hardlink_to(watcher.root / "f")
    watcher.quiet()
    (watcher.root / "g").write_text("changed")
    assert sorted(watcher.told()) == [("changed", "f"), ("changed", "g")]
    (watcher.root / "f").chmod(0o600)
    assert sorted(watcher.told()) == [("changed", "f"), ("changed", "g")]
    (watcher.root / "f").unlink()
    assert watcher.told() == [("removed", "f")]


def test_a_changed_mode_or_time_is_announced_and_the_same_again_is_not(
    watcher: MirroredWatch,
) -> None:
    (watcher.root / "f").write_text("content")
    assert watcher.told() == [("changed", "f")]
    (watcher.root / "f").chmod(0o600)
    assert watcher.told() == [("changed", "f")]
    os.utime(watcher.root / "f", (1, 1))
    assert watcher.told() == [("changed", "f")]
    os.utime(watcher.root / "f", (2, 1))
    (watcher.root / "f").open("ab").close()
    assert watcher.told() == []
    watcher.root.chmod(0o750)
    assert watcher.told() == [("changed", "")]


def test_a_renaming_is_one_change_if_the_other_side_has_the_same_version(
    watcher: MirroredWatch,
) -> None:
    (watcher.root / "f").write_text("content")
    watcher.quiet()
    (watcher.root / "f").rename(watcher.root / "g")
    assert watcher.told() == [("renamed", "f", "g")]
    with (watcher.root / "g").open("ab", buffering=0) as file:
        file.write(b"more")
        (watcher.root / "g").rename(watcher.root / "h")
    assert watcher.told() == [("removed", "g"), ("changed", "h")]


def test_a_temporary_name_is_not_announced(watcher: MirroredWatch) -> None:
    (watcher.root / ".f.tmp").write_text("content")
    (watcher.root / ".f.tmp").rename(watcher.root / "f")
    assert watcher.told() == [("changed", "f")]


def test_a_renamed_directory_is_one_change_and_stays_watched(watcher: MirroredWatch) -> None:
    (watcher.root / "d/e").mkdir(parents=True)
    (watcher.root / "d/e/f").write_text("content")
    watcher.quiet()
    (watcher.root / "d").rename(watcher.root / "new")
    assert watcher.told() == [("renamed", "d", "new")]
    (watcher.root / "new/e/g").write_text("content")
    (watcher.root / "new/e/f").unlink()
    assert sorted(watcher.told()) == [("changed", "new/e/g"), ("removed", "new/e/f")]


def test_only_what_was_announced_is_removed(watcher: MirroredWatch) -> None:
    (watcher.root / "f").touch()
    (watcher.root / "f").unlink()
    assert watcher.told() == []
    (watcher.root / "d/e").mkdir(parents=True)
    (watcher.root / "d/f").touch()
    watcher.quiet()
    shutil.rmtree(watcher.root / "d")
    removed = watcher.told()
    assert set(removed) == {("removed", "d/e"), ("removed", "d/f"), ("removed", "d")}
    assert removed[-1] == ("removed", "d")


def test_a_file_that_becomes_a_directory_or_the_reverse_is_removed_first(
    watcher: MirroredWatch,
) -> None:
    (watcher.root / "f").touch()
    watcher.quiet()
    (watcher.root / "f").unlink()
    (watcher.root / "f").mkdir()
    (watcher.root / "f" / "in").touch()
    assert watcher.told() == [("removed", "f"), ("changed", "f"), ("changed", "f/in")]
    shutil.rmtree(watcher.root / "f")
    (watcher.root / "f").symlink_to("..")
    told = watcher.told()
    assert told == [("removed", "f/in"), ("removed", "f"), ("changed", "f")]


def test_names_of_any_bytes_are_announced(watcher: MirroredWatch) -> None:
    name = os.fsdecode(b"\xff\n\xc3")
    (watcher.root / name).touch()
    assert watcher.told() == [("changed", name)]
    (watcher.root / name).rename(watcher.root / (name + "2"))
    assert watcher.told() == [("renamed", name, name + "2")]


def test_what_happened_while_down_is_announced_and_nothing_else(root: Path, tmp_path: Path) -> None:
    watcher = MirroredWatch(root, tmp_path / "ledger")
    for name in ("same", "changed", "removed", "d/removed", "d/same"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).touch()
    with watcher:
        assert len(watcher.told()) == 7
    with watcher:
        assert watcher.told() == []
    (root / "changed").write_text("now")
    (root / "removed").unlink()
    (root / "d/removed").unlink()
    (root / "new").touch()
    with watcher:
        told = watcher.told()
    expected = [("changed", "changed"), ("changed", "new"), ("removed", "d/removed")]
    assert sorted(told) == [*expected, ("removed", "removed")]


def test_an_old_file_is_announced_at_once_and_a_fresh_one_when_settled(
    root: Path, tmp_path: Path
) -> None:
    (root / "old").touch()
    time.sleep(SETTLE)
    with (root / "growing").open("wb", buffering=0) as file:
        file.write(b"part")
        with MirroredWatch(root, tmp_path / "ledger") as watcher:
            begun = time.monotonic()
            while time.monotonic() < begun + 2 * SETTLE:
                file.write(b"part")
                watcher.run(iter([False, True]).__next__)
            assert set(watcher.mirror.nodes) == {str(root), str(root / "old")}
            assert watcher.told() == [("changed", "growing")]


def test_a_change_neither_done_nor_failed_is_found_anew_by_the_next_run(
    root: Path, tmp_path: Path
) -> None:
    (root / "f").touch()
    (root / "g").touch()
    for _ in range(2):
        with Ledger(tmp_path / "ledger") as ledger, Watcher([str(root)], ledger, 0) as watch:
            time.sleep(0.1)
            assert len([change for change in watch.changes(0.2) if change]) == 3
    (root / "g").unlink()
    with MirroredWatch(root, tmp_path / "ledger") as watcher:
        assert watcher.told() == [("changed", ""), ("changed", "f"), ("removed", "g")]


def test_the_removal_of_what_is_not_confirmed_yet_is_announced(root: Path, tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger") as ledger, Watcher([str(root)], ledger, 0) as watch:
        (root / "f").touch()
        time.sleep(0.1)
        kinds = [change.kind for change in watch.changes(0.2) if change]
        (root / "f").unlink()
        kinds += [change.kind for change in watch.changes(0.2) if change]
    assert kinds == ["changed", "changed", "removed"]


def test_a_renaming_that_failed_is_told_name_by_name(root: Path, tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger") as ledger, Watcher([str(root)], ledger, 0) as watch:
        (root / "f").touch()
        time.sleep(0.1)
        for change in watch.changes(0.2):
            if change is not None:
                watch.done(change)
        (root / "f").rename(root / "g")
        told = []
        for change in watch.changes(0.2):
            if change is not None:
                told.append((change.kind, Path(change.path).name))
                if change.kind == "renamed":
                    watch.failed(change)
    assert told == [("renamed", "g"), ("removed", "f"), ("changed", "g")]


def test_two_versions_within_a_moment_are_both_seen(watcher: MirroredWatch) -> None:
    none = Node("", 0, b"")
    for number in range(0, 40, 2):
        (watcher.root / "f").write_text(f"{number:02}")
        while watcher.mirror.nodes.get(str(watcher.root / "f"), none).content != b"%02d" % number:
            watcher.run(iter([False, True]).__next__, 0)
        (watcher.root / "f").write_text(f"{number + 1:02}")
        watcher.quiet(0.1)
        assert watcher.mirror.nodes == tree(watcher.root)


def test_it_returns_in_time_and_waits_without_work(watcher: MirroredWatch) -> None:
    begun, used = time.monotonic(), time.process_time()
    assert list(watcher.watch.changes(0.5)) == [None]
    assert 0.45 < time.monotonic() - begun < 1
    assert time.process_time() - used < 0.1


def test_after_an_overflow_everything_is_compared(watcher: MirroredWatch, tmp_path: Path) -> None:
    (watcher.root / "d").mkdir()
    for number in range(3):
        (watcher.root / "d" / str(number)).touch()
    watcher.quiet()
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    for number in range(limit // 2 + 10):
        (watcher.root / f"x{number % 2}").touch()
        (watcher.root / f"x{number % 2}").unlink()
    (watcher.root / "d" / "0").unlink()
    (watcher.root / "d" / "1").write_text("changed")
    (watcher.root / "d").rename(watcher.root / "e")
    (watcher.root / "new").touch()
    assert ("removed", "d/2") in watcher.told(2)
    assert watcher.mirror.nodes == tree(watcher.root)
    (watcher.root / "e").rename(tmp_path / "out")
    assert ("removed", "e") in watcher.told()


def test_a_watched_directory_that_goes_ends_it_in_one_line(root: Path, tmp_path: Path) -> None:
    with MirroredWatch(root, tmp_path / "ledger") as watcher:
        watcher.quiet(0.1)
        root.rename(tmp_path / "away")
        with pytest.raises(SarraError, match=r"root: .*removed or renamed"):
            watcher.quiet()
    with (
        MirroredWatch(root, tmp_path / "ledger") as watcher,
        pytest.raises(SarraError, match="root: "),
    ):
        watcher.quiet()
    assert (tmp_path / "away").exists()


def test_a_lost_root_announces_no_removal(tmp_path: Path) -> None:
    (tmp_path / "p" / "root").mkdir(parents=True)
    (tmp_path / "p" / "root" / "f").touch()
    with MirroredWatch(tmp_path / "p" / "root", tmp_path / "ledger") as watcher:
        watcher.quiet()
        (tmp_path / "p").rename(tmp_path / "q")
        with pytest.raises(SarraError, match="root: "):
            watcher.quiet()
        assert watcher.mirror.beneath(str(tmp_path / "p" / "root"))


def test_roots_may_overlap_and_be_links(tmp_path: Path) -> None:
    (tmp_path / "real" / "in").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "link" / "in" / "f").touch()
    roots = [str(tmp_path / "link"), str(tmp_path / "link" / "in") + "/"]
    with Ledger(tmp_path / "ledger") as ledger, Watcher(roots, ledger, 0) as watch:
        time.sleep(0.1)
        (tmp_path / "real" / "g").touch()
        found = [change.path for change in watch.changes(0.3) if change]
    assert sorted(found) == [str(tmp_path / "link" / name) for name in ("g", "in", "in/f")]


@pytest.mark.bound_by_modes
def test_a_directory_that_may_not_be_read_is_warned_of_and_read_when_it_may(
    watcher: MirroredWatch, caplog: pytest.LogCaptureFixture
) -> None:
    (watcher.root / "d").mkdir(mode=0)
    assert watcher.told() == [("changed", "d")]
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    (watcher.root / "d").chmod(0o700)
    (watcher.root / "d" / "f").touch()
    assert watcher.told() == [("changed", "d"), ("changed", "d/f")]


def test_too_many_watchers_are_refused_with_what_to_do(root: Path, tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with Ledger(tmp_path / "ledger") as ledger, Watcher([str(root)], ledger, 0):
        os.close(next_one := os.dup(0))
        resource.setrlimit(resource.RLIMIT_NOFILE, (next_one, hard))
        try:
            with (
                pytest.raises(ConfigError, match=r"fs\.inotify\.max_user_instances"),
                Watcher([str(root)], ledger, 0),
            ):
                pass
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_too_many_directories_are_refused_with_what_to_do(root: Path, tmp_path: Path) -> None:
    program = (
        "import sys, pathlib\n"
        "from sarra_lite.watch.ledger import Ledger; from sarra_lite.watch.watcher import Watcher\n"
        "pathlib.Path('/proc/sys/user/max_inotify_watches').write_text('3')\n"
        "with Ledger(pathlib.Path(sys.argv[1])) as l, Watcher([sys.argv[2]], l, 0) as watch:\n"
        "    list(watch.changes(5))\n"
    )
    if subprocess.run(["unshare", "-Ur", "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody make a user namespace")
    (root / "a/b/c/d/e").mkdir(parents=True)
    ended = subprocess.run(
        ["unshare", "-Ur", sys.executable, "-c", program, tmp_path / "ledger", root],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.stderr.splitlines()[-1].startswith("sarra_lite.errors.ConfigError: ")
    assert "fs.inotify.max_user_watches" in ended.stderr


class Vandal:
    """Does random things to a tree, from as few names that they meet often."""

    def __init__(self, root: Path, chance: random.Random) -> None:
        """Keep to the root, and to a directory beside it."""
        self.root = root
        self.chance = chance
        self.outside = root.parent / "outside"
        self.outside.mkdir(exist_ok=True)
        self.deeds = (
            *[self.write] * 4,
            *[self.append_slowly, self.replace, self.remove, self.rename, self.rename] * 2,
            *[self.make, self.remove_tree, self.link, self.hard_link, self.mode, self.move_out],
        )

    def some(self, depth: int = 4) -> Path:
        names = (self.chance.choice("abc") for _ in range(self.chance.randint(1, depth)))
        return self.root.joinpath(*names)

    def act(self, times: int) -> None:
        for _ in range(times):
            with contextlib.suppress(OSError):
                self.chance.choice(self.deeds)()
            if self.chance.random() < 0.2:
                time.sleep(self.chance.random() * 0.05)

    def write(self) -> None:
        self.some().write_bytes(self.chance.randbytes(self.chance.randint(0, 3)))

    def append_slowly(self) -> None:
        with self.some().open("ab", buffering=0) as file:
            for _ in range(3):
                file.write(b"+")
                time.sleep(self.chance.random() * 0.01)

    def replace(self) -> None:
        path = self.some()
        (path.parent / ".tmp").write_bytes(self.chance.randbytes(4))
        (path.parent / ".tmp").replace(path)

    def remove(self) -> None:
        self.some().unlink()

    def rename(self) -> None:
        self.some(3).rename(self.some(3))

    def make(self) -> None:
        self.some().mkdir(parents=True, exist_ok=True)
        self.some().write_bytes(b"made")

    def remove_tree(self) -> None:
        shutil.rmtree(self.some(2))

    def link(self) -> None:
        self.some().symlink_to(self.chance.choice("abc"))

    def hard_link(self) -> None:
        self.some().hardlink_to(self.some())

    def mode(self) -> None:
        self.some().chmod(self.chance.choice([0o700, 0o750, 0o755]))

    def move_out(self) -> None:
        away = self.outside / str(self.chance.randrange(3))
        if away.exists() or away.is_symlink():
            away.rename(self.some(2))
        else:
            self.some(2).rename(away)


@pytest.mark.parametrize("seed", range(6))
def test_whatever_happens_the_changes_make_the_same_tree(
    root: Path, tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    vandal = Vandal(root, chance)
    watcher = MirroredWatch(root, tmp_path / "ledger", chance=random.Random(seed))
    for _ in range(3):
        vandal.act(40)  # while nobody watches
        with watcher:
            with ThreadPoolExecutor() as pool:
                watcher.run(pool.submit(vandal.act, 250).done)
            if chance.random() < 0.5:
                continue  # stopped in the middle of it, much of it unconfirmed
            watcher.quiet(2 * PATIENCE)
            assert watcher.mirror.nodes == tree(root)
    with watcher:
        watcher.quiet(2 * PATIENCE)
        assert watcher.mirror.nodes == tree(root)

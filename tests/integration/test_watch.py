"""Watcher: the changes it yields make a copy equal to the watched tree, after any operation."""

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
from sarra_lite.watch.watcher import Watcher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sarra_lite.watch.diff import Change

SETTLE = 0.15  # seconds
SETTLE_IF_OPEN = 0.4  # seconds


class Node(NamedTuple):
    """One name in a tree; ``content`` is the target if it is a symbolic link."""

    kind: str
    mode: int
    content: bytes


def read_node(path: str) -> Node:
    mode = os.lstat(path).st_mode
    if stat.S_ISLNK(mode):
        return Node("link", 0, os.fsencode(os.readlink(path)))
    if stat.S_ISDIR(mode):
        return Node("directory", stat.S_IMODE(mode), b"")
    return Node("file", stat.S_IMODE(mode), Path(path).read_bytes())


def read_tree(root: Path) -> dict[str, Node]:
    nodes = {str(root): read_node(str(root))}
    for directory, directories, files in os.walk(root):
        for name in directories + files:
            nodes[f"{directory}/{name}"] = read_node(f"{directory}/{name}")
    return nodes


class Mirror:
    """A copy of the tree in memory; applies changes in order, and asserts that each is possible."""

    def __init__(self, root: Path) -> None:
        """Start empty."""
        self.nodes: dict[str, Node] = {}
        self.root = str(root)

    def apply(self, change: Change) -> None:
        """Apply a change; raise OSError, as sr_post would, if its name is gone or another kind."""
        if change.kind != "removed":
            node = read_node(change.path)
            if (node.kind == "directory") != change.is_dir:
                raise NotADirectoryError
        match change.kind:
            case "changed":
                self._change(change.path, node)
            case "removed":
                if self.nodes.get(change.path, Node("", 0, b"")).kind == "directory":
                    assert change.is_dir
                    assert not self.below(change.path)
                self.nodes.pop(change.path, None)
            case "renamed":
                assert change.old is not None
                self._rename(change.old, change.path)

    def _change(self, path: str, new: Node) -> None:
        if path != self.root:
            assert self.nodes[str(Path(path).parent)].kind == "directory"
        if (old := self.nodes.get(path)) is not None:
            assert (old.kind == "directory") == (new.kind == "directory")
        self.nodes[path] = new

    def _rename(self, old: str, path: str) -> None:
        assert old in self.nodes
        if self.nodes[old].kind == "directory":
            assert path not in self.nodes
        for name in [old, *self.below(old)]:
            self.nodes[path + name[len(old) :]] = self.nodes.pop(name)

    def below(self, path: str) -> list[str]:
        return [name for name in self.nodes if name.startswith(path + "/")]


def all_changes(watcher: Watcher, timeout: float) -> Iterator[Change]:
    """Yield changes until there is none for ``timeout`` seconds."""
    while first := next(changes := watcher.changes(timeout), None):
        yield first
        yield from changes


class MirroredWatcher:
    """A watcher and a mirror to which its changes are applied.

    Each change is confirmed at once, or with ``rng`` later and in random order.
    """

    def __init__(self, root: Path, ledger: Path, *, rng: random.Random | None = None) -> None:
        """Set the root and the ledger's file; the mirror survives a restart of the watcher."""
        self.root = root
        self._path = ledger
        self._rng = rng
        self._unconfirmed: list[Change] = []
        self.mirror = Mirror(root)

    def __enter__(self) -> Self:
        """Start the watcher."""
        self._stack = contextlib.ExitStack()
        self.ledger = self._stack.enter_context(Ledger(self._path))
        self.watcher = self._stack.enter_context(
            Watcher([str(self.root)], self.ledger, SETTLE, settle_if_open=SETTLE_IF_OPEN)
        )
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the watcher, without confirming what is unconfirmed."""
        self._unconfirmed.clear()
        self._stack.close()

    def apply_available(self, timeout: float = 0.05) -> list[Change]:
        """Apply changes until there is none for ``timeout`` seconds; return them."""
        changes = []
        for change in all_changes(self.watcher, timeout):
            changes.append(change)
            self._apply(change)
        return changes

    def apply_until(self, condition: Callable[[], bool]) -> list[Change]:
        """Apply changes until the condition is true; return them."""
        changes: list[Change] = []
        while not condition():
            changes += self.apply_available()
        return changes

    def apply_until_quiet(self, seconds: float = 0.35) -> list[Change]:
        """Apply changes until there is none for some seconds; return them."""
        last = time.monotonic()
        changes: list[Change] = []
        while time.monotonic() < last + seconds:
            if available := self.apply_available():
                last = time.monotonic()
            changes += available
        return changes

    def collect(self, seconds: float = 0.35) -> list[tuple[str, ...]]:
        """Apply changes until quiet; return kind, old name if renamed, and name below the root."""
        collected = []
        for change in self.apply_until_quiet(seconds):
            old = [] if change.old is None else [self._relative(change.old)]
            collected.append((change.kind, *old, self._relative(change.path)))
        return collected

    def _relative(self, path: str) -> str:
        return path[len(str(self.root)) + 1 :]

    def _apply(self, change: Change) -> None:
        try:
            self.mirror.apply(change)
        except OSError:
            self.ledger.mark_uncertain(change.token)
            return
        if self._rng is None:
            self.ledger.confirm(change.token)
            return
        self._unconfirmed.append(change)
        while self._unconfirmed and self._rng.random() < 0.8:
            number = self._rng.randrange(len(self._unconfirmed))
            self.ledger.confirm(self._unconfirmed.pop(number).token)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


@pytest.fixture
def mirrored(root: Path, tmp_path: Path) -> Iterator[MirroredWatcher]:
    with MirroredWatcher(root, tmp_path / "ledger") as mirrored:
        assert mirrored.collect(0.2) == [("changed", "")]
        yield mirrored


def test_a_file_is_announced_once_when_it_is_closed(mirrored: MirroredWatcher) -> None:
    with (mirrored.root / "f").open("wb", buffering=0) as file:
        for _ in range(3):
            file.write(b"part")
            assert mirrored.collect(SETTLE + 0.2) == []
    start = time.monotonic()
    changes = mirrored.apply_until(lambda: bool(mirrored.mirror.below(str(mirrored.root))))
    assert changes[0].kind == "changed"
    assert time.monotonic() - start < SETTLE
    assert mirrored.collect() == []


def test_a_file_moved_into_the_tree_is_announced_at_once(
    mirrored: MirroredWatcher, tmp_path: Path
) -> None:
    (tmp_path / "f").write_text("whole")
    (tmp_path / "f").rename(mirrored.root / "g")
    assert mirrored.collect() == [("changed", "g")]


def test_files_in_new_deep_directories_are_not_missed(mirrored: MirroredWatcher) -> None:
    for number in range(50):
        (mirrored.root / f"{number}/b/c").mkdir(parents=True)
        (mirrored.root / f"{number}/b/c/f").write_text("immediate")
    changes = mirrored.collect()
    assert len(changes) == len(set(changes)) == 200
    assert mirrored.mirror.nodes == read_tree(mirrored.root)


def test_a_directory_moved_in_or_out_is_announced_with_everything_below_it(
    mirrored: MirroredWatcher, tmp_path: Path
) -> None:
    (tmp_path / "d" / "e").mkdir(parents=True)
    (tmp_path / "d" / "e" / "f").touch()
    (tmp_path / "d").rename(mirrored.root / "d")
    assert mirrored.collect() == [("changed", "d"), ("changed", "d/e"), ("changed", "d/e/f")]
    (mirrored.root / "d").rename(tmp_path / "out")
    assert mirrored.collect() == [("removed", "d/e/f"), ("removed", "d/e"), ("removed", "d")]
    (tmp_path / "out" / "e" / "g").touch()
    assert mirrored.collect(0.3) == []


def test_hard_and_symbolic_links_are_announced(mirrored: MirroredWatcher, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("content")
    (mirrored.root / "hard").hardlink_to(tmp_path / "f")
    (mirrored.root / "soft").symlink_to("nowhere")
    assert mirrored.collect() == [("changed", "soft"), ("changed", "hard")]
    (mirrored.root / "soft").unlink()
    (mirrored.root / "soft").symlink_to("elsewhere")
    assert ("changed", "soft") in mirrored.collect()
    assert mirrored.mirror.nodes == read_tree(mirrored.root)


def test_a_hard_link_whose_other_name_is_removed_is_announced(
    mirrored: MirroredWatcher, tmp_path: Path
) -> None:
    (tmp_path / "f").write_text("content")
    (mirrored.root / "g").hardlink_to(tmp_path / "f")
    (tmp_path / "f").unlink()
    assert mirrored.collect(2 * SETTLE_IF_OPEN) == [("changed", "g")]


def test_a_file_with_several_hard_links_is_announced_under_each_name(
    mirrored: MirroredWatcher,
) -> None:
    (mirrored.root / "f").write_text("content")
    (mirrored.root / "g").hardlink_to(mirrored.root / "f")
    mirrored.apply_until_quiet()
    (mirrored.root / "g").write_text("changed")
    assert sorted(mirrored.collect()) == [("changed", "f"), ("changed", "g")]
    (mirrored.root / "f").chmod(0o600)
    assert sorted(mirrored.collect()) == [("changed", "f"), ("changed", "g")]
    (mirrored.root / "f").unlink()
    assert mirrored.collect() == [("removed", "f")]


def test_a_changed_mode_or_mtime_is_announced_and_an_unchanged_one_is_not(
    mirrored: MirroredWatcher,
) -> None:
    (mirrored.root / "f").write_text("content")
    assert mirrored.collect() == [("changed", "f")]
    (mirrored.root / "f").chmod(0o600)
    assert mirrored.collect() == [("changed", "f")]
    os.utime(mirrored.root / "f", (1, 1))
    assert mirrored.collect() == [("changed", "f")]
    os.utime(mirrored.root / "f", (2, 1))
    (mirrored.root / "f").open("ab").close()
    assert mirrored.collect() == []
    mirrored.root.chmod(0o750)
    assert mirrored.collect() == [("changed", "")]


def test_a_rename_is_one_change_if_the_version_was_announced(
    mirrored: MirroredWatcher,
) -> None:
    (mirrored.root / "f").write_text("content")
    mirrored.apply_until_quiet()
    (mirrored.root / "f").rename(mirrored.root / "g")
    assert mirrored.collect() == [("renamed", "f", "g")]
    with (mirrored.root / "g").open("ab", buffering=0) as file:
        file.write(b"more")
        (mirrored.root / "g").rename(mirrored.root / "h")
    assert mirrored.collect() == [("removed", "g"), ("changed", "h")]


@pytest.mark.parametrize("name", [".f.Xa3b9Q", "f.part", "f.crdownload", "f~", ".f.swp"])
def test_a_temporary_name_is_not_announced_until_it_is_renamed(
    mirrored: MirroredWatcher, name: str
) -> None:
    (mirrored.root / name).write_text("content")
    assert mirrored.collect() == []
    (mirrored.root / name).rename(mirrored.root / "f")
    assert mirrored.collect() == [("changed", "f")]
    (mirrored.root / "f").rename(mirrored.root / name)
    assert mirrored.collect() == [("removed", "f")]


def test_a_renamed_directory_stays_watched_and_what_is_below_it_is_announced_again(
    mirrored: MirroredWatcher,
) -> None:
    (mirrored.root / "d/e").mkdir(parents=True)
    (mirrored.root / "d/e/f").write_text("content")
    mirrored.apply_until_quiet()
    (mirrored.root / "d").rename(mirrored.root / "new")
    below = [("changed", "new/e"), ("changed", "new/e/f")]
    assert mirrored.collect() == [("renamed", "d", "new"), *below]
    (mirrored.root / "new/e/g").write_text("content")
    (mirrored.root / "new/e/f").unlink()
    assert sorted(mirrored.collect()) == [("changed", "new/e/g"), ("removed", "new/e/f")]


def test_only_announced_names_are_removed(mirrored: MirroredWatcher) -> None:
    (mirrored.root / "f").touch()
    (mirrored.root / "f").unlink()
    assert mirrored.collect() == []
    (mirrored.root / "d/e").mkdir(parents=True)
    (mirrored.root / "d/f").touch()
    mirrored.apply_until_quiet()
    shutil.rmtree(mirrored.root / "d")
    removed = mirrored.collect()
    assert set(removed) == {("removed", "d/e"), ("removed", "d/f"), ("removed", "d")}
    assert removed[-1] == ("removed", "d")


def test_a_file_replaced_by_a_directory_or_the_reverse_is_removed_first(
    mirrored: MirroredWatcher,
) -> None:
    (mirrored.root / "f").touch()
    mirrored.apply_until_quiet()
    (mirrored.root / "f").unlink()
    (mirrored.root / "f").mkdir()
    (mirrored.root / "f" / "in").touch()
    assert mirrored.collect() == [("removed", "f"), ("changed", "f"), ("changed", "f/in")]
    shutil.rmtree(mirrored.root / "f")
    (mirrored.root / "f").symlink_to("..")
    changes = mirrored.collect()
    assert changes == [("removed", "f/in"), ("removed", "f"), ("changed", "f")]


def test_names_with_any_bytes_are_announced(mirrored: MirroredWatcher) -> None:
    name = os.fsdecode(b"\xff\n\xc3")
    (mirrored.root / name).touch()
    assert mirrored.collect() == [("changed", name)]
    (mirrored.root / name).rename(mirrored.root / (name + "2"))
    assert mirrored.collect() == [("renamed", name, name + "2")]


def test_only_the_changes_since_the_last_run_are_announced(root: Path, tmp_path: Path) -> None:
    mirrored = MirroredWatcher(root, tmp_path / "ledger")
    for name in ("same", "changed", "removed", "d/removed", "d/same"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).touch()
    with mirrored:
        assert len(mirrored.collect()) == 7
    with mirrored:
        assert mirrored.collect() == []
    (root / "changed").write_text("now")
    (root / "removed").unlink()
    (root / "d/removed").unlink()
    (root / "new").touch()
    with mirrored:
        changes = mirrored.collect()
    expected = [("changed", "changed"), ("changed", "new"), ("removed", "d/removed")]
    assert sorted(changes) == [*expected, ("removed", "removed")]


def test_an_old_file_is_announced_at_once_and_a_growing_one_when_it_settles(
    root: Path, tmp_path: Path
) -> None:
    (root / "old").touch()
    time.sleep(SETTLE)
    with (root / "growing").open("wb", buffering=0) as file:
        file.write(b"part")
        with MirroredWatcher(root, tmp_path / "ledger") as mirrored:
            start = time.monotonic()
            while time.monotonic() < start + 2 * SETTLE:
                file.write(b"part")
                mirrored.apply_available()
            assert set(mirrored.mirror.nodes) == {str(root), str(root / "old")}
            assert mirrored.collect() == [("changed", "growing")]


def test_a_change_neither_done_nor_failed_is_found_again_by_the_next_run(
    root: Path, tmp_path: Path
) -> None:
    (root / "f").touch()
    (root / "g").touch()
    for _ in range(2):
        with Ledger(tmp_path / "ledger") as ledger, Watcher([str(root)], ledger, 0) as watcher:
            time.sleep(0.1)
            assert len(list(all_changes(watcher, 0.2))) == 3
    (root / "g").unlink()
    with MirroredWatcher(root, tmp_path / "ledger") as mirrored:
        assert mirrored.collect() == [("changed", ""), ("changed", "f"), ("removed", "g")]


def test_the_removal_of_an_unconfirmed_file_is_announced(root: Path, tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger") as ledger, Watcher([str(root)], ledger, 0) as watcher:
        (root / "f").touch()
        time.sleep(0.1)
        kinds = [change.kind for change in all_changes(watcher, 0.2)]
        (root / "f").unlink()
        kinds += [change.kind for change in all_changes(watcher, 0.2)]
    assert kinds == ["changed", "changed", "removed"]


def test_a_failed_rename_is_announced_name_by_name(root: Path, tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger") as ledger, Watcher([str(root)], ledger, 0) as watcher:
        (root / "f").touch()
        time.sleep(0.1)
        for change in all_changes(watcher, 0.2):
            ledger.confirm(change.token)
        (root / "f").rename(root / "g")
        changes = []
        for change in all_changes(watcher, 0.2):
            changes.append((change.kind, Path(change.path).name))
            if change.kind == "renamed":
                ledger.mark_uncertain(change.token)
    assert changes == [("renamed", "g"), ("removed", "f"), ("changed", "g")]


def test_two_versions_written_in_quick_succession_are_both_announced(
    mirrored: MirroredWatcher,
) -> None:
    missing = Node("", 0, b"")
    for number in range(0, 40, 2):
        (mirrored.root / "f").write_text(f"{number:02}")
        while (
            mirrored.mirror.nodes.get(str(mirrored.root / "f"), missing).content != b"%02d" % number
        ):
            mirrored.apply_available(0)
        (mirrored.root / "f").write_text(f"{number + 1:02}")
        mirrored.apply_until_quiet(0.1)
        assert mirrored.mirror.nodes == read_tree(mirrored.root)


def test_changes_returns_in_time_and_waits_without_using_the_processor(
    mirrored: MirroredWatcher,
) -> None:
    start, used = time.monotonic(), time.process_time()
    assert list(mirrored.watcher.changes(0.5)) == []
    assert 0.45 < time.monotonic() - start < 1
    assert time.process_time() - used < 0.1


def overflow(root: Path) -> None:
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    for number in range(limit // 2 + 10):
        (root / f"x{number % 2}").touch()
        (root / f"x{number % 2}").unlink()


def test_a_file_whose_close_was_dropped_by_an_overflow_is_announced(
    mirrored: MirroredWatcher,
) -> None:
    with (mirrored.root / "f").open("wb", buffering=0) as file:
        file.write(b"part")
        assert mirrored.apply_available() == []
        overflow(mirrored.root)
        file.write(b"more")
    (change,) = mirrored.apply_until(lambda: bool(mirrored.mirror.below(str(mirrored.root))))
    assert change.path == str(mirrored.root / "f")


def test_after_an_overflow_everything_is_compared(
    mirrored: MirroredWatcher, tmp_path: Path
) -> None:
    (mirrored.root / "d").mkdir()
    for number in range(3):
        (mirrored.root / "d" / str(number)).touch()
    mirrored.apply_until_quiet()
    overflow(mirrored.root)
    (mirrored.root / "d" / "0").unlink()
    (mirrored.root / "d" / "1").write_text("changed")
    (mirrored.root / "d").rename(mirrored.root / "e")
    (mirrored.root / "new").touch()
    assert ("removed", "d/2") in mirrored.collect(2)
    assert mirrored.mirror.nodes == read_tree(mirrored.root)
    (mirrored.root / "e").rename(tmp_path / "out")
    assert ("removed", "e") in mirrored.collect()


def test_a_removed_root_raises_an_error(root: Path, tmp_path: Path) -> None:
    with MirroredWatcher(root, tmp_path / "ledger") as mirrored:
        mirrored.apply_until_quiet(0.1)
        root.rename(tmp_path / "away")
        with pytest.raises(SarraError, match=r"root: .*removed or renamed"):
            mirrored.apply_until_quiet()
    with (
        MirroredWatcher(root, tmp_path / "ledger") as mirrored,
        pytest.raises(SarraError, match="root: "),
    ):
        mirrored.apply_until_quiet()
    assert (tmp_path / "away").exists()


def test_a_root_whose_parent_is_renamed_announces_no_removal(tmp_path: Path) -> None:
    (tmp_path / "p" / "root").mkdir(parents=True)
    (tmp_path / "p" / "root" / "f").touch()
    with MirroredWatcher(tmp_path / "p" / "root", tmp_path / "ledger") as mirrored:
        mirrored.apply_until_quiet()
        (tmp_path / "p").rename(tmp_path / "q")
        with pytest.raises(SarraError, match="root: "):
            mirrored.apply_until_quiet()
        assert mirrored.mirror.below(str(tmp_path / "p" / "root"))


def test_roots_may_overlap_and_be_symbolic_links(tmp_path: Path) -> None:
    (tmp_path / "real" / "in").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "link" / "in" / "f").touch()
    roots = [str(tmp_path / "link"), str(tmp_path / "link" / "in") + "/"]
    with Ledger(tmp_path / "ledger") as ledger, Watcher(roots, ledger, 0) as watcher:
        time.sleep(0.1)
        (tmp_path / "real" / "g").touch()
        paths = [change.path for change in all_changes(watcher, 0.3)]
    assert sorted(paths) == [str(tmp_path / "link" / name) for name in ("g", "in", "in/f")]


@pytest.mark.bound_by_modes
def test_an_unreadable_directory_is_warned_of_and_read_when_it_becomes_readable(
    mirrored: MirroredWatcher, caplog: pytest.LogCaptureFixture
) -> None:
    (mirrored.root / "d").mkdir(mode=0)
    assert mirrored.collect() == [("changed", "d")]
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    (mirrored.root / "d").chmod(0o700)
    (mirrored.root / "d" / "f").touch()
    assert mirrored.collect() == [("changed", "d"), ("changed", "d/f")]


def test_at_the_limit_of_watchers_the_error_names_the_setting(root: Path, tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with Ledger(tmp_path / "ledger") as ledger, Watcher([str(root)], ledger, 0):
        os.close(next_descriptor := os.dup(0))
        resource.setrlimit(resource.RLIMIT_NOFILE, (next_descriptor, hard))
        try:
            with (
                pytest.raises(ConfigError, match=r"fs\.inotify\.max_user_instances"),
                Watcher([str(root)], ledger, 0),
            ):
                pass
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_at_the_limit_of_watches_the_error_names_the_setting(root: Path, tmp_path: Path) -> None:
    program = (
        "import sys, pathlib\n"
        "from sarra_lite.watch.ledger import Ledger; from sarra_lite.watch.watcher import Watcher\n"
        "pathlib.Path('/proc/sys/user/max_inotify_watches').write_text('3')\n"
        "with Ledger(pathlib.Path(sys.argv[1])) as ledger, "
        "Watcher([sys.argv[2]], ledger, 0) as watcher:\n"
        "    while list(watcher.changes(5)): pass\n"
    )
    if subprocess.run(["unshare", "-Ur", "true"], capture_output=True, check=False).returncode:
        pytest.skip("user namespaces are not permitted on this machine")
    (root / "a/b/c/d/e").mkdir(parents=True)
    done = subprocess.run(
        ["unshare", "-Ur", sys.executable, "-c", program, tmp_path / "ledger", root],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr.splitlines()[-1].startswith("sarra_lite.errors.ConfigError: ")
    assert "fs.inotify.max_user_watches" in done.stderr


class RandomChanger:
    """Performs random operations in a tree, on so few names that they often affect each other."""

    def __init__(self, root: Path, rng: random.Random) -> None:
        """Use the root, and a directory beside it for names that are moved out."""
        self.root = root
        self.rng = rng
        self.outside = root.parent / "outside"
        self.outside.mkdir(exist_ok=True)
        self.operations = (
            *[self.write] * 4,
            *[self.append_slowly, self.replace, self.remove, self.rename, self.rename] * 2,
            *[
                self.make_directory,
                self.remove_tree,
                self.symlink,
                self.hard_link,
                self.change_mode,
                self.move_out,
            ],
        )

    def random_path(self, depth: int = 4) -> Path:
        names = (self.rng.choice("abc") for _ in range(self.rng.randint(1, depth)))
        return self.root.joinpath(*names)

    def run(self, times: int) -> None:
        for _ in range(times):
            with contextlib.suppress(OSError):
                self.rng.choice(self.operations)()
            if self.rng.random() < 0.2:
                time.sleep(self.rng.random() * 0.05)

    def write(self) -> None:
        self.random_path().write_bytes(self.rng.randbytes(self.rng.randint(0, 3)))

    def append_slowly(self) -> None:
        with self.random_path().open("ab", buffering=0) as file:
            for _ in range(3):
                file.write(b"+")
                time.sleep(self.rng.random() * 0.01)

    def replace(self) -> None:
        path = self.random_path()
        (path.parent / ".tmp").write_bytes(self.rng.randbytes(4))
        (path.parent / ".tmp").replace(path)

    def remove(self) -> None:
        self.random_path().unlink()

    def rename(self) -> None:
        self.random_path(3).rename(self.random_path(3))

    def make_directory(self) -> None:
        self.random_path().mkdir(parents=True, exist_ok=True)
        self.random_path().write_bytes(b"made")

    def remove_tree(self) -> None:
        shutil.rmtree(self.random_path(2))

    def symlink(self) -> None:
        self.random_path().symlink_to(self.rng.choice("abc"))

    def hard_link(self) -> None:
        self.random_path().hardlink_to(self.random_path())

    def change_mode(self) -> None:
        self.random_path().chmod(self.rng.choice([0o700, 0o750, 0o755]))

    def move_out(self) -> None:
        away = self.outside / str(self.rng.randrange(3))
        if away.exists() or away.is_symlink():
            away.rename(self.random_path(2))
        else:
            self.random_path(2).rename(away)


@pytest.mark.parametrize("seed", range(6))
def test_after_random_operations_the_mirror_equals_the_tree(
    root: Path, tmp_path: Path, seed: int
) -> None:
    rng = random.Random(seed)
    changer = RandomChanger(root, rng)
    mirrored = MirroredWatcher(root, tmp_path / "ledger", rng=random.Random(seed))
    for _ in range(3):
        changer.run(40)  # while no watcher runs
        with mirrored:
            with ThreadPoolExecutor() as pool:
                mirrored.apply_until(pool.submit(changer.run, 250).done)
            if rng.random() < 0.5:
                continue  # stop early, with many changes unconfirmed
            mirrored.apply_until_quiet(2 * SETTLE_IF_OPEN)
            assert mirrored.mirror.nodes == read_tree(root)
    with mirrored:
        mirrored.apply_until_quiet(2 * SETTLE_IF_OPEN)
        assert mirrored.mirror.nodes == read_tree(root)

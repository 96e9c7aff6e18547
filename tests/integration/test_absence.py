"""sr_post --watch does not take for removed what is only absent: real file systems, mounted."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sarra_lite.errors import ConfigError
from sarra_lite.watch.ledger import Ledger
from sarra_lite.watch.removals import Ceiling
from sarra_lite.watch.watcher import Watcher
from tests.lab.disks import small_disk
from tests.lab.site import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

CEILING = Ceiling(1000, 50)


def mounted(directory: Path) -> AbstractContextManager[Path]:
    """Have a file system of its own on a directory."""
    return small_disk(directory, 1_000_000)


@contextmanager
def watching(
    ledger_file: Path, root: Path, ceiling: Ceiling | None = CEILING
) -> Iterator[Callable[..., list[tuple[str, str]]]]:
    """Start to watch as sr_post does; the value collects the changes until no more come."""
    with (
        Ledger(ledger_file) as ledger,
        Watcher([str(root)], ledger, 0, settle_if_open=0, ceiling=ceiling) as watcher,
    ):

        def collect(*, confirm: bool = True) -> list[tuple[str, str]]:
            found: list[tuple[str, str]] = []
            while True:
                before = len(found)
                for change in watcher.changes(0.5):
                    found.append((change.kind, change.path))
                    if confirm:
                        ledger.confirm(change.token)
                if len(found) == before:
                    return found

        yield collect


def changes(
    ledger_file: Path, root: Path, ceiling: Ceiling | None = CEILING
) -> list[tuple[str, str]]:
    """Return the changes that sr_post announces at its start, all confirmed."""
    with watching(ledger_file, root, ceiling) as collect:
        return collect()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


def fill(directory: Path, count: int) -> None:
    for number in range(count):
        (directory / f"f{number}").write_text("content")


def test_a_root_that_is_not_mounted_removes_nothing(root: Path, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    with mounted(root):
        fill(root, 3)
        assert len(changes(ledger, root)) == 4
    (root / "left behind").write_text("beneath the mount point")
    with pytest.raises(ConfigError, match=r"root.*mount its file system.*--accept-removals"):
        changes(ledger, root)


def test_a_mount_point_below_the_root_that_is_not_mounted_removes_nothing(
    root: Path, tmp_path: Path
) -> None:
    ledger, below = tmp_path / "ledger", root / "disk"
    below.mkdir()
    fill(root, 2)
    with mounted(below):
        fill(below, 3)
        assert len(changes(ledger, root)) == 7
    with pytest.raises(ConfigError, match=r"disk.*mount its file system"):
        changes(ledger, root)
    # What else changes is announced first, and nothing of this is a removal.
    (root / "new").write_text("content")
    with mounted(below):
        fill(below, 3)
        assert "removed" not in dict(changes(ledger, root))


def test_a_file_system_mounted_over_announced_files_removes_nothing(
    root: Path, tmp_path: Path
) -> None:
    ledger, below = tmp_path / "ledger", root / "plain"
    below.mkdir()
    fill(below, 3)
    changes(ledger, root)
    with mounted(below), pytest.raises(ConfigError, match=r"plain.*not the directory"):
        changes(ledger, root)
    assert "removed" not in dict(changes(ledger, root))


def test_an_empty_root_removes_nothing(root: Path, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    fill(root, 3)
    changes(ledger, root)
    for path in root.iterdir():
        path.unlink()
    with pytest.raises(ConfigError, match="empty, and 3 names in it were announced"):
        changes(ledger, root)


@pytest.mark.parametrize(
    ("files", "removed", "ceiling"), [(120, 70, Ceiling(1000, 50)), (20, 11, Ceiling(10, 100))]
)
def test_more_removals_than_the_ceiling_are_asked_about_and_announced_when_told(
    root: Path, tmp_path: Path, files: int, removed: int, ceiling: Ceiling
) -> None:
    ledger = tmp_path / "ledger"
    fill(root, files)
    changes(ledger, root)
    for number in range(removed):
        (root / f"f{number}").unlink()
    with pytest.raises(ConfigError, match=f"{removed} of {files} announced names are missing"):
        changes(ledger, root, ceiling=ceiling)
    found = changes(ledger, root, ceiling=None)
    assert [kind for kind, _ in found].count("removed") == removed


def test_a_few_removals_are_announced(root: Path, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    fill(root, 3)
    changes(ledger, root)
    (root / "f0").unlink()
    assert ("removed", str(root / "f0")) in changes(ledger, root)


def test_the_same_file_system_on_another_device_is_the_same(root: Path, tmp_path: Path) -> None:
    """As after a reboot: the root directory of a file system has the same inode again."""
    ledger = tmp_path / "ledger"
    for _ in range(2):
        with mounted(root):
            fill(root, 2)
            assert "removed" not in dict(changes(ledger, root))


def overflow(directory: Path) -> None:
    """Cause more events than the kernel keeps."""
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    for number in range(limit // 2 + 10):
        (directory / f"x{number % 2}").touch()
        (directory / f"x{number % 2}").unlink()


def test_after_an_overflow_the_removals_seen_meanwhile_are_announced_however_many(
    root: Path, tmp_path: Path
) -> None:
    """As after rm -rf of a large tree: a process watched, so what is missing was removed."""
    fill(root, 120)
    with watching(tmp_path / "ledger", root) as collect:
        collect()
        overflow(root)
        for path in root.iterdir():
            path.unlink()
        found: list[str] = []

        def all_found() -> bool:
            found.extend(kind for kind, _ in collect())
            return len(found) >= 120

        wait_until(all_found)  # a turn may end among the many events before the overflow
        assert found.count("removed") == 120


def test_after_an_overflow_what_is_not_mounted_any_more_is_not_removed(
    root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    below = root / "disk"
    below.mkdir()
    with watching(tmp_path / "ledger", root) as collect:
        with mounted(below):
            fill(below, 3)
            collect()
            overflow(root)
            # The mount point is recorded when everything is listed again.
            wait_until(lambda: collect() == [] and "listing everything again" in caplog.text)
            overflow(root)
        with pytest.raises(ConfigError, match=r"disk.*mount its file system"):
            wait_until(lambda: collect() != [])


def test_removals_that_an_earlier_run_announced_do_not_count_at_the_start(
    root: Path, tmp_path: Path
) -> None:
    """They are announced again: perhaps the broker did not get them."""
    ledger = tmp_path / "ledger"
    fill(root, 120)
    with watching(ledger, root) as collect:
        collect()
        for path in root.iterdir():
            path.unlink()
        assert len(collect(confirm=False)) == 120
    assert [kind for kind, _ in changes(ledger, root)].count("removed") == 120
    assert changes(ledger, root) == []

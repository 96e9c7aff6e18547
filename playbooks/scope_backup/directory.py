"""The directory of backups: one directory each, whole as soon as it has a manifest."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from playbooks.scope_backup.sealing import BackupError, digest, sum_of

if TYPE_CHECKING:
    from collections.abc import Iterator

MANIFEST: Final = "manifest.json"
RUNNING: Final = ".running"
FORMAT: Final = 1
_NAME: Final = "%Y%m%dT%H%M%SZ"
_ABANDONED: Final = 86400.0  # seconds, of a backup that another machine has begun


def begin(backups: Path) -> Path:
    """Remove what runs that were killed have left, and return a new, empty directory."""
    backups.mkdir(mode=0o700, parents=True, exist_ok=True)
    for left in _directories(backups):
        if not (left / MANIFEST).exists() and not _is_being_written(left):
            shutil.rmtree(left, ignore_errors=True)
    while True:
        new = backups / datetime.now(UTC).strftime(_NAME)
        with contextlib.suppress(FileExistsError):  # of a run that began in the same second
            new.mkdir(mode=0o700)
            (new / RUNNING).write_text(json.dumps(_run()))
            return new
        time.sleep(0.2)


def finish(directory: Path, about: dict[str, Any], expected: list[list[str]]) -> list[str]:
    """Read all files again, compare them with what was written, and write the manifest last.

    ``expected`` has the names of files, one of each list must be there; return those that are not.
    Raise BackupError if a file is not as it was written.
    """
    for path in directory.glob("*.age"):
        if not sum_of(path).exists():
            path.unlink()  # what wrote it has failed
    files = {path.name: _checked(path) for path in sorted(directory.glob("*.age"))}
    missing = [" or ".join(names) for names in expected if not files.keys() & set(names)]
    known = {"format": FORMAT, "made": directory.name, **about, "missing": missing, "files": files}
    text = json.dumps(known, indent=1)
    new = directory / f".{MANIFEST}"
    with new.open("w") as file:
        file.write(f"{text}\n")
        file.flush()
        os.fsync(file.fileno())
    new.replace(directory / MANIFEST)
    for place in (directory, directory.parent):
        _to_disk(place)
    for path in [*directory.glob("*.sum"), directory / RUNNING]:
        path.unlink(missing_ok=True)
    return missing


def manifest(directory: Path) -> dict[str, Any]:
    """Return the manifest of a backup whose files are as it says; raise BackupError otherwise."""
    try:
        known: dict[str, Any] = json.loads((directory / MANIFEST).read_text())
        files = {str(name): dict(file) for name, file in known["files"].items()}
        if known["format"] != FORMAT:
            raise BackupError(f"{directory}: is of format {known['format']}, this reads {FORMAT}")
    except FileNotFoundError:
        raise BackupError(f"{directory}: is no backup: it has no {MANIFEST}") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BackupError(f"{directory / MANIFEST}: cannot be read: {error}") from None
    wrong = list(_wrong(directory, files))
    if wrong:
        raise BackupError(f"{directory}: is refused: {'; '.join(wrong)}")
    return known


def prune(backups: Path, keep: int) -> list[str]:
    """Remove the oldest whole backups but ``keep``; return their names."""
    whole = [path for path in _directories(backups) if (path / MANIFEST).exists()]
    old = whole[: max(0, len(whole) - max(1, keep))]
    for path in old:
        # Without it, the rest is no backup, whenever this is killed.
        (path / MANIFEST).unlink(missing_ok=True)
        shutil.rmtree(path, ignore_errors=True)
    return [path.name for path in old]


def _checked(path: Path) -> dict[str, Any]:
    """Return SHA-256 and size of a file that is as it was written."""
    written, found = sum_of(path).read_text(), digest(path)
    if found != written:
        raise BackupError(f"{path.name} is on the disk with SHA-256 {found}, written was {written}")
    return {"sha256": found, "bytes": path.stat().st_size}


def _wrong(directory: Path, files: dict[str, dict[str, Any]]) -> Iterator[str]:
    for name, file in sorted(files.items()):
        path = directory / name
        if Path(name).name != name or not path.is_file():
            yield f"{name} is not there"
            continue
        try:
            if digest(path) != file.get("sha256"):
                yield f"{name} has another SHA-256 than in {MANIFEST}"
        except BackupError as error:
            yield str(error)
    for path in sorted(directory.glob("*.age")):
        if path.name not in files:
            yield f"{path.name} is not in {MANIFEST}"


def _directories(backups: Path) -> list[Path]:
    """Return the directories that this program has made, the oldest first."""
    found = []
    for path in sorted(backups.iterdir()):
        with contextlib.suppress(ValueError):
            datetime.strptime(path.name, _NAME).replace(tzinfo=UTC)
            found.append(path)
    return [path for path in found if path.is_dir() and not path.is_symlink()]


def _run() -> dict[str, Any]:
    """Return what names the run of Ansible that has started this program."""
    pid, found = os.getppid(), 0
    while pid > 1:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
        if any(Path(word).name.startswith("ansible") for word in words[:3]):
            found = pid
        pid = int(_stat(pid)[1])
    pid = found or os.getppid()
    return {"host": platform.node(), "pid": pid, "started": _stat(pid)[19]}


def _stat(pid: int) -> list[str]:
    """Return the fields of a process from its state on: the second is its parent."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _is_being_written(directory: Path) -> bool:
    try:
        run = json.loads((directory / RUNNING).read_text())
        if run["host"] != platform.node():
            return time.time() - (directory / RUNNING).stat().st_mtime < _ABANDONED
        return _stat(int(run["pid"]))[19] == str(run["started"])
    except FileNotFoundError:
        # Of a run that began this moment: the directory is made before the file.
        return _is_new(directory)
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return False


def _is_new(directory: Path) -> bool:
    with contextlib.suppress(OSError):
        return not (directory / RUNNING).exists() and time.time() - directory.stat().st_mtime < 1
    return False


def _to_disk(directory: Path) -> None:
    opened = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)

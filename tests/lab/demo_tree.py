"""The tree that the demo sends, and the comparison of source and destination."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple

from tests.lab import LabError

MIB: Final = 1024 * 1024
GIB: Final = 1024 * MIB
BIG: Final = "big.bin"
BIG_SIZE: Final = GIB
SMALL_FILES: Final = 200
NEEDED: Final = 2.5  # GiB: the tree twice, and the files of the broker

# Names with unusual characters, and the modes that must arrive unchanged.
NAMED: Final = {
    "climate model/run 1, übersicht.txt": 0o644,
    "climate model/Größe & façade (copy).nc": 0o640,
    "climate model/海洋データ.nc": 0o600,
    "climate model/start.sh": 0o755,
    "empty.txt": 0o444,
}
LINK: Final = "latest"
LINK_TARGET: Final = "climate model/海洋データ.nc"
_MTIME: Final = 1_700_000_000  # long ago, so that a wrong mtime would be noticed


class Diff(NamedTuple):
    """The numbers of what was compared; ``differences`` has a line for each differing name."""

    files: int
    directories: int
    links: int
    bytes: int
    differences: list[str]


def roomy_directory() -> Path:
    """Return a directory for temporary files with enough space; raise LabError without one."""
    candidates = dict.fromkeys([tempfile.gettempdir(), "/var/tmp"])  # noqa: S108  made unique inside
    free = {name: shutil.disk_usage(name).free / GIB for name in candidates if Path(name).is_dir()}
    for name, size in free.items():
        if size >= NEEDED:
            return Path(name)
    sizes = ", ".join(f"{size:.1f} in {name}" for name, size in free.items())
    raise LabError(
        f"the demo needs {NEEDED} GiB of temporary space; there is {sizes}."
        " Do: TMPDIR=/another/directory make demo"
    )


def make(root: Path) -> None:
    """Write the files to send."""
    small = root / "small files"
    small.mkdir()
    for number in range(SMALL_FILES):
        (small / f"note {number:03}.txt").write_text(f"note {number}\n" * (number + 1))
    for name, mode in NAMED.items():
        path = root / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"" if name.startswith("empty") else os.urandom(len(name) * 1000))
        path.chmod(mode)
        os.utime(path, (_MTIME, _MTIME))
    (root / "climate model").chmod(0o750)
    (root / LINK).symlink_to(LINK_TARGET)
    _make_big(root / BIG)


def _make_big(path: Path) -> None:
    """Write a file in which no two MiB are equal, so that swapped blocks would be noticed."""
    noise = os.urandom(MIB)
    with path.open("wb") as file:
        for number in range(BIG_SIZE // MIB):
            file.write(noise[number:] + noise[:number])


def compare(source: Path, dest: Path) -> Diff:
    """Compare names, types, content, modes, modification times and targets of links."""
    with ThreadPoolExecutor(2) as pool:
        sent, arrived = pool.map(_properties, (source, dest))
    differences = [
        f"{name}: {sent.get(name, 'nothing')} sent, {arrived.get(name, 'nothing')} arrived"
        for name in sorted(sent.keys() | arrived.keys())
        if sent.get(name) != arrived.get(name)
    ]
    kinds = [properties[0] for properties in sent.values()]
    return Diff(
        files=kinds.count("file"),
        directories=kinds.count("directory"),
        links=kinds.count("link"),
        bytes=sum(path.stat().st_size for path in source.rglob("*") if path.is_file()),
        differences=differences,
    )


def _properties(root: Path) -> dict[str, tuple[str, ...]]:
    """Return the properties of each name below a directory."""
    return {str(path.relative_to(root)): _properties_of(path) for path in root.rglob("*")}


def _properties_of(path: Path) -> tuple[str, ...]:
    status = path.lstat()
    mode = f"{stat.S_IMODE(status.st_mode):o}"
    if stat.S_ISLNK(status.st_mode):
        return ("link", str(path.readlink()))
    if stat.S_ISDIR(status.st_mode):
        return ("directory", mode)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    # SFTP version 3, which all servers implement, has times in whole seconds.
    return ("file", mode, f"{int(status.st_mtime)}", f"{status.st_size} bytes", digest)

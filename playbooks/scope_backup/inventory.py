"""The inventory's secrets and accounts file: packed, compared with those of now, put back."""

from __future__ import annotations

import io
import os
import tarfile
import tempfile
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

import yaml

from playbooks.scope_backup.sealing import BackupError

if TYPE_CHECKING:
    from collections.abc import Iterator

_PASSWORDS: Final = "scope_broker_passwords"
_ENCRYPTED: Final = b"$ANSIBLE_VAULT"
File = tuple[bytes, int]  # content and mode


@dataclass(frozen=True)
class Places:
    """Where an inventory has its secrets; ``left``: patterns of names that are not of them."""

    secrets: Path
    passwords: Path
    accounts: Path
    left: tuple[str, ...] = ()

    def path(self, name: str) -> Path:
        """Return the path of a file by its name in a backup."""
        parts = PurePosixPath(name).parts
        if parts == ("passwords",):
            return self.passwords
        if parts == ("accounts",):
            return self.accounts
        if parts[:1] == ("secrets",) and len(parts) > 1 and ".." not in parts:
            return self.secrets.joinpath(*parts[1:])
        raise BackupError(f"{name!r} is not a file of an inventory")

    def files(self) -> dict[str, File]:
        """Return the files of now by their names in a backup."""
        found = {"passwords": self.passwords, "accounts": self.accounts}
        for path in sorted(self.secrets.rglob("*")):
            below = path.relative_to(self.secrets)
            kept = ".before-" in path.name  # by a restore, beside what it has put back
            if path.is_file() and not kept and not self._is_left(below):
                found[f"secrets/{below.as_posix()}"] = path
        return {name: _read(path) for name, path in found.items() if path.is_file()}

    def _is_left(self, below: Path) -> bool:
        names = [below.as_posix(), *(parent.as_posix() for parent in below.parents)]
        return any(fnmatch(name, pattern) for name in names for pattern in self.left)


def packed(places: Places) -> bytes:
    """Return the files of now as a tar archive; raise BackupError if there is no passwords file."""
    files = places.files()
    for name in ("passwords", "accounts"):
        if name not in files:
            raise BackupError(f"{places.path(name)} is not there")
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, (content, mode) in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            tar.addfile(entry, io.BytesIO(content))
    return archive.getvalue()


def unpacked(archive: bytes) -> dict[str, File]:
    """Return the files in a tar archive."""
    found: dict[str, File] = {}
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for entry in tar:
            if content := tar.extractfile(entry):
                found[entry.name] = content.read(), entry.mode & 0o777
    return found


def differences(then: dict[str, File], places: Places) -> Iterator[str]:
    """Yield a line for each file that a restore would write, without anything that is secret."""
    now = places.files()
    for name in sorted(then.keys() | now.keys()):
        path = places.path(name)
        if name not in now:
            yield f"{path}: is missing, will be written"
        elif name not in then:
            yield f"{path}: is not in the backup, stays"
        elif then[name][0] != now[name][0]:
            more = _inside(name, then[name][0], now[name][0])
            yield f"{path}: differs, will be replaced{f' ({more})' if more else ''}"


def put_back(then: dict[str, File], places: Places, stamp: str) -> list[str]:
    """Write the files that are missing or differ; what they replace stays as NAME.before-STAMP."""
    wrote = []
    for name, (content, mode) in sorted(then.items()):
        path = places.path(name)
        if path.is_file() and path.read_bytes() == content:
            continue
        for parent in reversed(path.parents):
            if not parent.exists():
                parent.mkdir(mode=0o700 if name.startswith("secrets/") else 0o755)
        if path.exists():
            os.link(path, path.with_name(f"{path.name}.before-{stamp}"))
        _replace(path, content, mode)
        wrote.append(str(path))
    return wrote


def accounts_of(content: bytes) -> dict[str, tuple[str, Any]]:
    """Return login and uid of each user in an accounts file; nothing if it is encrypted."""
    try:
        users = yaml.load(content, Loader=_Plain)["accounts"]["users"]  # noqa: S506  see _Plain
        return {str(user["name"]): (str(user["login"]), user["uid"]) for user in users}
    except (yaml.YAMLError, KeyError, TypeError, UnicodeError):
        return {}


def _inside(name: str, then: bytes, now: bytes) -> str:
    """Return which users' passwords or accounts differ, as far as files in plain text say so."""
    if then.startswith(_ENCRYPTED) or now.startswith(_ENCRYPTED):
        return ""
    read = {"passwords": _passwords, "accounts": accounts_of}.get(name)
    if read is None:
        return ""
    old, new = read(then), read(now)
    what = {
        "only in the backup": sorted(old.keys() - new.keys()),
        "only here": sorted(new.keys() - old.keys()),
        "other": sorted(key for key in old.keys() & new.keys() if old[key] != new[key]),
    }
    return "; ".join(f"{text}: {', '.join(names)}" for text, names in what.items() if names)


def _passwords(content: bytes) -> dict[str, Any]:
    try:
        known = yaml.load(content, Loader=_Plain)  # noqa: S506  see _Plain
        return {str(user): value for user, value in known[_PASSWORDS].items()} | {
            str(key): value for key, value in known.items() if key != _PASSWORDS
        }
    except (yaml.YAMLError, KeyError, TypeError, AttributeError, UnicodeError):
        return {}


class _Plain(yaml.SafeLoader):
    """Reads plain YAML, with values of tags such as ``!vault`` as texts."""


_Plain.add_multi_constructor("!", lambda loader, _, node: loader.construct_scalar(node))


def _read(path: Path) -> File:
    try:
        return path.read_bytes(), path.stat().st_mode & 0o777
    except OSError as error:
        raise BackupError(f"{path}: {error.strerror}") from None


def _replace(path: Path, content: bytes, mode: int) -> None:
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as new:
        new.write(content)
        new.flush()
        os.fchmod(new.fileno(), mode)
        os.fsync(new.fileno())
    Path(new.name).replace(path)

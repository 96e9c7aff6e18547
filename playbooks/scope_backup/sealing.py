"""Small files that age encrypts: they are in plain text only in memory."""

from __future__ import annotations

import hashlib
import os
import subprocess
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

HEAD: Final = b"age-encryption.org/v1\n"
_CHUNK: Final = 1 << 20


class BackupError(Exception):
    """Says, in one line, why a backup cannot be made or used."""


def seal(content: bytes, recipient: str, path: Path) -> None:
    """Write content encrypted to a recipient, and the SHA-256 of the file beside it."""
    written = _age(["--encrypt", "-r", recipient], content)
    path.touch(mode=0o600)
    with path.open("wb") as file:
        file.write(written)
        file.flush()
        os.fsync(file.fileno())
    sum_of(path).write_text(hashlib.sha256(written).hexdigest())


def opened(path: Path, identity: Path) -> bytes:
    """Return what an encrypted file holds."""
    try:
        return _age(["--decrypt", "-i", str(identity)], path.read_bytes())
    except OSError as error:
        raise BackupError(f"{path}: {error.strerror}") from None


def check_recipient(recipient: str) -> None:
    """Raise BackupError unless age can encrypt to it."""
    _age(["--encrypt", "-r", recipient], b"")


def sum_of(path: Path) -> Path:
    """Return the file that has the SHA-256 of a file while a backup is written."""
    return path.with_name(f"{path.name}.sum")


def digest(path: Path) -> str:
    """Return the SHA-256 of a file as it is on the disk; raise BackupError if it is no age file."""
    found = hashlib.sha256()
    try:
        with path.open("rb") as file:
            # What was just written is read from the disk, not from memory.
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            chunk = file.read(_CHUNK)
            if not chunk.startswith(HEAD):
                raise BackupError(f"{path.name} is not encrypted by age")
            while chunk:
                found.update(chunk)
                chunk = file.read(_CHUNK)
    except OSError as error:
        raise BackupError(f"{path.name}: {error.strerror}") from None
    return found.hexdigest()


def _age(words: list[str], content: bytes) -> bytes:
    try:
        done = subprocess.run(["age", *words], input=content, capture_output=True, check=False)
    except FileNotFoundError:
        raise BackupError("age is not installed: apt-get install age") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise BackupError(said[0] if said else f"age ended with status {done.returncode}")
    return done.stdout

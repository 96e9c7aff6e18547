"""Reads known_hosts for paramiko, which fails at lines with a marker.

The format is that of sshd(8), section SSH_KNOWN_HOSTS FILE FORMAT.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import paramiko
from paramiko.hostkeys import HostKeyEntry, InvalidHostKey

if TYPE_CHECKING:
    from collections.abc import Iterator

_DEFAULT: Final = "~/.ssh/known_hosts"


def load(keys: paramiko.HostKeys, path: str | None) -> None:
    """Add the host keys of a file, by default of the user's own, which may be missing.

    A key that the file says is revoked is not added, for any host.  Lines of authorities are left
    out: paramiko knows no certificates, and asks the server for a key without one.  Of several keys
    of one type for a host the first counts, as where paramiko reads the file.

    :raises OSError: the file that ``path`` names cannot be read
    """
    try:
        lines = Path(path or _DEFAULT).expanduser().read_text(errors="replace").splitlines()
    except OSError:
        if path is not None:
            raise
        return
    revoked = {
        entry.key.asbytes()
        for line in lines
        if line.startswith("@revoked ")
        for entry in _entries(line.partition(" ")[2])
    }
    for line in lines:
        for entry in [] if line.startswith("@") else _entries(line):
            if entry.key.asbytes() not in revoked:
                _add(keys, entry)


def _add(keys: paramiko.HostKeys, entry: HostKeyEntry) -> None:
    """Add a key for its hosts that have none of its type: ``HostKeys.add`` would replace it."""
    kind = entry.key.get_name()
    for host in entry.hostnames:
        if kind not in (keys.lookup(host) or {}):
            keys.add(host, kind, entry.key)


def _entries(line: str) -> Iterator[HostKeyEntry]:
    """Yield the entry in a line, if there is one that paramiko can use."""
    text = line.strip()
    try:
        entry = HostKeyEntry.from_line(text) if text and not text.startswith("#") else None
    except (paramiko.SSHException, InvalidHostKey):
        return
    if entry is not None and entry.key is not None:
        yield entry

"""Refuses to take names for removed that are only absent, as when a file system is not mounted.

It is asked before the names that vanished while nobody watched are announced as removed.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, NamedTuple

from sarra_lite import units
from sarra_lite.errors import ConfigError
from sarra_lite.watch import diff

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sarra_lite.watch.ledger import Ledger

_SMALL: Final = 100  # entries; the share of removals does not matter in a smaller ledger
_ADVICE: Final = "--accept-removals, for one run, announces the removals"


class Ceiling(NamedTuple):
    """How many names may be missing at a start: a number, and a share in per cent."""

    number: int
    percent: float


def identity(directory: str) -> str | None:
    """Return what identifies a directory's file system and the directory in it; None if missing.

    It is the same after a reboot: device numbers are not part of it, as they may change.
    """
    try:
        found = os.stat(directory)  # noqa: PTH116  any bytes
        mounted = os.path.ismount(directory)
    except OSError:
        return None
    return f"{'mount point' if mounted else 'directory'} {found.st_ino}"


def check(
    ledger: Ledger, roots: Iterable[str], places: Mapping[str, str], ceiling: Ceiling
) -> bool:
    """Return whether any announced name below the roots is missing.

    Raises ConfigError if what is missing cannot be trusted to be removed: a root, or a mount point
    below it, is not the one whose names were announced; a root is empty; or more is missing than
    the ceiling allows.  ``places``: the roots and mount points that were found now, with the
    identity of each.
    """
    known = dict(ledger.places())
    # A ledger without any comes from an earlier version, or nothing was announced yet.
    differing = (known.items() ^ places.items()) if known else ()
    replaced = {path.rstrip("/") + "/" for path, _ in differing}
    missing = total = 0
    for root in roots:
        gone = 0
        for entry in ledger.subtree(root):
            if entry.path == root:
                continue
            total += 1
            if diff.is_gone(entry.path):
                gone += 1
                _check_place(entry.path, replaced)
        if gone and not os.listdir(root):  # noqa: PTH208
            raise _absent(root, f"empty, and {gone} names in it were announced")
        missing += gone
    if missing > ceiling.number or (total >= _SMALL and missing > total * ceiling.percent / 100):
        raise ConfigError(
            f"{missing} of {total} announced names are missing, more than maxRemovals or"
            f" maxRemovalPercent allow; if they were removed: {_ADVICE}"
        )
    return missing > 0


def _check_place(path: str, replaced: Iterable[str]) -> None:
    for place in replaced:
        if f"{path}/".startswith(place):
            raise _absent(place, "not the directory whose files were announced")


def _absent(path: str, what: str) -> ConfigError:
    return ConfigError(
        f"{units.printable(path)}: {what};"
        f" mount its file system, or if they were removed: {_ADVICE}"
    )

"""Refuses to take names for removed that are only absent, as when a file system is not mounted.

It is asked before the names that vanished while nobody watched, or in an overflow of events, are
announced as removed.
"""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Final, NamedTuple

from sarra_lite import units
from sarra_lite.errors import ConfigError
from sarra_lite.watch import diff

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sarra_lite.watch.ledger import Ledger

_SMALL: Final = 100  # entries; the share of removals does not matter in a smaller ledger
_ADVICE: Final = "--accept-removals, for one run, takes them for removed"


class Ceiling(NamedTuple):
    """How many names may be missing at a start: a number, and a share in per cent."""

    number: float
    percent: float


NO_CEILING: Final = Ceiling(math.inf, 100)


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


def check_start(
    ledger: Ledger, roots: Iterable[str], places: Mapping[str, str], ceiling: Ceiling
) -> bool:
    """Return whether any announced name below the roots is missing.

    Raises ConfigError if what is missing cannot be trusted to be removed: as ``check_places``, or
    because a root is empty, or more is missing than the ceiling allows.  Names whose removal an
    earlier run has announced are not counted.
    """
    check_places(ledger, places)
    unannounced = total = 0
    missing = False
    for root in roots:
        gone = 0
        for entry in ledger.subtree(root):
            if entry.path == root:
                continue
            total += 1
            if diff.is_gone(entry.path):
                missing = True
                gone += entry.version is not None
        if gone and not os.listdir(root):  # noqa: PTH208
            raise _absent(root, f"empty, and {gone} names in it were announced")
        unannounced += gone
    if unannounced > ceiling.number or (
        total >= _SMALL and unannounced > total * ceiling.percent / 100
    ):
        raise ConfigError(
            f"{unannounced} of {total} announced names are missing, more than maxRemovals or"
            f" maxRemovalPercent allow; if they were removed: {_ADVICE}"
        )
    return missing


def check_places(ledger: Ledger, places: Mapping[str, str]) -> None:
    """Raise ConfigError if names are missing where another file system is mounted, or none.

    ``places``: the roots, and the mount points below them, that were found now, with the identity
    of each.  The names below one that is not the place whose names were announced are absent only.
    """
    known = dict(ledger.places())
    # A ledger without any comes from an earlier version, or nothing was announced yet.
    differing = known.items() ^ places.items() if known else set()
    for place in sorted({path for path, _ in differing}):
        for entry in ledger.subtree(place):
            if entry.version is not None and diff.is_gone(entry.path):
                raise _absent(place, "not the directory whose files were announced")


def _absent(path: str, what: str) -> ConfigError:
    return ConfigError(
        f"{units.printable(path)}: {what};"
        f" mount its file system, or if they were removed: {_ADVICE}"
    )

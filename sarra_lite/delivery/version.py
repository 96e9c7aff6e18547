"""Whether a file on this host is the version that was announced: its size and mtime."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Final

from sarra_lite.errors import SourceUnavailable

if TYPE_CHECKING:
    from sarra_lite.messages.v03 import Announcement

# sr3 writes times from floating-point numbers, and loses digits of a fraction below 100 µs, which
# it writes with an exponent (units.nanoseconds).
_TOLERANCE: Final = 1000  # ns
_TOLERANCE_EXPONENT: Final = 100_000  # ns


def is_current(path: str, announcement: Announcement) -> bool:
    """Return whether no other version than the announced one has the name of a file."""
    try:
        check_version(os.stat(path), announcement)  # noqa: PTH116  any bytes, and half the time
    except OSError:
        return True
    except SourceUnavailable:
        return False
    return True


def check_version(found: os.stat_result, announced: Announcement) -> None:
    """Raise SourceUnavailable 410 when a file is not the announced version."""
    if not stat.S_ISREG(found.st_mode):
        raise SourceUnavailable(410, "no regular file any more")
    if announced.size is not None and found.st_size != announced.size:
        raise SourceUnavailable(
            410, f"changed: {found.st_size} bytes now, {announced.size} announced"
        )
    mtime = announced.mtime_ns
    tolerance = _TOLERANCE_EXPONENT if "e" in (announced.mtime or "") else _TOLERANCE
    if mtime is not None and abs(found.st_mtime_ns - mtime) > tolerance:
        raise SourceUnavailable(410, "changed since it was announced")

"""Whether, and after how long, an attempt is repeated that failed at the destination."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sarra_lite.delivery.content import longest_wait
from sarra_lite.errors import DestinationFull, ServerFailure

if TYPE_CHECKING:
    from sarra_lite.dispatch.schedule import Pending

_FULL_FIRST: Final = 15.0  # seconds until a full destination is tried again; doubles
_FAILED_FIRST: Final = 1.0  # seconds until another connection tries what failed; doubles
_FULL_MAX: Final = 600.0
_FAILED_MAX: Final = 60.0
_OVER_QUOTA: Final = 507  # or a disk that failed: the server does not tell
_MOST_FAILURES: Final = 5
_MOST_DOUBLINGS: Final = 10


def seconds_until_retry(
    pending: Pending, error: DestinationFull | ServerFailure, retry_ttl: float
) -> float | None:
    """Note a failed attempt; return the seconds until the next one, None to give up.

    Given up is what is older than ``retry_ttl``, and a file that fails on several connections,
    each opened after the failure of the one before, to a server that works.
    """
    first = _FULL_FIRST
    if isinstance(error, ServerFailure):
        first = _FAILED_FIRST
        pending.count_failure(error)
        if pending.failures >= _MOST_FAILURES and error.file_may_be_cause:
            return None
    if pending.older_than(retry_ttl):
        return None
    most = _FULL_MAX if error.code == _OVER_QUOTA else _FAILED_MAX
    return min(most, first * 2.0 ** min(pending.attempt - 1, _MOST_DOUBLINGS))


def is_overdue(pending: Pending, idle: float, retry_ttl: float) -> bool:
    """Whether a finish has waited too long.  ``idle``: seconds since anything was written.

    Both times outlive the sender: that of the announcement, and that at the destination.
    """
    longest = longest_wait(retry_ttl)
    return idle > longest and pending.older_than(longest)

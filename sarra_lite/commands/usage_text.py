"""What sr_status prints of usage against quotas."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sarra_lite import units

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sarra_lite.messages.usage import Usage


def lines(usage: Usage | None, now: float) -> Iterator[str]:
    """Yield a line for the user and one for the group; ``now`` in seconds since 1970."""
    if usage is None:
        return
    told = units.show_time(usage.time)
    as_of, today = told[:16], f"{datetime.fromtimestamp(now, UTC):%Y-%m-%d}"
    day = "today" if as_of.startswith(today) else f"on {as_of[:10]}"
    month = "this month" if as_of.startswith(today[:7]) else f"in {as_of[:7]}"
    names = {"day": f"sent {day}", "month": month, "disk": "disk"}
    when = as_of[11:] if as_of.startswith(today) else as_of
    for used in usage.used:
        parts = [
            f"{names[what]} {units.show_share(count, limit)}"
            for what, count, limit in used.amounts()
        ]
        yield f"{used.kind} {units.printable(used.name)}: {', '.join(parts)}, as of {when} UTC"

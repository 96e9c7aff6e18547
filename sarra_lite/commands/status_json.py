"""How sr_status --json prints a transfer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from sarra_lite import units
from sarra_lite.transfers.advice import advice

if TYPE_CHECKING:
    from sarra_lite.commands.status_text import Shown
    from sarra_lite.messages.v03 import Report

_LAST: Final = 253_402_300_799.0  # the end of the year 9999, in seconds since 1970


def next_try(trouble: Report) -> float:
    """Return when the sender tries again, in seconds since 1970."""
    when = units.nanoseconds(trouble.time_completed) / 1e9 + (trouble.will_retry or 0)
    return min(when, _LAST)


def transfer_json(one: Shown) -> dict[str, Any]:
    """Return what is known of a transfer, with the keys of messages where they have it."""
    transfer, announcement = one.transfer, one.transfer.announcement
    fields: dict[str, Any] = {
        "relPath": announcement.rel_path,
        "state": one.state,
        "pubTime": announcement.pub_time,
        "size": announcement.size,
    }
    if one.place is not None:
        fields |= {
            "filesBefore": one.place.files_before,
            "messagesBefore": one.place.messages_before,
        }
    if (progress := transfer.progress) is not None and transfer.report is None:
        fields |= {
            "bytes": progress.bytes,
            "percent": progress.bytes * 100 // max(announcement.size or 0, 1),
            "rate": progress.rate,
            "left": transfer.left,
            "senders": progress.senders,
        }
    if (slow := transfer.slow) is not None:
        fields |= {"limitedBy": slow.limited_by, "why": slow.why, "connections": slow.connections}
    report = transfer.report or transfer.trouble
    if report is not None:
        fields["report"] = msgspec.to_builtins(report)
        if not report.arrived:
            fields["advice"] = advice(report)
        if transfer.report is None:
            fields["failingSince"] = transfer.since
            fields["nextTry"] = units.time_string(int(next_try(report) * 10**9))
    return fields

"""How sr_log prints reports, and what playbooks have changed: as lines of a table, or as JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import msgspec

from sarra_lite import units
from sarra_lite.messages import change

if TYPE_CHECKING:
    from sarra_lite.messages.change import Change
    from sarra_lite.messages.v03 import Announcement, Report

_LINE: Final = "{:<19} {:>4} {:>10} {:>11} {:<12} {:<14} {}"
HEADER: Final = _LINE.format("TIME (UTC)", "CODE", "SIZE", "RATE", "USER", "HOST", "FILE")


def line(announcement: Announcement, report: Report) -> str:
    """Return a report as a line of the table, with the reason of a failure at its end."""
    size = report.bytes if report.bytes is not None else announcement.size
    rate = "-"
    if report.bytes and report.seconds:
        rate = f"{units.show_size(report.bytes / report.seconds)}/s"
    name = units.printable(announcement.rel_path) or "-"
    if announcement.block is not None and announcement.blocks is not None:
        name += f" [block {announcement.block + 1} of {announcement.blocks.count}]"
    if not report.arrived:
        name += f": {report.message}"
        if report.will_retry is not None:
            name += f"; again in {report.will_retry:.0f} s"
    return _LINE.format(
        units.show_time(report.time_completed),
        report.code,
        "-" if size is None else units.show_size(size),
        rate,
        units.printable(announcement.source or "-"),
        report.host or "-",
        name,
    ).rstrip()


def time_of(told: Change) -> str:
    """Return when a playbook ended, as messages have times."""
    return units.time_string(int(told.time * 10**9))


def change_line(told: Change) -> str:
    """Return what a playbook has changed as a line of the table."""
    time, text = units.show_time(time_of(told)), units.printable(change.sentence(told))
    return _LINE.format(time, "-", "-", "-", units.printable(told.who), told.host, text)


def explained(announcement: Announcement, report: Report) -> str:
    """Return the line of a report with what limited the transfer, if that is known."""
    shown = line(announcement, report)
    if report.why is None:
        return shown
    return f"{shown}; limited by {report.limited_by or '?'}: {report.why}; {report.connections}"


def as_json(announcement: Announcement, report: Report) -> str:
    """Return a report as a flat JSON object with the keys of the message."""
    fields: dict[str, Any] = {
        "relPath": announcement.rel_path,
        "source": announcement.source,
        "size": announcement.size,
        "pubTime": announcement.pub_time,
    }
    if announcement.blocks:
        fields["blocks"] = announcement.blocks.count
    if announcement.file_op:
        fields["fileOp"] = announcement.file_op
    return json.dumps(fields | msgspec.to_builtins(report))

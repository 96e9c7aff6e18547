"""The lines of sr_status on one file, in every state, and from whatever strangers write."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarra_lite import units
from sarra_lite.commands.status_text import Overview, Shown
from sarra_lite.messages import blocks, v03
from sarra_lite.messages.structs import Announcement, Identity, Report
from sarra_lite.transfers.history import History
from sarra_lite.transfers.queue import Queue, places

MIB = 1024 * 1024
NOW = "20261128T101000"
SINCE = datetime(2026, 11, 28, tzinfo=UTC)
RAW = ("\x1b]0;x\x07", "a\nb", "\x9b2J", "\u202etxt", "\r", "\udcff", "\x7f")


def announced(path: str = "f", **more: Any) -> Announcement:
    return Announcement("20261128T100000", "file:/", path, size=10 * MIB, **more)


def reported(one: Announcement, code: int, message: str = "", **more: Any) -> Announcement:
    fields = {"time_completed": "20261128T100500", "host": "h", "instance": "default/1"} | more
    report = Report(code=code, message=message, **fields)
    return Announcement(
        one.pub_time, one.base_url, one.rel_path, size=one.size, blocks=one.blocks,
        identity=one.identity, file_op=one.file_op, report=report,
    )  # fmt: skip


def told(*messages: Announcement, queue: Queue | None = None) -> tuple[list[str], dict[str, Any]]:
    """Return the lines and the object on all that the messages are about."""
    history = History(sought=lambda _: True)
    for message in messages:  # as a program reads them
        history.take(v03.decode(v03.encode(message)))
    queue = queue or Queue("q", 0, 1)
    placed = places(history.unfinished, queue)
    shown = [Shown(one, placed.get(one.number)) for one in history.found()]
    overview = Overview(history, queue, SINCE, units.nanoseconds(NOW) / 1e9)
    lines = list(overview.lines(shown, [], None, sought=True))
    return lines, overview.as_json(shown, [])


def test_a_file_that_waits_has_its_place_and_the_queue_its_senders() -> None:
    lines, told_json = told(announced("e"), announced(), queue=Queue("q", 2, 0))
    assert lines[0] == "q: 2 announcements in it, no sender connected"
    assert lines[4:] == [
        "f: waiting, announced 10 min ago, 1 announcement before it in the queue",
        "    file, 10.0 MiB, announced 2026-11-28 10:00:00 UTC",
        "    announced before it, without a final report: 1",
    ]
    assert told_json["queue"] == {"name": "q", "messages": 2, "senders": 0}
    assert told_json["files"][1]["messagesBefore"] == 1
    assert told_json["files"][1]["state"] == "waiting"


def test_of_many_files_there_is_one_line_each_and_how_many_of_each_state() -> None:
    lines, _ = told(*(announced(name) for name in "abcd"), queue=Queue("q", 3, 1))
    assert lines[0] == "1 taken by a sender, 3 waiting"
    assert len(lines) == 6


def test_a_file_that_a_sender_has_taken_or_nobody_has_is_told_so() -> None:
    assert told(announced())[0][1] == "f: taken by a sender, announced 10 min ago, no report yet"
    lost = told(announced(), queue=Queue("q", 0, 0))[0][1]
    assert lost == "f: in no queue, announced 10 min ago, and no sender has it: post it again"


def test_a_file_that_is_being_sent_has_per_cent_rate_time_left_and_senders() -> None:
    parts = list(blocks.split(announced(), MIB))
    sent = [
        reported(parts[0], 206, bytes=MIB, seconds=1.0, time_completed="20261128T100955"),
        reported(parts[1], 206, bytes=MIB, seconds=1.0, time_completed="20261128T100959"),
    ]
    lines, told_json = told(parts[0], *sent)
    assert lines[1] == "f: being sent, 20 %: 2.0 MiB of 10.0 MiB, 409.6 KiB/s, 20 s left"
    assert lines[-1] == "    2 of 10 blocks, by default/1 on h"
    [file] = told_json["files"]
    assert (file["percent"], file["bytes"], file["left"]) == (20, 2 * MIB, 20.0)
    assert file["senders"] == ["default/1 on h"]


def test_a_file_of_which_nothing_has_come_for_long_is_told_so() -> None:
    parts = list(blocks.split(announced(), 5 * MIB))
    lines, _ = told(parts[0], reported(parts[0], 206, seconds=1.0))
    assert lines[-1] == "    1 of 2 blocks, the last report 5 min ago, by default/1 on h"
    lines, _ = told(parts[0], reported(parts[0], 206), reported(parts[1], 206))
    assert lines[1] == "f: being sent, 100 %: all of it is there, it is being completed"


def test_a_file_to_be_tried_again_has_since_when_and_the_next_try() -> None:
    full = reported(announced(), 507, "no space left", attempt=3, will_retry=420.0)
    lines, told_json = told(announced(), full)
    since = "since 2026-11-28 10:05:00 UTC"
    assert lines[1] == f"f: waiting for room {since}, next try in 2 min: no space left"
    assert lines[-2] == "    by default/1 on h, attempt 3"
    assert lines[-1].startswith("    what to do: free space at the destination")
    [file] = told_json["files"]
    assert file["failingSince"] == "20261128T100500"
    assert file["nextTry"] == "20261128T101200.000000000"
    late = reported(announced(), 499, "Failure", will_retry=60.0)
    assert "to be tried again" in told(late)[0][1]
    assert "next try was due 4 min ago" in told(late)[0][1]


def test_a_file_that_arrived_has_when_how_fast_and_what_was_compared() -> None:
    known = announced(identity=Identity("sha512", "abcd"))
    sent = reported(known, 201, "file sent", bytes=10 * MIB, seconds=2.0, identity=known.identity)
    [headline, _, check] = told(known, sent)[0]
    rate = "10.0 MiB in 2.0 s, 5.0 MiB/s"
    assert headline == f"f: arrived 2026-11-28 10:05:00 UTC, {rate}: file sent"
    assert check == "    size and sha512 as announced; by default/1 on h"
    other = reported(announced(), 201, "file sent", identity=Identity("blake3", "abcd"))
    assert told(other)[0][-1] == "    size as announced, blake3 is in the report; by default/1 on h"
    assert "    size as announced; by" in told(reported(announced(), 304, "is there"))[0][-1]
    made = announced(file_op={"directory": ""})
    assert told(reported(made, 201, "directory made"))[0][-1] == "    by default/1 on h"


def test_a_file_that_failed_has_why_and_what_to_do() -> None:
    lines, told_json = told(reported(announced(), 403, "cannot be read: Permission denied"))
    why = "cannot be read: Permission denied (403)"
    assert lines[0] == f"f: failed 2026-11-28 10:05:00 UTC: {why}"
    assert lines[-1].startswith("    what to do: let the user of the sender read the file")
    assert told_json["files"][0]["report"]["code"] == 403
    assert told_json["files"][0]["advice"]


TIMES = st.sampled_from(["19700101T000000", "99991231T235959.999999999", "20261128T100500"])
SECONDS = st.sampled_from([None, 0.0, 5e-324, 1.0, 1e12])
SIZES = st.sampled_from([None, 0, 1, 2**63 - 1])
REPORTS = st.builds(
    Report,
    code=st.sampled_from([201, 206, 304, 403, 503, 507, 999]),
    message=st.just(""),
    time_completed=TIMES,
    seconds=SECONDS,
    will_retry=SECONDS,
    bytes=SIZES,
)


@given(TIMES, SIZES, st.lists(st.tuples(REPORTS, st.sampled_from([None, 1, 2])), min_size=1))
def test_whatever_reports_say_it_is_told(
    announced_at: str, size: int | None, reports: list[tuple[Report, int | None]]
) -> None:
    messages = []
    for report, count in reports:
        one = Announcement(announced_at, "file:/", "f", size=size, report=report)
        if count and size:
            one = next(blocks.split(one, max(2, size // count)))
        messages.append(one)
    lines, told_json = told(*messages)
    assert all(line.isprintable() for line in lines)
    assert json.loads(json.dumps(told_json, allow_nan=False))["files"]


@pytest.mark.parametrize("raw", RAW)
@pytest.mark.parametrize("code", [None, 201, 206, 403, 507])
def test_raw_control_characters_are_never_printed(raw: str, code: int | None) -> None:
    one = announced(f"d/{raw}", file_op={"link": raw} if code is None else None)
    if code == 206:
        one = next(blocks.split(one, MIB))
    retry = 10.0 if code == 507 else None
    strange = {"host": raw, "instance": raw, "will_retry": retry}
    lines, told_json = told(one if code is None else reported(one, code, raw, **strange))
    text = json.dumps(told_json)
    for line in [*lines, text]:
        assert line.isprintable()
    assert text.isascii()


def test_a_file_in_one_piece_has_per_cent_rate_time_left_and_what_limits_it() -> None:
    slow = {"limited_by": "line", "why": "the line is full", "connections": "2 connections: near"}
    going = reported(announced(), 102, "being sent", bytes=4 * MIB, seconds=4.0, **slow)
    lines, told_json = told(announced(), going)
    assert lines[1] == "f: being sent, 40 %: 4.0 MiB of 10.0 MiB, 1.0 MiB/s, 6 s left"
    assert lines[3:] == [
        "    in one piece, the last report 5 min ago, by default/1 on h",
        "    limited by line: the line is full",
        "    2 connections: near",
    ]
    [file] = told_json["files"]
    assert (file["percent"], file["limitedBy"], file["why"]) == (40, "line", "the line is full")
    lines, _ = told(announced(), going, reported(announced(), 201, "file sent", **slow))
    assert "    limited by line: the line is full" in lines

"""What announcements and reports, read in their order, tell of files."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sarra_lite.messages import blocks
from sarra_lite.messages.structs import Announcement, Report
from sarra_lite.transfers.history import History
from sarra_lite.transfers.transfer import State

MIB = 1024 * 1024


def announced(path: str = "f", *, second: int = 0, size: int = 10) -> Announcement:
    return Announcement(f"20261128T1000{second:02}", "file:/", path, size=size)


def pieces(path: str = "f", *, size: int = 35 * MIB, step: int = 10 * MIB) -> list[Announcement]:
    """Return the announcements of four blocks and of the finish."""
    return list(blocks.split(announced(path, size=size), step))


def reported(one: Announcement, code: int = 201, *, second: int = 30, **more: Any) -> Announcement:
    done = Report(code, "", f"20261128T1000{second:02}", host="h", instance="default/1", **more)
    return Announcement(
        one.pub_time, one.base_url, one.rel_path, size=one.size, blocks=one.blocks, report=done
    )


def history(*messages: Announcement, **options: Any) -> History:
    made = History(**options)
    for message in messages:
        made.take(message)
    return made


def states(made: History) -> list[tuple[str, State]]:
    return [(one.announcement.rel_path, one.state) for one in made.overview()]


def test_what_is_announced_and_not_reported_waits() -> None:
    assert states(history(announced("a"), announced("b"))) == [
        ("a", State.WAITING),
        ("b", State.WAITING),
    ]


def test_what_arrived_is_counted_and_kept_only_if_it_is_sought() -> None:
    messages = [announced(), reported(announced(), bytes=10)]
    assert states(history(*messages)) == []
    assert (history(*messages).arrived, history(*messages).arrived_bytes) == (1, 10)
    [found] = history(*messages, sought=lambda one: one.rel_path == "f").found()
    assert found.state is State.ARRIVED


def test_a_failed_attempt_says_since_when_and_why_until_the_file_arrives() -> None:
    full = [reported(announced(), 507, second=second, will_retry=15.0) for second in (1, 20)]
    [one] = history(announced(), *full).overview()
    assert (one.state, one.since) == (State.NO_ROOM, "20261128T100001")
    assert one.trouble == full[1].report
    [one] = history(reported(announced(), 499, will_retry=1.0)).overview()
    assert one.state is State.RETRYING
    assert states(history(announced(), *full, reported(announced()))) == []


def test_a_failure_is_shown_until_the_path_arrives() -> None:
    failed = [announced(), reported(announced(), 410)]
    assert states(history(*failed)) == [("f", State.FAILED)]
    again = announced(second=40)
    assert [state for _, state in states(history(*failed, again))] == [State.FAILED, State.WAITING]
    assert states(history(*failed, again, reported(again, second=50))) == []
    assert states(history(*failed, earliest="20261128T100031")) == []


def test_blocks_become_progress() -> None:
    parts = pieces()
    made = history(
        *parts,
        reported(parts[0], 206, second=10, seconds=1.0, bytes=10 * MIB),
        reported(parts[1], 304, second=10, seconds=0.0, bytes=10 * MIB),
        reported(parts[3], 206, second=13, seconds=1.0, bytes=5 * MIB),
        reported(parts[3], 206, second=13, seconds=1.0, bytes=5 * MIB),
    )
    [one] = made.overview()
    assert one.state is State.SENDING
    assert one.progress is not None
    assert one.progress.bytes == 25 * MIB
    assert one.progress.rate == 15 * MIB / 4  # in the 4 s from the begin of the first to the last
    assert one.left == 10 * MIB / one.progress.rate
    assert one.progress.senders == ["default/1 on h"]


def test_a_sender_may_divide_a_file_that_was_announced_whole() -> None:
    parts = pieces()
    whole = announced(size=35 * MIB)
    [one] = history(whole, *parts, reported(parts[1], 206)).overview()
    assert (one.state, one.messages) == (State.SENDING, 4)
    assert states(history(whole, *parts, reported(parts[-1]), reported(parts[1], 206))) == []


def test_a_block_without_room_is_a_file_without_room_until_a_block_arrives() -> None:
    parts = pieces()
    full = reported(parts[0], 507, second=5, will_retry=15.0)
    assert states(history(*parts, full)) == [("f", State.NO_ROOM)]
    assert states(history(*parts, full, reported(parts[1], 206))) == [("f", State.SENDING)]


def test_a_report_on_a_block_after_that_on_its_file_changes_nothing() -> None:
    parts = pieces()
    late = [reported(parts[0], 206), parts[0], parts[-1]]
    assert states(history(*parts, reported(parts[-1]), *late)) == []


def test_the_report_on_an_announcement_settles_those_before_it() -> None:
    first, second, third = (announced(second=second) for second in (1, 2, 3))
    made = history(first, second, third, reported(second))
    assert [one.announcement for one in made.unfinished] == [third]
    made = history(first, second, third, reported(first))
    assert [one.announcement for one in made.unfinished] == [second, third]
    assert history(first, second, third, reported(third)).unfinished == []


def test_a_report_is_enough_where_the_announcement_is_not_known() -> None:
    [one] = history(reported(announced(), 507, will_retry=15.0)).overview()
    assert one.state is State.NO_ROOM
    assert not history(reported(announced())).knows_announcements
    assert history(announced()).knows_announcements


def test_an_outage_is_told_until_another_report_comes() -> None:
    away = reported(announced(), 503, will_retry=60.0)
    assert history(away).outage == away.report
    assert history(away, reported(announced("g"))).outage is None


MESSAGES = st.builds(
    lambda path, second, code, will_retry: (
        announced(path, second=second)
        if code is None
        else reported(announced(path, second=second), code, will_retry=will_retry)
    ),
    st.sampled_from("ab"),
    st.integers(0, 3),
    st.sampled_from([None, None, 201, 410, 507]),
    st.sampled_from([None, 1.0]),
)


@given(st.lists(MESSAGES, max_size=12))
def test_nothing_that_is_announced_last_is_forgotten(messages: list[Announcement]) -> None:
    """Whatever comes in whatever order: the last message on a path decides whether it waits."""
    made = history(*messages)
    unfinished = [one.announcement.key for one in made.unfinished]
    assert len(set(unfinished)) == len(unfinished)
    for path in "ab":
        last = next((one for one in reversed(messages) if one.rel_path == path), None)
        if last is not None:
            final = last.report is not None and last.report.final
            assert (last.key in unfinished) is not final
    assert made.oldest == min((key[0] for key in unfinished), default=None)


def under_way(one: Announcement, size: int, *, second: int, **more: Any) -> Announcement:
    return reported(one, 102, second=second, bytes=size * MIB, **more)


def test_a_file_in_one_piece_has_progress_rate_and_time_left() -> None:
    one = announced(size=40 * MIB)
    made = history(one, under_way(one, 10, second=10, seconds=10.0, why="x"))
    [found] = made.overview()
    assert found.state is State.SENDING
    assert found.progress is not None
    assert (found.progress.bytes, found.progress.rate, found.left) == (10 * MIB, MIB, 30)
    assert found.slow is not None
    made.take(under_way(one, 30, second=20, seconds=20.0))
    assert (found.progress.rate, found.left) == (2 * MIB, 5)
    assert found.slow is None
    made.take(reported(one, 201, second=25, bytes=40 * MIB))
    assert made.overview() == []
    assert made.arrived == 1


def test_a_block_under_way_counts_until_it_is_written() -> None:
    parts = pieces()
    made = history(parts[0], under_way(parts[1], 4, second=10, seconds=4.0))
    [found] = made.overview()
    assert found.progress is not None
    assert (found.progress.bytes, found.progress.rate) == (4 * MIB, MIB)
    made.take(reported(parts[0], 206, second=12, seconds=1.0))
    assert found.progress.bytes == 14 * MIB
    made.take(reported(parts[1], 206, second=14, seconds=1.0))
    made.take(under_way(parts[1], 4, second=13))
    assert found.progress.bytes == 20 * MIB


def test_a_file_in_one_piece_that_fails_begins_anew() -> None:
    one = announced(size=40 * MIB)
    made = history(one, under_way(one, 10, second=10), reported(one, 507, will_retry=5.0))
    [found] = made.overview()
    assert (found.state, found.progress) == (State.NO_ROOM, None)
    made.take(under_way(one, 2, second=50, seconds=10.0))
    assert found.state is State.SENDING
    assert found.progress is not None
    assert found.progress.bytes == 2 * MIB

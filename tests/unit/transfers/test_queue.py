"""Where announcements are that nobody has reported, from the length of the queue."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sarra_lite.messages import blocks
from sarra_lite.messages.structs import Announcement
from sarra_lite.transfers.queue import Queue, places
from sarra_lite.transfers.transfer import State, Transfer

ORDER = [State.LOST, State.TAKEN, State.WAITING]


def transfers(*counts: int) -> list[Transfer]:
    """Return waiting transfers, with so many blocks each; 0: whole files."""
    made = []
    for number, count in enumerate(counts):
        one = Announcement("20261128T100000", "file:/", f"f{number}", size=2 * count)
        one = next(blocks.split(one, 2)) if count else one
        made.append(Transfer(one, number))
    return made


def found(counts: list[int], messages: int, senders: int) -> list[tuple[str, int, int]]:
    placed = places(transfers(*counts), Queue("q", messages, senders))
    return [
        (placed[number].state, placed[number].files_before, placed[number].messages_before)
        for number in range(len(counts))
    ]


def test_the_last_announcements_are_in_the_queue_and_those_before_at_a_sender() -> None:
    assert found([0, 0, 0], 2, 1) == [
        ("taken by a sender", 0, 0),
        ("waiting", 1, 0),
        ("waiting", 2, 1),
    ]


def test_what_is_in_no_queue_and_at_no_sender_is_lost() -> None:
    assert found([0, 0], 1, 0) == [("in no queue", 0, 0), ("waiting", 1, 0)]
    [place] = places(transfers(0), None).values()
    assert place.state is State.LOST


def test_blocks_are_messages_of_their_own_and_so_is_the_finish() -> None:
    assert found([3, 0], 5, 0) == [("waiting", 0, 0), ("waiting", 1, 4)]
    assert found([3, 0], 3, 1) == [("waiting", 0, 0), ("waiting", 1, 2)]
    assert found([3, 0], 1, 1) == [("taken by a sender", 0, 0), ("waiting", 1, 0)]


def test_what_is_older_than_all_that_is_known_is_before_it() -> None:
    assert found([0], 100, 1) == [("waiting", 0, 99)]


@given(st.lists(st.integers(0, 4), max_size=8), st.integers(0, 60), st.integers(0, 2))
def test_nothing_waits_before_what_is_taken(counts: list[int], messages: int, senders: int) -> None:
    placed = found(counts, messages, senders)
    ranks = [ORDER.index(State(state)) for state, _, _ in placed]
    assert ranks == sorted(ranks)
    assert [files for _, files, _ in placed] == list(range(len(counts)))
    waiting = [before for state, _, before in placed if state == "waiting"]
    assert waiting == sorted(waiting)
    assert all(before < max(messages, 1) for before in waiting)
    assert (not waiting) == (messages == 0 or not counts)

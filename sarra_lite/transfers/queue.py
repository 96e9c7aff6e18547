"""Where announcements without a report are: in the queue, at a sender, or nowhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sarra_lite.transfers.transfer import State

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sarra_lite.transfers.transfer import Transfer


class Queue(NamedTuple):
    """A queue as the broker tells of it: messages that no sender has taken, and its consumers."""

    name: str
    messages: int
    senders: int


class Place(NamedTuple):
    """State of a transfer, and what is before it.

    ``files_before``: files that were announced before it, and have no final report; a sender may
    finish some of them later.  ``messages_before``: messages in the queue before it, at most; a
    block is a message.
    """

    state: State
    files_before: int = 0
    messages_before: int = 0


def places(unfinished: Iterable[Transfer], queue: Queue | None) -> dict[int, Place]:
    """Return the place of each transfer by its number.

    ``unfinished``: all announcements without a final report, in their order.  ``queue``: None when
    there is none.

    A broker tells how many messages are in a queue, not which ones.  It gives them out in the order
    of their announcement, so those in the queue are the latest ones of all that are unfinished.
    This is not exact: where senders of several queues read one exchange, where a queue is not bound
    to all topics, and where a sender has returned what it had.
    """
    transfers = list(unfinished)
    found: dict[int, Place] = {}
    after = 0  # messages that were announced later
    for before in range(len(transfers) - 1, -1, -1):
        one = transfers[before]
        ready = queue.messages if queue is not None else 0
        in_queue = after < ready
        messages_before = max(0, ready - after - one.messages)
        after += one.messages
        state = one.state
        if state is State.WAITING and not in_queue:
            state = State.TAKEN if queue is not None and queue.senders else State.LOST
        found[one.number] = Place(state, before, messages_before if in_queue else 0)
    return found

"""Tells from figures what kept a transfer from being faster, in a word and a sentence."""

from __future__ import annotations

import enum
from typing import Final, NamedTuple

from sarra_lite.units import show_size

_HALF: Final = 0.5  # share of the time
_BUSY: Final = 0.9  # share of a processor
_LOSS: Final = 0.001  # share of bytes; at 50 ms, a connection with more does 1 MB/s
_SERVER_WINDOW: Final = 2 * 1024 * 1024  # bytes that OpenSSH's server takes in a round trip
_NEARLY: Final = 0.7


class LimitedBy(enum.StrEnum):
    """What a transfer waited for; docs/reference/wire.md explains the words."""

    QUOTA = "quota"
    LIMIT = "limit"
    PROCESSOR = "processor"
    SOURCE = "source"
    RECEIVER = "receiver"
    LOSS = "loss"
    BUFFER = "buffer"
    LINE = "line"
    WINDOW = "window"
    SERVER = "server"


class Tcp(NamedTuple):
    """What TCP did in the time, on average of all connections by what they have sent.

    Shares of the time: ``busy`` with data on its way, the ``receiver`` had no room, the ``buffer``
    here was full, data was ``queued`` here.  ``resent``: share of the bytes.  ``rate``: bytes a
    second of one connection.  ``round_trip``: seconds.  ``window``: bytes the receiver takes.
    """

    busy: float
    receiver: float
    buffer: float
    queued: float
    resent: float
    rate: float
    round_trip: float
    window: float


class Figures(NamedTuple):
    """What was measured of the uploads of a file in so many ``seconds``; ``rate``: bytes a second.

    ``quota``, ``limit``, ``source``, ``connection``: shares of their time in which they waited for
    it.  ``sender`` and ``ssh``: shares of a processor that this process and the busiest ssh program
    used.  ``connections``: those that sent.  ``tcp`` is None where the kernel does not tell.
    """

    seconds: float
    rate: float
    quota: float
    limit: float
    source: float
    connection: float
    sender: float
    ssh: float
    connections: int
    tcp: Tcp | None


class Slowness(NamedTuple):
    """What limited a transfer, and a sentence that has the figures."""

    by: LimitedBy
    why: str


def judge(figures: Figures) -> Slowness | None:
    """Return what limited a transfer; None when nothing did for half of the time, or is known."""
    found = _here(figures) or (None if figures.tcp is None else _beyond(figures, figures.tcp))
    if found is None:
        return None
    word, text = found
    return Slowness(word, f"{show_size(figures.rate)}/s in {figures.seconds:.0f} s: {text}")


def _here(figures: Figures) -> tuple[LimitedBy, str] | None:
    """Return what limited it on this host."""
    quota, limit = figures.quota, figures.limit
    if quota + limit >= _HALF and quota > limit:
        return LimitedBy.QUOTA, f"{quota:.0%} of the time it waited for grants of its group"
    if quota + limit >= _HALF:
        return LimitedBy.LIMIT, f"{limit:.0%} of the time it waited because of the option limit"
    if max(figures.sender, figures.ssh) >= _BUSY:
        name = "the sender" if figures.sender >= figures.ssh else "an ssh program"
        used = max(figures.sender, figures.ssh)
        return LimitedBy.PROCESSOR, f"{name} used {used:.0%} of a processor of this host"
    if figures.source >= _HALF:
        return LimitedBy.SOURCE, f"{figures.source:.0%} of the time it waited for its source's disk"
    return None


def _beyond(figures: Figures, tcp: Tcp) -> tuple[LimitedBy, str] | None:
    """Return what limited it on the way, or at the server."""
    trip = f"a round trip takes {tcp.round_trip * 1000:.1f} ms"
    if tcp.receiver >= _HALF:
        return LimitedBy.RECEIVER, (
            f"{tcp.receiver:.0%} of the time the SFTP host had no room for more:"
            f" its TCP window is {show_size(tcp.window)}, {trip}"
        )
    queued = tcp.queued >= _HALF and tcp.busy >= _HALF
    if queued and tcp.resent >= _LOSS:
        return LimitedBy.LOSS, f"{tcp.resent:.1%} of it was lost on the way and sent again; {trip}"
    if tcp.buffer >= _HALF:
        return LimitedBy.BUFFER, (
            f"{tcp.buffer:.0%} of the time the send buffer of TCP on this host was full; {trip}"
        )
    if queued:
        return LimitedBy.LINE, (
            f"the line takes no more: data was on its way {tcp.busy:.0%} of the time, and"
            f" {tcp.resent:.2%} of it sent again; {trip}"
        )
    return None if figures.connection < _HALF else _at_server(figures, tcp, trip)


def _at_server(figures: Figures, tcp: Tcp, trip: str) -> tuple[LimitedBy, str]:
    """Return what limited it where nothing waited here to be sent."""
    if tcp.rate * tcp.round_trip >= _NEARLY * _SERVER_WINDOW:
        return LimitedBy.WINDOW, (
            f"the SSH server takes {show_size(_SERVER_WINDOW)} in a round trip on a connection,"
            f" of which {figures.connections} sent; {trip}"
        )
    return LimitedBy.SERVER, (
        f"{figures.connection:.0%} of the time the SFTP server had received all,"
        " and not confirmed it"
    )

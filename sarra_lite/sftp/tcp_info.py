"""What the kernel counts of a TCP connection (tcp_info): of an own socket, or of a process's.

The socket of the ssh program is found by its inode, and asked for by netlink (sock_diag(7)), which
needs no privilege, and no permission to trace a process (decision 0036).
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_TCP_INFO: Final = struct.Struct("=8B24I4Q6I4Q2I2Q4I")  # linux/tcp.h, up to tcpi_snd_wnd of 5.4
_SOCK_DIAG: Final = 4  # linux/netlink.h, linux/sock_diag.h, linux/inet_diag.h
_BY_FAMILY: Final = 20
_REQUEST, _DUMP, _DONE, _ERROR = 0x1, 0x300, 3, 2
_INFO: Final = 2  # INET_DIAG_INFO
_ESTABLISHED: Final = 1 << 1
_HEADER: Final = struct.Struct("=IHHII")
_QUESTION: Final = struct.Struct("=BBBxI48s")  # family, protocol, extensions, states, socket
_ANSWER: Final = struct.Struct("=4B48s5I")
_ATTRIBUTE: Final = struct.Struct("=HH")
_RECEIVE: Final = 64 * 1024  # bytes
_ANSWERS_IN: Final = 1.0  # seconds; the kernel answers at once
_SOCKET: Final = re.compile(r"socket:\[(\d+)\]")
_MOST_CHILDREN: Final = 16  # processes of a ProxyCommand or ProxyJump


class TcpInfo(NamedTuple):
    """Counts since the connection was opened, and its present state.

    Seconds: ``busy`` with data that was not acknowledged, in which ``receiver`` had no room and
    ``buffer``, the send buffer here, was full.  Bytes: ``sent``, ``resent`` of them, and
    ``acknowledged``; ``unsent`` wait here, ``window`` is what the receiver takes.  ``round_trip``
    is in seconds.
    """

    busy: float
    receiver: float
    buffer: float
    sent: int
    resent: int
    acknowledged: int
    unsent: int
    window: int
    round_trip: float


def of_socket(sock: socket.socket) -> TcpInfo | None:
    """Return what the kernel has counted of a socket; None when it does not tell."""
    try:
        return parse(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size))
    except OSError:
        return None


def parse(data: bytes) -> TcpInfo | None:
    """Return a struct tcp_info; None when an old kernel gives too little of it."""
    if len(data) < _TCP_INFO.size:
        return None
    fields = _TCP_INFO.unpack_from(data)
    round_trip, acknowledged, unsent = fields[23], fields[34], fields[38]
    busy, receiver, buffer = (microseconds / 1e6 for microseconds in fields[43:46])
    sent, resent, window = fields[48], fields[49], fields[53]
    return TcpInfo(
        busy, receiver, buffer, sent, resent, acknowledged, unsent, window, round_trip / 1e6
    )


class ProcessSocket:
    """The TCP connection of a process of this user, or of one that it has started."""

    def __init__(self, pid: int) -> None:
        """``pid``: of a process that may not have connected yet."""
        self._pid = pid
        self._known: tuple[int, bytes] | None = None  # family, and what identifies the socket

    def info(self) -> TcpInfo | None:
        """Return what the kernel has counted; None when there is no socket, or it does not tell.

        Takes 0.1 ms; the first time all connections of the host are looked through.
        """
        found = None
        with (
            contextlib.suppress(OSError, struct.error),
            socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _SOCK_DIAG) as kernel,
        ):
            kernel.settimeout(_ANSWERS_IN)
            if (known := self._known or self._find(kernel)) is not None:
                # None of a connection that has ended, too, of which the kernel still knows.
                found = next((parse(info) for _, _, info in _ask(kernel, *known)), None)
                self._known = None if found is None else known
        return found

    def _find(self, kernel: socket.socket) -> tuple[int, bytes] | None:
        inodes = {inode for pid in _family(self._pid) for inode in _sockets(pid)}
        for family in (socket.AF_INET, socket.AF_INET6):
            # All of it is read, since what is left would be taken for the next answer.
            for ident, inode, _ in list(_ask(kernel, family, bytes(48), flags=_DUMP)):
                if inode in inodes:
                    return family, ident
        return None


def _family(pid: int) -> list[int]:
    """Return a process and those that it has started, and so on."""
    found = [pid]
    for one in found:
        with contextlib.suppress(OSError):
            children = Path(f"/proc/{one}/task/{one}/children").read_text().split()
            found += map(int, children[: _MOST_CHILDREN - len(found)])
    return found


def _sockets(pid: int) -> Iterator[int]:
    """Yield the inodes of the sockets that a process has open."""
    with contextlib.suppress(OSError):
        for entry in os.scandir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                if match := _SOCKET.match(os.readlink(entry.path)):
                    yield int(match[1])


def _ask(
    kernel: socket.socket, family: int, ident: bytes, flags: int = 0
) -> Iterator[tuple[bytes, int, bytes]]:
    """Yield what identifies a socket, its inode and its tcp_info; of all with ``_DUMP``."""
    extensions = 1 << (_INFO - 1)
    question = _QUESTION.pack(family, socket.IPPROTO_TCP, extensions, _ESTABLISHED, ident)
    size = _HEADER.size + len(question)
    kernel.send(_HEADER.pack(size, _BY_FAMILY, _REQUEST | flags, 1, 0) + question)
    while True:
        data = kernel.recv(_RECEIVE)
        while data:
            length, kind, *_ = _HEADER.unpack_from(data)
            if kind in (_DONE, _ERROR):
                return
            fields = _ANSWER.unpack_from(data, _HEADER.size)
            attributes = data[_HEADER.size + _ANSWER.size : length]
            yield fields[4], fields[9], _attribute(attributes, _INFO)
            data = data[_aligned(length) :]
        if not flags:
            return


def _attribute(data: bytes, wanted: int) -> bytes:
    """Return the value of an attribute; nothing when there is none."""
    while len(data) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(data)
        if kind == wanted:
            return data[_ATTRIBUTE.size : length]
        data = data[max(_aligned(length), _ATTRIBUTE.size) :]
    return b""


def _aligned(length: int) -> int:
    return -(-length // 4) * 4

"""Sends buffers by sendmsg(2) and ranges of local files by sendfile(2), not copied into Python."""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import socket
    from collections import deque

_BUFFERS_AT_ONCE: Final = 128  # for one sendmsg(2); IOV_MAX is 1024
_ZEROS_AT_ONCE: Final = 256 * 1024  # bytes


class OpenFile:
    """A file descriptor that is closed with the last reference to this object.

    Ranges of a file that is given up may still be queued.  If its descriptor were closed before
    they are sent, the number could be reused, and content of another file would be sent.
    """

    def __init__(self, path: str) -> None:
        """Open the file for reading, without waiting for the writer of a pipe; raise OSError."""
        self.number = os.open(path, os.O_RDONLY | os.O_NONBLOCK)

    def __del__(self) -> None:
        """Close the descriptor, if it was opened."""
        if hasattr(self, "number"):
            os.close(self.number)


@dataclass(eq=False)
class FileRange:
    """``length`` bytes at ``offset`` of a file, sent by the kernel from its page cache.

    When the file cannot be read that far, zeros are sent instead, since the length of the packet is
    sent already, and ``read_error`` has the reason.
    """

    file: OpenFile
    offset: int
    length: int
    sent: int = 0
    read_error: str = ""

    def __len__(self) -> int:
        """Return the length in bytes, sent or not."""
        return self.length

    def send(self, sock: socket.socket) -> bool:
        """Send what the socket accepts, or raise BlockingIOError; return whether all is sent."""
        left = self.length - self.sent
        if not self.read_error:
            try:
                count = os.sendfile(sock.fileno(), self.file.number, self.offset + self.sent, left)
            except (BlockingIOError, ConnectionError):
                raise
            except OSError as error:
                count, self.read_error = 0, f"cannot be read: {error.strerror}"
            if not count:
                self.read_error = self.read_error or "shorter than announced"
        if self.read_error:
            count = sock.send(bytes(min(left, _ZEROS_AT_ONCE)))
        self.sent += count
        return self.sent == self.length


Content = bytes | memoryview | FileRange  # of a packet


def send_queue(sock: socket.socket, queue: deque[Content]) -> None:
    """Send a queue until it is empty; on OSError, BlockingIOError included, the rest stays."""
    while queue:
        if not isinstance(first := queue[0], FileRange):
            _send_buffers(sock, queue)
        elif first.send(sock):
            queue.popleft()


def _send_buffers(sock: socket.socket, queue: deque[Content]) -> None:
    """Send, with one system call, the buffers at the head of a queue, up to the first range."""
    buffers: list[bytes | memoryview] = []
    for item in islice(queue, _BUFFERS_AT_ONCE):
        if isinstance(item, FileRange):
            break
        buffers.append(item)
    sent = sock.sendmsg(buffers)
    for buffer in buffers:
        if sent < len(buffer):
            queue[0] = memoryview(buffer)[sent:]
            break
        sent -= len(buffer)
        queue.popleft()

"""Content that goes from a file into a socket within the kernel, not through us."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import socket

_ZEROS: Final = 256 * 1024  # bytes at once


class OpenFile:
    """A number of an open file, open as long as anybody holds this.

    Extents of a file that was given up may still wait to be sent; with its number closed, or that
    of another file by then, the content of another file would be sent.
    """

    def __init__(self, path: str, flags: int) -> None:
        """Open; OSError as ``os.open``."""
        self.number = os.open(path, flags | os.O_CLOEXEC)

    def __del__(self) -> None:
        """Close with the last who holds it."""
        if hasattr(self, "number"):
            os.close(self.number)


class FileRange:
    """A range of an open file, sent by the kernel from its page cache, not copied through us.

    ``missing``: why not all of it could be read; zeros went instead, so that the stream holds.
    """

    def __init__(self, file: OpenFile, offset: int, length: int) -> None:
        """``offset`` and ``length`` in bytes; the file stays open as long as this lives."""
        self.missing = ""
        self._file = file
        self._offset = offset
        self._length = length
        self._sent = 0

    def __len__(self) -> int:
        """Bytes of it, sent or not."""
        return self._length

    def send(self, to: socket.socket) -> bool:
        """Send some of it; return whether all is sent.  BlockingIOError when nothing is taken."""
        offset, left = self._offset + self._sent, self._length - self._sent
        if not self.missing:
            try:
                sent = os.sendfile(to.fileno(), self._file.number, offset, left)
            except (BlockingIOError, ConnectionError):
                raise
            except OSError as error:
                sent, self.missing = 0, f"cannot be read: {error.strerror}"
            if not sent:
                self.missing = self.missing or "shorter than announced"
        if self.missing:
            sent = to.send(bytes(min(left, _ZEROS)))
        self._sent += sent
        return self._sent == self._length

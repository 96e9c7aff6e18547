"""What a command inherits from whoever starts it: its locale and its standard streams."""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import Final

from sarra_lite.errors import SarraError
from sarra_lite.units import printable

STDIN: Final = 0
# How what is closed is opened, so that no other file gets its number.  Reading from standard input
# and writing to standard output fail then; what would be written to standard error is lost.
_OPENED: Final = (os.O_WRONLY, os.O_RDONLY, os.O_WRONLY)


def prepare() -> None:
    """Open standard streams that are closed, and make names the same bytes in every locale.

    Python reads names on the command line as the locale says, before any of our code runs.  Only
    UTF-8 gives every byte back, so in another locale this runs the program anew, in UTF-8 mode.
    """
    for descriptor, flags in enumerate(_OPENED):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, flags), True)  # noqa: FBT003  takes no keyword
    if sys.getfilesystemencoding() != "utf-8" and "utf8" not in sys._xoptions:  # noqa: SLF001
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])  # noqa: S606
    # Python sets what was closed to None.
    sys.stdout = sys.stdout or open(1, "w", encoding="utf-8")  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def write(text: str) -> None:
    """Write to standard output at once.

    Raises SarraError when that is not possible, BrokenPipeError when its reader has ended.
    """
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        discard_output()
        raise _stream_error("output", error) from None


def read(size: int) -> bytes:
    """Read from standard input; raise SarraError when that is not possible."""
    try:
        return os.read(STDIN, size)
    except OSError as error:
        raise _stream_error("input", error) from None


def discard_output() -> None:
    """Write nothing more to standard output, not even what is in its buffer."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def told(error: OSError) -> str:
    """Return an error of the operating system as one line, with the file that it is about."""
    reason = (error.strerror or str(error)).lower()
    if not isinstance(error.filename, str | bytes):
        return reason
    return f"{printable(os.fsdecode(error.filename))}: {reason}"


def _stream_error(name: str, error: OSError) -> SarraError:
    reason = "is closed" if error.errno == errno.EBADF else (error.strerror or "").lower()
    return SarraError(f"standard {name}: {reason}")

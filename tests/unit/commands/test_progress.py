"""The line that shows progress, as a terminal of some width gets it."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios

import pytest

DRAW = """
from sarra_lite.commands.progress import Progress
with Progress("arrived") as progress:
    progress.files, progress.of_files, progress.failed = 123456, 1234567, 12
    progress.bytes, progress.of_bytes = 5 * 2**40, 20 * 2**40
    progress.show()
"""
STOP_TWICE = """
import asyncio, os, signal
from sarra_lite import runtime
from sarra_lite.commands.progress import Progress

async def run():
    with Progress("arrived") as progress:
        stop = runtime.stop_on_signals()
        progress.show()
        os.kill(os.getpid(), signal.SIGINT)
        await stop.wait()
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.Event().wait()

runtime.run_loop(run())
"""


def _on_terminal(program: str, columns: int, status: int = 0) -> str:
    """Run a program; return what a terminal of this width gets, with its escapes."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("4H", 24, columns, 0, 0))
    env = {k: v for k, v in os.environ.items() if k != "COLUMNS"} | {"TERM": "xterm"}
    output = b""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=its, stdout=its, stderr=its, env=env
    ) as process:
        os.close(its)
        try:
            while chunk := os.read(ours, 4096):
                output += chunk
        except OSError:  # the program has closed the terminal
            os.close(ours)
    assert process.returncode == status
    return output.decode()


@pytest.mark.parametrize("columns", [40, 60, 80, 100, 200])
def test_the_progress_is_one_line_with_room_for_a_typed_control_character(columns: int) -> None:
    drawn = _on_terminal(DRAW, columns).rstrip("\r\n")
    plain = re.sub(r"\x1b\[[?0-9;]*[a-zA-Z]", "", drawn)
    assert "\n" not in plain.rstrip()
    last = plain.rstrip().rpartition("\r")[2]
    assert len(last) <= columns - len("^C")
    assert "123456/1234567" in re.sub(r"(?<=\d),(?=\d)", "", last)
    assert "12 failed" in last
    assert ("25%" if columns < 80 else "5.0/20.0 TiB") in last


def test_a_second_interrupt_leaves_cursor_and_prompt_as_they_were() -> None:
    drawn = _on_terminal(STOP_TWICE, 80, 128 + signal.SIGINT)
    assert drawn.rfind("\x1b[?25h") > drawn.rfind("\x1b[?25l")
    assert drawn.endswith("\n")

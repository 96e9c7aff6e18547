"""Runs a program of ours that is killed, as by kill -9, at a given step of its work.

``python -m tests.lab.dying sftp 7 sr_sender --drain``: after its seventh SFTP request.  With
``broker`` the steps are what it tells the broker: publishing, acknowledging, declaring.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

from sarra_lite.broker import connection
from sarra_lite.sftp import session

if TYPE_CHECKING:
    from collections.abc import Callable

STEPS: dict[str, tuple[type, str]] = {
    "sftp": (session.Session, "send"),
    "broker": (connection.Connection, "run_in_thread"),
}


def main() -> int:
    """Run the program; it lives on when it has fewer steps."""
    where, count, program, *arguments = sys.argv[1:]
    owner, name = STEPS[where]
    _die_after(int(count), owner, name)
    sys.argv[0] = program
    status: int = importlib.import_module(f"sarra_lite.commands.{program[3:]}").main(arguments)
    return status


def _die_after(count: int, owner: type, name: str) -> None:
    original: Callable[..., Any] = getattr(owner, name)
    left = count

    def counted(*args: Any, **kwargs: Any) -> Any:
        nonlocal left
        result = original(*args, **kwargs)
        left -= 1
        if left == 0:
            if isinstance(args[0], session.Session):
                args[0].flush()  # what was asked for is on its way
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, counted)


if __name__ == "__main__":
    sys.exit(main())

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

from pika.channel import Channel

from sarra_lite.sftp import session

if TYPE_CHECKING:
    from collections.abc import Callable

STEPS: dict[str, list[tuple[type, str]]] = {
    "sftp": [(session.Session, "send"), (session.Session, "send_packet")],
    "broker": [(Channel, "_send_method")],
}


def main() -> int:
    """Run the program; it lives on when it has fewer steps."""
    where, count, program, *arguments = sys.argv[1:]
    _die_after(int(count), STEPS[where])
    sys.argv[0] = program
    status: int = importlib.import_module(f"sarra_lite.commands.{program[3:]}").main(arguments)
    return status


def _die_after(count: int, methods: list[tuple[type, str]]) -> None:
    """Kill this process after so many calls of some methods, with all sent that they send."""
    left = count

    def counting(original: Callable[..., Any]) -> Callable[..., Any]:
        def counted(sender: Any, *args: Any, **kwargs: Any) -> Any:
            nonlocal left
            result = original(sender, *args, **kwargs)
            left -= 1
            if left == 0:
                if isinstance(sender, Channel):
                    sender.connection.send_batch()  # type: ignore[attr-defined]  # is ours
                else:
                    sender.flush()
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return counted

    for owner, name in methods:
        setattr(owner, name, counting(getattr(owner, name)))


if __name__ == "__main__":
    sys.exit(main())

"""Starts and ends programs of the lab, and is the only one to send signals."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from random import sample
from typing import TYPE_CHECKING, Final

from tests.lab import LabError, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

# Below the range out of which the kernel gives ports to outgoing connections: a service which is
# stopped finds its port free when it starts again.
PORTS: Final = range(20000, 32000)
SYSTEM_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def find_program(name: str) -> str:
    """Return the path of a program; raise `Unavailable` when it is not installed."""
    if found := shutil.which(name, path=SYSTEM_PATH):
        return found
    raise Unavailable(f"{name} is not installed")


def free_port(address: str = "127.0.0.1") -> int:
    """Return a TCP port nobody listens on at the address."""
    for port in sample(PORTS, 200):
        with socket.socket() as probe, suppress(OSError):
            probe.bind((address, port))
            return port
    raise LabError(f"no free port at {address}")


def wait_until(predicate: Callable[[], object], what: str, seconds: float = 10.0) -> None:
    """Return as soon as the predicate is true; raise `LabError` when it is not in time."""
    deadline = time.monotonic() + seconds
    while not predicate():
        if time.monotonic() > deadline:
            raise LabError(f"not within {seconds:g} s: {what}")
        time.sleep(0.02)


def alive(pids: set[int]) -> set[int]:
    """Return those of the processes that live; zombies do not, nobody may ever fetch them."""
    return pids & _processes().keys()


def _processes() -> dict[int, tuple[int, int]]:
    """Return parent and session of every process that lives, zombies left out."""
    found: dict[int, tuple[int, int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it ended meanwhile
            # The name may hold spaces and brackets, so count from the last bracket.
            state, parent, _, session = (
                stat.read_text(errors="replace").rpartition(")")[2].split()[:4]
            )
            if state not in "ZX":
                found[int(stat.parent.name)] = int(parent), int(session)
    return found


class Process:
    """A program in its own session, with all that it has started; its output goes to a log."""

    def __init__(
        self,
        argv: Sequence[str],
        log: Path,
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        """Start the program; its output is added to the log."""
        self.name = Path(argv[0]).name
        self.log = log
        with log.open("ab") as output:
            self._log_start = output.tell()
            self._popen = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=env,
                cwd=cwd,
                start_new_session=True,
            )
        self.pid = self._popen.pid

    def running(self) -> bool:
        """Tell whether the program itself lives."""
        return self._popen.poll() is None

    def output(self) -> str:
        """Return what this run has written to the log."""
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode(errors="replace")

    def wait_ready(self, predicate: Callable[[], object], seconds: float = 60.0) -> None:
        """Return when the predicate is true; end the program and raise when it dies or is late."""
        try:
            wait_until(lambda: not self.running() or predicate(), f"{self.name} is ready", seconds)
        except LabError as error:
            problem = str(error)
        else:
            if self.running():
                return
            problem = f"{self.name} ended with status {self._popen.returncode}"
        self.kill()
        tail = "\n".join(self.output().splitlines()[-40:])
        raise LabError(f"{problem}; the end of {self.log}:\n{tail}")

    def members(self) -> set[int]:
        """Return the ids of the program and all that descend from it, in whatever session."""
        if self._popen.returncode is not None:
            return set()  # reaped: the number may be somebody else's by now
        alive = _processes()
        found = {pid for pid, (_, session) in alive.items() if self.pid in (pid, session)}
        while more := {pid for pid, (parent, _) in alive.items() if parent in found} - found:
            found |= more
        return found

    def signal(self, number: signal.Signals, *, children_only: bool = False) -> set[int]:
        """Send a signal to every member, also to those born meanwhile; return their ids."""
        done: set[int] = {self.pid} if children_only else set()
        while new := self.members() - done:
            for pid in sorted(new):  # the oldest first, so that it starts no more
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
            done |= new
        return done

    def stop(self, grace: float = 15.0) -> None:
        """Ask the program to end, and kill whatever of it is left after so many seconds."""
        members = self.members()
        if self.running():
            self._popen.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._popen.wait(grace)
        if self.running():
            self.kill()
        self._see_off(members)

    def kill(self) -> None:
        """End the program and all that it has started at once."""
        members = self.signal(signal.SIGKILL) if self.running() else set()
        self._popen.wait()
        self._see_off(members)

    def _see_off(self, members: set[int]) -> None:
        """Wait until the members are gone; helpers end by themselves when their parent has."""
        with suppress(LabError):
            wait_until(lambda: not alive(members), "helpers end", seconds=2)
        for pid in alive(members):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not alive(members), f"all of {self.name} is gone")

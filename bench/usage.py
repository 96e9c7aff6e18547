"""Runs a command and tells what it took: seconds, processor time at both ends, memory."""

from __future__ import annotations

import ctypes
import os
import platform
import select
import signal
import subprocess
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

INTERVAL: Final = 0.05  # seconds between two looks at memory
_VSIZE: Final = 20  # of the fields of stat, from the state on
_KCMP: Final = {"x86_64": 312, "aarch64": 272}  # the system call, see kcmp(2)
_KCMP_VM: Final = 1
_TICK: Final = 1 / os.sysconf("SC_CLK_TCK")
_LEFT_OVER: Final = 2.0  # seconds that helpers may outlive the command
_SUBREAPER: Final = 36  # PR_SET_CHILD_SUBREAPER


class Failed(Exception):
    """The command ended with an error, or not in time; the text says how."""


class Used(NamedTuple):
    """What a command took.

    ``client_cpu`` and ``server_cpu``: seconds of all processes at each end, user and system.
    ``peak``: most bytes of memory of all client processes together (PSS, looked at every 50 ms).
    ``processes``: most client processes at once.
    ``began``: monotonic seconds.
    """

    seconds: float
    client_cpu: float
    server_cpu: float
    peak: int
    processes: int
    output: str
    began: float


class Work(NamedTuple):
    """A command, and what belongs to its measurement.

    ``servers``: processes whose trees do the other end's work.  ``helpers``: processes that run
    already and whose trees work for the client.  ``until``: the work is done when this is true,
    after the command has ended.  ``patience``: seconds after which it has failed.
    """

    command: Sequence[str]
    servers: Iterable[int] = ()
    helpers: Iterable[int] = ()
    until: Callable[[], bool] | None = None
    patience: float = 600.0
    env: Mapping[str, str] | None = None
    cwd: Path | None = None


class Tree:
    """Processes that descend from some, found by looking again and again."""

    def __init__(self, *roots: int) -> None:
        """Each root also stands for the session that it leads."""
        self.roots = roots
        self.members = set(roots)
        self._others: set[int] = set()

    def look(self) -> set[int]:
        """Return all that live; each process of the machine is examined only once."""
        present = _present()
        for pid in sorted(present - self._others - self.members):
            fields = stat_fields(pid)
            if not fields:
                continue
            if int(fields[1]) in self.members or int(fields[3]) in self.roots:
                self.members.add(pid)
            else:
                self._others.add(pid)
        self.members &= present
        self._others &= present
        return self.members

    def cpu(self) -> float:
        """Return the seconds of processor time of all that live, and of what they reaped."""
        fields = (stat_fields(pid) for pid in self.look())
        return _TICK * sum(sum(map(int, one[11:15])) for one in fields if one)

    def memory(self) -> tuple[int, int]:
        """Return the bytes that all use, shared pages shared out, and how many they are."""
        members = self.look()
        sizes = [
            size for pid in members if not _borrows(pid, members) and (size := proportional(pid))
        ]
        return sum(sizes), len(sizes)


def stat_fields(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat from the state on; none when it is gone or a zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return []
    fields = text.rpartition(b")")[2].decode().split()
    return [] if fields[0] == "X" else fields


def proportional(pid: int) -> int:
    """Return the proportional set size (PSS) of a process in bytes; 0 when it is gone."""
    with suppress(OSError), Path(f"/proc/{pid}/smaps_rollup").open("rb") as file:
        for line in file:
            if line.startswith(b"Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def _borrows(pid: int, others: set[int]) -> bool:
    """Whether a process is about to start a program (vfork), in the memory of its parent yet."""
    fields = stat_fields(pid)
    if not fields or (parent := int(fields[1])) not in others:
        return False
    same_size = stat_fields(parent)[_VSIZE : _VSIZE + 1] == [fields[_VSIZE]]
    number = _KCMP.get(platform.machine())
    if not same_size or number is None:
        return False
    return int(ctypes.CDLL(None).syscall(number, pid, parent, _KCMP_VM, 0, 0)) == 0


def measured(work: Work) -> Used:
    """Run a command to its end; raises Failed."""
    servers, helpers = Tree(*work.servers), Tree(*work.helpers)
    server_before, helper_before = servers.cpu(), helpers.cpu()
    with tempfile.TemporaryFile() as output, _adopting() as adopted:
        began = time.monotonic()
        process = subprocess.Popen(
            work.command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=work.env,
            cwd=work.cwd,
            start_new_session=True,
        )
        tree = Tree(process.pid)
        try:
            peak, processes = _wait(process.pid, (tree, helpers), began + work.patience)
            # What we have not fetched keeps its number, so nobody else can have it.
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            _wait_until(work.until, began + work.patience)
            seconds = time.monotonic() - began
            client = usage.ru_utime + usage.ru_stime + helpers.cpu() - helper_before
        finally:
            client_rest = _see_off(tree, adopted, in_order=process.returncode is not None)
            process.poll()
        output.seek(0)
        said = output.read().decode(errors="replace")
    if process.returncode:
        raise Failed(f"exit status {process.returncode}: {said[-500:]}")
    server = _settled(servers) - server_before
    return Used(seconds, client + client_rest, server, peak, processes, said, began)


def _wait(pid: int, trees: tuple[Tree, Tree], deadline: float) -> tuple[int, int]:
    """Wait for a process; return the most bytes and processes of the trees meanwhile."""
    peak = processes = 0
    descriptor = os.pidfd_open(pid)
    try:
        while True:
            used = [tree.memory() for tree in trees]
            peak = max(peak, sum(size for size, _ in used))
            processes = max(processes, sum(count for _, count in used))
            if select.select([descriptor], [], [], INTERVAL)[0]:
                return peak, processes
            if time.monotonic() > deadline:
                raise Failed("not done in time")
    finally:
        os.close(descriptor)


def _wait_until(done: Callable[[], bool] | None, deadline: float) -> None:
    while done is not None and not done():
        if time.monotonic() > deadline:
            raise Failed("not done in time")
        time.sleep(0.02)


def _see_off(tree: Tree, adopted: Callable[[], set[int]], *, in_order: bool) -> float:
    """End what the command has left behind; return the processor time that nobody counted yet.

    ``in_order``: the command itself has ended, and its helpers have a moment to do so.
    """
    deadline = time.monotonic() + (_LEFT_OVER if in_order else 0.0)
    spent = 0.0
    while left := (tree.look() | adopted()):
        for pid in left:
            if time.monotonic() > deadline:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            with suppress(ChildProcessError):
                found, _, usage = os.wait4(pid, os.WNOHANG)
                spent += usage.ru_utime + usage.ru_stime if found else 0.0
        time.sleep(0.005)
    return spent


def _settled(servers: Tree) -> float:
    """Return the servers' processor time once it does not grow: the last sessions have ended."""
    deadline = time.monotonic() + _LEFT_OVER
    last = servers.cpu()
    while time.monotonic() < deadline:
        time.sleep(0.1)
        now = servers.cpu()
        if now - last < _TICK:
            return now
        last = now
    return last


@contextmanager
def _adopting() -> Iterator[Callable[[], set[int]]]:
    """Be the parent of what commands leave behind, so that their time can be counted.

    Gives what tells which those are.
    """
    library, own = ctypes.CDLL(None), children(os.getpid())
    library.prctl(_SUBREAPER, 1, 0, 0, 0)
    try:
        yield lambda: children(os.getpid()) - own
    finally:
        library.prctl(_SUBREAPER, 0, 0, 0, 0)


def children(pid: int) -> set[int]:
    """Return the children of a process, zombies as well."""
    return {one for one in _present() if stat_fields(one)[1:2] == [str(pid)]}


def _present() -> set[int]:
    """Return all processes of the machine."""
    return {int(name) for name in os.listdir("/proc") if name.isdigit()}  # noqa: PTH208

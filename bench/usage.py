"""Runs a command and measures its seconds, its processor time at both ends, and its memory."""

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

INTERVAL: Final = 0.05  # seconds between two measurements of memory
_VSIZE: Final = 20  # index in stat_fields()
_KCMP: Final = {"x86_64": 312, "aarch64": 272}  # number of the system call, see kcmp(2)
_KCMP_VM: Final = 1
_TICK: Final = 1 / os.sysconf("SC_CLK_TCK")
_GRACE: Final = 2.0  # seconds that descendants may outlive the command
_SUBREAPER: Final = 36  # PR_SET_CHILD_SUBREAPER


class Failed(Exception):
    """The command ended with an error or not in time; the text says which."""


class Used(NamedTuple):
    """What a command used.

    ``client_cpu`` and ``server_cpu``: seconds of all processes at each end, user and system.
    ``peak``: maximum bytes of memory of all client processes together (PSS, measured every 50 ms).
    ``processes``: maximum number of client processes.
    ``began``: when the command was started, in monotonic seconds.
    """

    seconds: float
    client_cpu: float
    server_cpu: float
    peak: int
    processes: int
    output: str
    began: float


class Work(NamedTuple):
    """A command, and the processes to measure with it.

    ``servers``: processes that, with their descendants, work at the server's end.  ``helpers``:
    running processes that, with their descendants, work for the client.  ``until``: after the
    command has ended, the work is done when this returns true.  ``patience``: timeout in seconds.
    """

    command: Sequence[str]
    servers: Iterable[int] = ()
    helpers: Iterable[int] = ()
    until: Callable[[], bool] | None = None
    patience: float = 600.0
    env: Mapping[str, str] | None = None
    cwd: Path | None = None


class Tree:
    """Some processes and their descendants, found by reading /proc repeatedly."""

    def __init__(self, *roots: int) -> None:
        """Start with the roots; the processes of a session that a root leads belong to it, too."""
        self.roots = roots
        self.members = set(roots)
        self._unrelated: set[int] = set()

    def update(self) -> set[int]:
        """Return the processes that are alive; each process of the machine is examined once."""
        present = _all_pids()
        for pid in sorted(present - self._unrelated - self.members):
            fields = stat_fields(pid)
            if not fields:
                continue
            if int(fields[1]) in self.members or int(fields[3]) in self.roots:
                self.members.add(pid)
            else:
                self._unrelated.add(pid)
        self.members &= present
        self._unrelated &= present
        return self.members

    def cpu(self) -> float:
        """Return the processor seconds of all live processes and of the children they reaped."""
        stats = (stat_fields(pid) for pid in self.update())
        return _TICK * sum(sum(map(int, fields[11:15])) for fields in stats if fields)

    def memory(self) -> tuple[int, int]:
        """Return the memory of all live processes in bytes (sum of PSS), and their number."""
        members = self.update()
        sizes = [
            size
            for pid in members
            if not _shares_memory(pid, members) and (size := proportional_set_size(pid))
        ]
        return sum(sizes), len(sizes)


def stat_fields(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat from the state on; none if the process is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return []
    fields = text.rpartition(b")")[2].decode().split()
    return [] if fields[0] == "X" else fields


def proportional_set_size(pid: int) -> int:
    """Return the proportional set size (PSS) of a process in bytes; 0 if it has ended."""
    with suppress(OSError), Path(f"/proc/{pid}/smaps_rollup").open("rb") as file:
        for line in file:
            if line.startswith(b"Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def _shares_memory(pid: int, others: set[int]) -> bool:
    """Return whether a process still uses its parent's memory, as between vfork and exec."""
    fields = stat_fields(pid)
    if not fields or (parent := int(fields[1])) not in others:
        return False
    same_size = stat_fields(parent)[_VSIZE : _VSIZE + 1] == [fields[_VSIZE]]
    number = _KCMP.get(platform.machine())
    if not same_size or number is None:
        return False
    return int(ctypes.CDLL(None).syscall(number, pid, parent, _KCMP_VM, 0, 0)) == 0


def measured(work: Work) -> Used:
    """Run a command to its end, and return what it used; raise Failed."""
    servers, helpers = Tree(*work.servers), Tree(*work.helpers)
    server_before, helper_before = servers.cpu(), helpers.cpu()
    with tempfile.TemporaryFile() as output, _as_subreaper() as adopted:
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
            # Until wait4, the process id cannot be used by another process.
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            _wait_until(work.until, began + work.patience)
            seconds = time.monotonic() - began
            client = usage.ru_utime + usage.ru_stime + helpers.cpu() - helper_before
        finally:
            unwaited_cpu = _reap_rest(tree, adopted, in_order=process.returncode is not None)
            process.poll()
        output.seek(0)
        text = output.read().decode(errors="replace")
    if process.returncode:
        raise Failed(f"exit status {process.returncode}: {text[-500:]}")
    server = _cpu_when_idle(servers) - server_before
    return Used(seconds, client + unwaited_cpu, server, peak, processes, text, began)


def _wait(pid: int, trees: tuple[Tree, Tree], deadline: float) -> tuple[int, int]:
    """Wait for a process; return the maximum bytes and number of processes of the trees."""
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


def _reap_rest(tree: Tree, adopted: Callable[[], set[int]], *, in_order: bool) -> float:
    """End and reap the processes that the command left; return their processor seconds.

    ``in_order``: the command has ended, so its descendants get some time to end by themselves.
    """
    deadline = time.monotonic() + (_GRACE if in_order else 0.0)
    seconds = 0.0
    while remaining := (tree.update() | adopted()):
        for pid in remaining:
            if time.monotonic() > deadline:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            with suppress(ChildProcessError):
                reaped, _, usage = os.wait4(pid, os.WNOHANG)
                seconds += usage.ru_utime + usage.ru_stime if reaped else 0.0
        time.sleep(0.005)
    return seconds


def _cpu_when_idle(servers: Tree) -> float:
    """Return the servers' processor seconds when they stop growing: the sessions have ended."""
    deadline = time.monotonic() + _GRACE
    last = servers.cpu()
    while time.monotonic() < deadline:
        time.sleep(0.1)
        now = servers.cpu()
        if now - last < _TICK:
            return now
        last = now
    return last


@contextmanager
def _as_subreaper() -> Iterator[Callable[[], set[int]]]:
    """Become the parent of orphaned descendants, so that their processor time can be counted.

    Yields a function that returns the children which this process did not have before.
    """
    library, own = ctypes.CDLL(None), children(os.getpid())
    library.prctl(_SUBREAPER, 1, 0, 0, 0)
    try:
        yield lambda: children(os.getpid()) - own
    finally:
        library.prctl(_SUBREAPER, 0, 0, 0, 0)


def children(pid: int) -> set[int]:
    """Return the children of a process, including zombies."""
    return {child for child in _all_pids() if stat_fields(child)[1:2] == [str(pid)]}


def _all_pids() -> set[int]:
    """Return the ids of all processes of the machine."""
    return {int(name) for name in os.listdir("/proc") if name.isdigit()}  # noqa: PTH208

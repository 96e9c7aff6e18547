"""Looks once a second at large files that take long: how far they are, and why not faster.

Small files are not known here.  A look takes 0.1 ms for each connection, in a thread.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sarra_lite.delivery.stopwatch import Phase, Stopwatch
from sarra_lite.dispatch.readings import Reading, slowness_between, total

if TYPE_CHECKING:
    from collections.abc import Callable

    from sarra_lite.delivery.job import Job
    from sarra_lite.dispatch.slowness import Slowness
    from sarra_lite.sftp.client import SftpClient
    from sarra_lite.sftp.target import Sample

_LEAST: Final = 4 * 1024 * 1024  # bytes of a file; what is smaller is under way at once
_LOOK: Final = 1.0  # seconds
_LONG: Final = 2.0  # seconds from which on a transfer is looked at
_TOLD_EVERY: Final = 10.0  # seconds; one report of a file, whatever blocks of it are under way
_MAX_OBSERVED: Final = 1000  # files in blocks whose finish may still come to this process


@dataclass(frozen=True)
class UnderWay:
    """How far a job has come: ``bytes`` are written, after so many seconds."""

    job: Job
    bytes: int
    seconds: float
    slowness: Slowness | None


class Watch(Stopwatch):
    """What one upload of a file waits for, and has ``written``."""

    def __init__(self, job: Job, file: _File | None, on_written: Callable[[int], None]) -> None:
        """``file``: None when it is not looked at."""
        super().__init__()
        self._on_written = on_written
        self.job = job
        self.written = 0
        self._file = file

    def count(self, size: int) -> None:
        """Count bytes that the server has confirmed."""
        self.written += size
        self._on_written(size)

    def end(self) -> None:
        """Note that the upload has ended."""
        self.stop()
        if self._file is not None:
            self._file.end(self)


@dataclass(eq=False)
class _File:
    """A file of which this process sends all or some blocks."""

    begun: float
    told: float  # when its progress was told, or it was begun
    watches: list[Watch] = field(default_factory=list)
    first: Reading | None = None
    last: Reading | None = None
    told_last: Reading | None = None
    _turns: dict[int | None, float] = field(default_factory=dict)
    _spent: list[float] = field(default_factory=lambda: [0.0] * len(Phase))
    _written: int = 0

    def end(self, watch: Watch) -> None:
        """Keep what an upload that has ended has counted."""
        self.watches.remove(watch)
        self._spent = total([self._spent, watch.seconds])
        self._written += watch.written

    def read(self, now: float, samples: dict[SftpClient, Sample]) -> None:
        """Add a reading."""
        spent = total([self._spent, *(watch.seconds for watch in self.watches)])
        written = self._written + sum(watch.written for watch in self.watches)
        self.last = Reading(now, spent, written, time.process_time(), samples)
        self.first = self.first or self.last
        self.told_last = self.told_last or self.last

    def tell(self, now: float) -> UnderWay:
        """Return how far one of its blocks is: they take turns."""
        blocks = {watch.job.announcement.block for watch in self.watches}
        block = min(blocks, key=lambda one: self._turns.get(one, 0.0))
        self._turns = {one: at for one, at in self._turns.items() if one in blocks} | {block: now}
        of_block = [one for one in self.watches if one.job.announcement.block == block]
        slowness = slowness_between(self.told_last, self.last)
        self.told, self.told_last = now, self.last
        written, begun = sum(one.written for one in of_block), min(one.begun for one in of_block)
        return UnderWay(of_block[0].job, written, now - begun, slowness)


class Observer:
    """The large files that are being sent."""

    def __init__(
        self,
        clients: Callable[[], list[SftpClient]],
        on_event: Callable[[UnderWay | Exception], None],
        on_written: Callable[[int], None],
    ) -> None:
        """``clients`` returns the open connections; ``on_event`` gets what is to be told.

        ``on_written`` gets all that is counted.
        """
        self._clients = clients
        self._on_event = on_event
        self._on_written = on_written
        self._files: dict[tuple[str, str], _File] = {}
        self._looking: asyncio.Task[None] | None = None  # while any is being sent

    def begin(self, job: Job, *, helps: bool = False) -> Watch:
        """Return the watch of an upload that begins; ``helps``: of a part of another's block."""
        announcement = job.announcement
        if job.given_up or not job.content_bytes or (announcement.size or 0) < _LEAST:
            return Watch(job, None, self._on_written)
        key = announcement.key[:2]
        file = self._files.get(key)
        if file is None or (announcement.blocks is None and not helps):
            now = time.monotonic()
            file = self._files[key] = _File(now, now)
            if len(self._files) > _MAX_OBSERVED:
                del self._files[next(iter(self._files))]
        watch = Watch(job, file, self._on_written)
        file.watches.append(watch)
        if self._looking is None:
            self._looking = asyncio.get_running_loop().create_task(self._look_at_all())
        return watch

    def conclude(self, job: Job) -> Slowness | None:
        """Return what limited a file that is complete, and forget it."""
        if job.announcement.block is not None:
            return None
        file = self._files.pop(job.announcement.key[:2], None)
        return None if file is None else slowness_between(file.first, file.last)

    def close(self) -> None:
        """Look no more."""
        if self._looking is not None:
            self._looking.cancel()

    async def _look_at_all(self) -> None:
        try:
            while any(file.watches for file in self._files.values()):
                await asyncio.sleep(_LOOK)
                await self._look()
        except Exception as error:  # noqa: BLE001  otherwise nobody would learn of it
            self._on_event(error)
        finally:
            self._looking = None

    async def _look(self) -> None:
        """Read what is counted of files that take long; tell how far they are."""
        begun = time.monotonic() - _LONG
        slow = [file for file in self._files.values() if file.watches and file.begun <= begun]
        if not slow:
            return
        samples = await asyncio.to_thread(_samples, self._clients())
        now = time.monotonic()
        for file in slow:
            if file.watches:
                file.read(now, samples)
                if now - file.told >= _TOLD_EVERY:
                    self._on_event(file.tell(now))


def _samples(clients: list[SftpClient]) -> dict[SftpClient, Sample]:
    return {client: found for client in clients if (found := client.sample()) is not None}

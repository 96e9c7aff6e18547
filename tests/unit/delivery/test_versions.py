"""A model of two senders and two posters of one file: versions, kills, lost connections.

The senders work on one disk by scripted servers, which carry out one request after the other in an
order that hypothesis chooses.  However that is: in the end the last version is there, with its mode
and time, every announcement has one report, and nothing is left over.  For a long run:
``pytest --hypothesis-profile=long --timeout=0 tests/unit/delivery/test_versions.py``.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from sarra_lite import units
from sarra_lite.delivery import small_files
from sarra_lite.delivery.deliver import deliver
from sarra_lite.delivery.job import Job, Outcome
from sarra_lite.delivery.source import open_source
from sarra_lite.errors import DestinationDown, TransferError
from sarra_lite.messages import blocks
from sarra_lite.messages.v03 import Announcement
from sarra_lite.sftp import session
from sarra_lite.sftp.client import SftpClient
from tests.lab import scripted
from tests.lab.disk import Disk, Stepped
from tests.lab.jobs import quiet_hooks, sender_config

if TYPE_CHECKING:
    from collections.abc import Coroutine

BLOCK = 40_000  # bytes, two writes
SENDERS = st.integers(0, 1)
FINAL = b"d/file"


class Sender:
    """A sender with one connection; ``held``: what it has of the queue, ``waiting``: for later."""

    def __init__(self, disk: Disk) -> None:
        """Begin without a connection."""
        self.disk = disk
        self.server: Stepped | None = None
        self.client: SftpClient | None = None
        self.running: dict[asyncio.Task[Any], Job] = {}
        self.held: set[tuple[str, str, int | None]] = set()
        self.waiting: list[Job] = []

    async def connection(self) -> SftpClient:
        """Return the open client, of a new connection if need be."""
        if self.client is None or self.client.error is not None:
            server = self.server = Stepped(self.disk)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(session, "connect", scripted.connecting(server))
                self.client = SftpClient(scripted.target(timeout=60))
                await self.client.open()
        return self.client

    def disconnect(self) -> Stepped | None:
        """Lose the connection; return its server, which has requests left to carry out."""
        server, self.server = self.server, None
        if self.client is not None:
            self.client.close()
            self.client = None
        return server


async def send(client: SftpClient, job: Job) -> Outcome:
    """Carry out a job as a worker does."""
    if small_files.is_small(client, job):
        ended = asyncio.get_running_loop().create_future()
        if small_files.start(client, job, ended.set_result):
            result = await ended
            if isinstance(result, Outcome):
                return result
            if isinstance(result, BaseException):
                raise result
    return await deliver(client, job, quiet_hooks())


class Senders(RuleBasedStateMachine):
    """Two senders of one queue."""

    def __init__(self) -> None:
        """Begin with an empty queue and disk."""
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.directory = tempfile.TemporaryDirectory()
        self.path = Path(self.directory.name) / "file"
        self.disk = Disk()
        self.senders = [Sender(self.disk), Sender(self.disk)]
        self.queue: deque[tuple[Announcement, bool]] = deque()
        self.late: list[tuple[Stepped, int]] = []  # servers of lost connections, with their age
        self.codes: dict[tuple[str, str, int | None], list[int]] = {}
        self.posted: dict[str, list[Announcement]] = {}
        self.version = self.posts = 0
        self.disturbed = self.killed = self.late_requests = False

    def run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self.loop.run_until_complete(coroutine)

    @initialize(pieces=st.integers(1, 3))
    def first(self, pieces: int) -> None:
        self.write(pieces)
        self.post(in_blocks=pieces > 1)

    def write(self, pieces: int) -> None:
        self.version += 1
        self.path.write_bytes(bytes([self.version]) * (BLOCK * pieces - 5_000))
        mtime = 1_700_000_000 + self.version
        os.utime(self.path, (mtime, mtime))
        self.path.chmod(0o640 if self.version % 2 else 0o444)

    @rule(in_blocks=st.booleans())
    def post(self, *, in_blocks: bool) -> None:
        self.posts += 1
        found = self.path.stat()
        whole = Announcement(
            pub_time=f"20261127T0000{self.posts:02}",
            base_url="file:",
            rel_path="file",
            size=found.st_size,
            mtime=units.time_string(found.st_mtime_ns),
            mode=found.st_mode & 0o777,
            identity=blocks.hash_file(str(self.path), "sha512"),
        )
        several = list(blocks.split(whole, BLOCK)) if in_blocks else [whole]
        self.posted[whole.pub_time] = several
        self.queue.extend((one, False) for one in several)

        async def known() -> None:  # that the file is local, so that no thread is needed later
            async with open_source(Job(whole, str(self.path), "file", sender_config())):
                pass

        self.run(known())

    @rule(pieces=st.integers(1, 3), in_blocks=st.booleans())
    def change(self, pieces: int, *, in_blocks: bool) -> None:
        """Write and post another version; a rename that was sent before is done by then."""
        self.run(self.until_renamed())
        self.write(pieces)
        self.post(in_blocks=in_blocks)

    @rule(which=SENDERS, count=st.integers(1, 4))
    def take(self, which: int, count: int) -> None:
        for _ in range(count):
            self.run(self.taken(self.senders[which]))

    @rule(which=SENDERS, count=st.integers(1, 12))
    def step(self, which: int, count: int) -> None:
        if (server := self.senders[which].server) is not None:
            self.run(self.stepped(server, count))

    @rule(which=SENDERS)
    def retry(self, which: int) -> None:
        self.run(self.retried(self.senders[which]))

    @rule(which=SENDERS, count=st.integers(0, 12))
    def kill(self, which: int, count: int) -> None:
        """The queue delivers again; the server still carries out what it has received."""
        sender = self.senders[which]
        self.disturbed = self.killed = True
        self.redeliver(sender)
        self.run(self.lost(sender, count))
        sender.waiting.clear()

    @rule(which=SENDERS, count=st.integers(0, 12))
    def drop(self, which: int, count: int) -> None:
        """The connection to the destination is lost; the sender tries again."""
        sender = self.senders[which]
        self.disturbed = True
        jobs = list(sender.running.values())
        self.run(self.lost(sender, count))
        sender.waiting += [replace(one, redelivered=True, losses=one.losses + 1) for one in jobs]

    @rule(which=SENDERS)
    def lose_broker(self, which: int) -> None:
        """The queue delivers again what the sender goes on with."""
        self.disturbed = True
        self.redeliver(self.senders[which])
        self.senders[which].waiting.clear()

    @rule()
    def tick(self) -> None:
        """A second passes, in which no connection stands still."""
        self.run(self.ticked())

    @invariant()
    def what_is_there_is_whole(self) -> None:
        """Whatever has the name is a whole version."""
        node = self.disk.nodes.get(FINAL)
        if node is not None:
            assert len(set(node.content)) == 1
            assert (len(node.content) + 5_000) % BLOCK == 0

    def redeliver(self, sender: Sender) -> None:
        again = [job.announcement for job in [*sender.running.values(), *sender.waiting]]
        again = [one for one in again if one.key in sender.held]
        sender.held.clear()
        self.queue.extendleft((one, True) for one in reversed(again))

    async def lost(self, sender: Sender, count: int) -> None:
        if (server := sender.disconnect()) is not None:
            self.late.append((server, 0))
            await self.stepped(server, count)
            self.late_requests |= server.waiting is not None
        while sender.running:
            await asyncio.wait(sender.running)
            await asyncio.sleep(0)

    async def taken(self, sender: Sender) -> None:
        if not self.queue:
            return
        announcement, redelivered = self.queue[0]
        whole = announcement.blocks is None
        if (
            not redelivered
            and sender.running
            and (whole or any(j.announcement.blocks is None for j in sender.running.values()))
        ):
            return
        self.queue.popleft()
        if redelivered and self.reported(announcement):
            return
        sender.held.add(announcement.key)
        jobs = [*sender.running.values(), *sender.waiting]
        if any(job.announcement.key == announcement.key for job in jobs):
            return  # the job in progress gets the new delivery
        job = Job(
            announcement, str(self.path), FINAL.decode(), sender_config(), redelivered=redelivered
        )
        await self.start(sender, job)

    def reported(self, announcement: Announcement) -> bool:
        pub_time, path, _ = announcement.key
        return announcement.key in self.codes or (pub_time, path, None) in self.codes

    async def retried(self, sender: Sender) -> None:
        jobs, sender.waiting = sender.waiting, []
        for job in jobs:
            await self.start(sender, job)

    async def start(self, sender: Sender, job: Job) -> None:
        client = await sender.connection()
        task = asyncio.create_task(send(client, job))
        sender.running[task] = job
        task.add_done_callback(lambda _: self.ended(sender, task))
        await self.settle()

    def ended(self, sender: Sender, task: asyncio.Task[Outcome]) -> None:
        job = sender.running.pop(task)
        key = job.announcement.key
        error = task.exception()
        if key not in sender.held or isinstance(error, DestinationDown):
            return
        if error is None and task.result().wait is not None:
            sender.waiting.append(job)
            return
        sender.held.discard(key)
        if error is not None and not isinstance(error, TransferError):
            raise error
        code = error.code if isinstance(error, TransferError) else task.result().code
        self.codes.setdefault(key, []).append(code)

    async def settle(self) -> None:
        for _ in range(12):
            await asyncio.sleep(0)

    async def stepped(self, server: Stepped, count: int) -> None:
        for _ in range(count):
            if server.waiting is None:
                await self.settle()
                if server.waiting is None:
                    return
            server.step()
            await self.settle()

    async def ticked(self) -> None:
        self.disk.now += 1
        late, self.late = self.late, []
        for server, age in late:
            if age == 0:
                self.late.append((server, 1))
            else:
                await self.ended_late(server)
        for sender in self.senders:
            if sender.server is not None:
                await self.stepped(sender.server, 20)

    async def ended_late(self, server: Stepped) -> None:
        await self.stepped(server, 1000)
        await server.__aexit__(None, None, None)

    async def until_renamed(self) -> None:
        servers = [sender.server for sender in self.senders] + [late for late, _ in self.late]
        for server in servers:
            while server is not None and _renames(server.waiting):
                await self.stepped(server, 1)

    def teardown(self) -> None:
        try:
            self.run(self.finished())
            if self.posts:
                self.check()
        finally:
            self.run(self.closed())
            self.loop.close()
            self.directory.cleanup()

    async def finished(self) -> None:
        for _ in range(60):
            for sender in self.senders:
                await self.retried(sender)
                for _ in range(len(self.queue)):
                    await self.taken(sender)
                if sender.server is not None:
                    await self.stepped(sender.server, 1000)
            await self.ticked()
            if not self.queue and not any(one.running or one.waiting for one in self.senders):
                return
        pytest.fail(f"no end: {self.codes} {self.queue} {[one.waiting for one in self.senders]}")

    async def closed(self) -> None:
        for sender in self.senders:
            await self.lost(sender, 0)
        while self.late:
            await self.ended_late(self.late.pop()[0])

    def check(self) -> None:
        found, node = self.path.stat(), self.disk.nodes[FINAL]
        assert node.content == self.path.read_bytes()
        assert node.mtime == int(found.st_mtime)
        assert node.mode & 0o777 == found.st_mode & 0o777
        left = sorted(self.disk.nodes.keys() - {b"d", FINAL})
        assert not left or self.killed or self.late_requests, left
        for announcements in self.posted.values():
            for announcement in announcements:
                codes = self.codes.get(announcement.key, [])
                # A block whose file has its report is not looked at again.
                assert len(codes) == 1 or (not codes and self.reported(announcement)), codes
        last = str(units.time_string(found.st_mtime_ns))
        codes = [
            self.codes[(pub_time, "file", None)][0]
            for pub_time, announcements in self.posted.items()
            if announcements[0].mtime == last
        ]
        assert set(codes) <= {201, 304}
        # Of two senders that were disturbed, one may report that the file of the other is there.
        assert 201 in codes or self.disturbed
        in_blocks = all(one[0].blocks for one in self.posted.values() if one[0].mtime == last)
        # A finish makes an inflight file that is read-only already writable again, and another one
        # may rename it then: whoever finds it so sets its mode, and reports that with 201.
        if in_blocks and not self.disturbed and found.st_mode & 0o200:
            assert codes.count(201) == 1


def _renames(packet: bytes | None) -> bool:
    """Return whether a request gives the file its name."""
    return packet is not None and b"posix-rename" in packet and FINAL in packet


TestSenders = Senders.TestCase
TestSenders.settings = settings(
    max_examples=max(250, settings().max_examples),
    derandomize=settings().max_examples < 1000,  # the long profile looks for what is new
    stateful_step_count=30,
    suppress_health_check=list(HealthCheck),
)

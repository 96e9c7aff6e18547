"""Runs our programs and those of sr3 with a broker, all in the near namespace of a line."""

from __future__ import annotations

import os
import threading
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Final, Self

from bench.results import Idle, Million
from bench.usage import Used, Work, measured
from sarra_lite.units import nanoseconds
from tests.lab.demo_checks import queue_state
from tests.lab.processes import wait_until
from tests.lab.rabbitmq import Rabbit
from tests.lab.site import Site
from tests.lab.sr3 import VENV, Sr3

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from bench.stage import Stage

_TIMEOUT: Final = 600.0  # seconds


class BrokerSetup:
    """A private broker with a user of our programs and one of sr3; a context manager."""

    def __init__(self, stage: Stage) -> None:
        """Set the stage; nothing is started yet."""
        self.stage = stage
        self._rabbit = Rabbit(stage.directory / "rabbit")
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Start the broker, and create users, configurations and queues."""
        with ExitStack() as stack:
            stack.enter_context(self._rabbit)
            self.site = self._site("ours")
            self.site.run("sr_sender", "--declare")
            self._sr3 = Sr3(self._site("sr3"))
            for component in ("post", "sender"):
                self._sr3.configure(component)
            self._sr3.configure_ours("post", 'identity = "sha512"\n')
            self._sr3.configure_ours("sender")
            self._sr3.site.run("sr_sender", "--declare")
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the broker."""
        self._stack.close()

    def send_with_ours(self, senders: int = 1) -> Used:
        """Measure sr_post with idle senders of ours, until all files of the source are reported."""
        with ExitStack() as stack:
            helpers = stack.enter_context(self._senders(senders))
            command = self.site.command("sr_post", "--wait", "--quiet", self.stage.source)
            return measured(
                Work(command, self.stage.servers, helpers, env=self.site.env, patience=_TIMEOUT)
            )

    def send_with_sr3(self) -> Used:
        """Measure our sr_post with a sender of sr3, until all files are at the destination."""
        count = sum(len(files) for _, _, files in os.walk(self.stage.source))
        site = self._sr3.site
        with self._sr3.running("sender/earnest") as sender:
            command = site.command("sr_post", "--quiet", "--block-size", "1", self.stage.source)
            work = Work(command, self.stage.servers, [sender.pid], env=site.env, patience=_TIMEOUT)
            return measured(work._replace(until=lambda: self.stage.arrived() == count))

    def post_with_ours(self) -> Used:
        """Measure sr_post alone, with an identity for each file of the source."""
        command = self.site.command("sr_post", "--quiet", self.stage.source)
        try:
            return measured(Work(command, env=self.site.env))
        finally:
            self._purge(self.site)

    def post_with_sr3(self) -> Used:
        """Measure sr3_post alone."""
        sr3 = self._sr3
        command = [str(VENV / "bin/sr3_post"), "-c", "earnest", "-p", str(self.stage.source)]
        try:
            return measured(Work(command, env=sr3.env, cwd=sr3.directory))
        finally:
            self._purge(self._sr3.site)

    def idle(self, count: int) -> Idle:
        """Measure the delay of single small files, by a sender whose connection is open."""
        seen_at = {}
        with self._senders(1):
            for number in range(count + 1):
                name = f"d0/idle{number}"
                (self.stage.source / name).write_bytes(os.urandom(1024))
                with self._watch(name) as moment:
                    self.site.run("sr_post", "--wait", "--quiet", self.stage.source / name)
                seen_at[name] = moment[0]
        delays = Idle([], [])
        del seen_at["d0/idle0"]  # it waited for the connection
        for report in self.site.reports():
            if (name := report["relPath"]) in seen_at:
                announced = nanoseconds(report["pubTime"]) / 1e9
                delays.seen.append(seen_at[name] - announced)
                delays.reported.append(nanoseconds(report["timeCompleted"]) / 1e9 - announced)
        return delays

    def many_posts(self, files: int) -> Million:
        """Measure sr_post of very many files, and when its first announcement arrives."""
        bound, first = threading.Event(), [float("nan")]
        thread = threading.Thread(target=self._await_first, args=(bound, first), daemon=True)
        thread.start()
        bound.wait(10)
        command = self.site.command("sr_post", "--quiet", self.stage.source)
        try:
            used = measured(Work(command, env=self.site.env, patience=3600))
        finally:
            self._purge(self.site)
        thread.join(10)
        return Million(files, first[0] - used.began, used.seconds, used.peak)

    def _await_first(self, bound: threading.Event, first: list[float]) -> None:
        """Set ``bound`` when a queue is bound, and ``first[0]`` when it gets a message."""
        with self._rabbit.channel() as channel:
            queue = channel.queue_declare("", exclusive=True, arguments={"x-max-length": 1})
            channel.queue_bind(queue.method.queue, self.site.exchange, "#")
            bound.set()
            for method, _, _ in channel.consume(queue.method.queue, inactivity_timeout=60):
                if method is not None:
                    first[0] = time.monotonic()
                return

    @contextmanager
    def _senders(self, count: int) -> Iterator[list[int]]:
        """Run senders of ours; yield their process ids when all of them consume the queue."""
        with ExitStack() as stack:
            senders = [
                stack.enter_context(self.site.running("sr_sender", "--quiet")) for _ in range(count)
            ]
            wait_until(
                lambda: queue_state(self._rabbit, self.site.queue).consumers == count,
                "senders wait for work",
                seconds=30,
            )
            yield [sender.pid for sender in senders]

    @contextmanager
    def _watch(self, name: str) -> Iterator[list[float]]:
        """Yield a list whose item is set to the time when a file exists at the destination."""
        moment = [float("nan")]
        path = self.stage.dest / name
        end = threading.Event()

        def poll() -> None:
            while not end.is_set():
                if path.exists():
                    moment[0] = time.time()
                    return
                time.sleep(0.001)

        thread = threading.Thread(target=poll)
        thread.start()
        try:
            yield moment
        finally:
            end.set()
            thread.join()

    def _site(self, name: str) -> Site:
        """Create a user whose source and destination are those of the stage."""
        site = Site(self._rabbit, self.stage.sshd, self.stage.directory / name, name=name)
        site.source, site.dest = self.stage.source, self.stage.dest
        for component in ("post", "sender"):
            site.configure(component)
        return site

    def _purge(self, site: Site) -> None:
        with self._rabbit.channel() as channel:
            channel.queue_purge(site.queue)

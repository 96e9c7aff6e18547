"""Signals, threads and errors of callbacks in the event loop of a command."""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import signal
import subprocess
import sys
import threading

import pytest

from sarra_lite import runtime
from sarra_lite.errors import BrokerError, ConfigError


def test_a_signal_sets_the_event_in_the_loop_not_in_a_signal_handler() -> None:
    async def run() -> int:
        stop = runtime.stop_on_signals()
        signal.raise_signal(signal.SIGTERM)
        # A handler that ran within other code could find a lock of that code held, for ever.
        assert not stop.is_set()
        assert await runtime.wait_for_any(5, stop)
        return 0

    assert runtime.run_loop(run()) == 0


def test_waiting_ends_with_the_first_event_or_the_time() -> None:
    async def run() -> int:
        first, second = asyncio.Event(), asyncio.Event()
        assert not await runtime.wait_for_any(0.01, first, second)
        asyncio.get_running_loop().call_soon(second.set)
        assert await runtime.wait_for_any(5, first, second)
        return 0

    runtime.run_loop(run())


def test_work_in_a_thread_returns_or_raises_where_it_is_awaited() -> None:
    async def run() -> int:
        assert await asyncio.to_thread(lambda: threading.current_thread().name != "MainThread")
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(lambda: 1 // 0)
        return 0

    runtime.run_loop(run())


def test_threads_are_used_again() -> None:
    async def run() -> int:
        # A thread may be seen as idle a moment after its result.
        names = {
            await asyncio.to_thread(lambda: threading.current_thread().name) for _ in range(30)
        }
        assert len(names) < 15
        return 0

    runtime.run_loop(run())


def test_the_first_error_of_callbacks_is_raised() -> None:
    async def run() -> int:
        failure = runtime.Failure()
        guarded = failure.guard(lambda number: 1 // number)
        guarded(1)
        failure.check()
        guarded(0)
        failure.set(ValueError("later"))
        assert failure.event.is_set()
        with pytest.raises(ZeroDivisionError):
            failure.check()
        return 0

    runtime.run_loop(run())


def test_a_lost_broker_does_not_hide_another_error() -> None:
    async def run() -> int:
        failure = runtime.Failure()
        failure.set(BrokerError("lost"))
        failure.set(ConfigError("wrong"))
        failure.set(BrokerError("lost again"))
        failure.clear(BrokerError)
        with pytest.raises(ConfigError):
            failure.check()
        return 0

    runtime.run_loop(run())


@pytest.mark.parametrize("last", ["return 7", "raise SarraError", "1 / 0"])
@pytest.mark.parametrize(
    "work",
    [
        "asyncio.to_thread(time.sleep, 60)",
        "asyncio.wrap_future(ThreadPoolExecutor().submit(time.sleep, 60))",
        "asyncio.to_thread(lambda: ThreadPoolExecutor().submit(time.sleep, 60).result())",
    ],
)
def test_a_thread_that_hangs_does_not_delay_the_end_of_a_command(work: str, last: str) -> None:
    program = f"""
import asyncio, sys, time
from concurrent.futures import ThreadPoolExecutor
from sarra_lite import runtime
from sarra_lite.errors import SarraError

async def run():
    asyncio.ensure_future({work})
    await asyncio.sleep(0.1)
    print("done", flush=True)
    {last}

@runtime.command
def main(argv=None):
    return runtime.run_loop(run())

sys.exit(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, timeout=20, check=False
    )
    assert (done.returncode, done.stdout) == (7 if last == "return 7" else 1, b"done\n")
    assert (b"ZeroDivisionError" in done.stderr) == (last == "1 / 0")


def _logged(**env: str) -> str:
    """Return the line that a program logs into a pipe."""
    program = "from sarra_lite import runtime as r; r.log_to_stderr('info'); r.log.warning('text')"
    plain = {k: v for k, v in os.environ.items() if k not in ("JOURNAL_STREAM", "NOTIFY_SOCKET")}
    command = [sys.executable, "-c", program]
    return subprocess.run(
        command, stderr=subprocess.PIPE, text=True, env=plain | env, check=True
    ).stderr


def test_a_line_in_a_file_has_its_time_which_the_journal_adds_by_itself() -> None:
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ -c: warning: text\n", _logged())
    assert _logged(JOURNAL_STREAM="8:1") == "<4>text\n"


def test_a_host_that_is_back_is_tried_within_seconds_however_long_it_was_away() -> None:
    delays = list(itertools.islice(runtime.backoff(), 10_000))
    assert max(delays) <= 5
    assert min(delays[5:]) >= 1  # not many attempts a second
    assert len(set(delays[5:])) > 100  # nor all clients at once

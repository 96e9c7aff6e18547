"""How the bench measures what a command uses."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from bench.usage import Failed, Tree, Work, children, measured

if TYPE_CHECKING:
    from collections.abc import Iterator

MIB = 1024 * 1024
BURN = "import time; end = time.process_time() + {}\nwhile time.process_time() < end: pass"


def python(script: str) -> list[str]:
    return [sys.executable, "-c", script]


@pytest.fixture
def sleeper() -> Iterator[int]:
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as process:
        yield process.pid
        process.kill()


def test_processor_time_and_memory_are_those_of_all_descendants() -> None:
    child = f"held = b'x' * {40 * MIB}; {BURN.format(0.3)}"
    used = measured(Work(python(f"import subprocess, sys; subprocess.run({python(child)!r})")))
    assert used.client_cpu >= 0.3
    assert used.peak >= 40 * MIB
    assert used.processes == 2
    assert used.server_cpu == 0


def test_processes_that_a_command_leaves_are_measured_and_ended() -> None:
    helper = f"{BURN.format(0.2)}\nimport time; time.sleep(60)"
    start = f"subprocess.Popen({python(helper)!r}, start_new_session=True)"
    own = children(os.getpid())
    used = measured(Work(python(f"import subprocess, time; {start}; time.sleep(0.5)")))
    assert used.client_cpu >= 0.2
    assert children(os.getpid()) == own


def test_helpers_and_servers_are_measured_while_the_command_runs(sleeper: int) -> None:
    used = measured(Work(["sleep", "1"], servers=[sleeper], helpers=[sleeper]))
    assert used.client_cpu < 0.1
    assert used.server_cpu == 0
    assert used.processes == 2


def test_the_error_of_a_failed_command_contains_its_output() -> None:
    with pytest.raises(Failed, match=r"exit status 3: (?s:.*)no such host"):
        measured(Work(python("print('no such host'); raise SystemExit(3)")))


def test_a_command_that_takes_too_long_is_ended_with_all_its_processes() -> None:
    own = children(os.getpid())
    with pytest.raises(Failed, match="not done in time"):
        measured(Work(["sh", "-c", "sleep 60 & sleep 60"], patience=0.2))
    assert children(os.getpid()) == own


def test_work_can_end_after_its_command() -> None:
    results = iter([False, False, True])
    assert measured(Work(["true"], until=lambda: next(results))).seconds >= 0.04


def test_a_tree_is_a_process_and_its_descendants(sleeper: int) -> None:
    assert Tree(sleeper).update() == {sleeper}
    assert os.getpid() in Tree(os.getppid()).update()

"""Runs tests that failed beside other programs once more, alone, at the end of the session.

Tests of a real broker, SFTP server or host can fail on a busy machine.  One that passes now is
listed as flaky; more than three of them, or one that fails again, fail the session.  This is done
where CI is set and by molecule, for the directories in ``_DIRECTORIES`` only.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

    from _pytest.terminal import TerminalReporter

_DIRECTORIES: Final = ("tests/integration/", "tests/interop/", "tests/scope/")
_MOST: Final = 3
_AGAIN: Final = "SARRA_TESTS_AGAIN"  # set in the sessions started here
_failed = pytest.StashKey[dict[str, None]]()
_flaky = pytest.StashKey[list[str]]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note a test that failed."""
    report = yield
    if report.failed:
        item.config.stash.setdefault(_failed, {})[item.nodeid] = None
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Run the failed tests again; if all pass, and they are few, the session has passed."""
    config = session.config
    noted: dict[str, None] = config.stash.setdefault(_failed, {})
    failed = list(noted)
    automatic = {"CI", "MOLECULE_SCENARIO_NAME"} & os.environ.keys()
    if not failed or len(failed) > _MOST or not automatic or _AGAIN in os.environ:
        return
    if not all(test.startswith(_DIRECTORIES) for test in failed):
        return
    options = [word for word in config.invocation_params.args if word not in config.args]
    for test in failed:
        print(f"\nonce more, alone: {test}", flush=True)
        command = [sys.executable, "-m", "pytest", *map(str, options), test]
        environment = os.environ | {_AGAIN: "1"}
        if subprocess.run(command, cwd=config.rootpath, env=environment, check=False).returncode:
            return
    config.stash[_flaky] = failed
    session.exitstatus = pytest.ExitCode.OK


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """List the tests that passed only when they were run alone."""
    if flaky := terminalreporter.config.stash.get(_flaky, []):
        terminalreporter.section("flaky: passed when run once more, alone")
        for test in flaky:
            terminalreporter.line(test)

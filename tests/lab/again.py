"""Runs tests that failed beside other programs once more, alone, at the end of the session.

Tests of a real broker, SFTP server or host can fail on a busy machine.  One that passes now is
listed as flaky; more than three of them, or one that fails again, fail the session.  This is done
where CI is set and by molecule, for the directories in ``_DIRECTORIES`` only.  Where the session is
shared out among processes (``-n``), the one that collects their results does it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

_DIRECTORIES: Final = ("tests/integration/", "tests/interop/", "tests/scope/")
_MOST: Final = 3
_AGAIN: Final = "SARRA_TESTS_AGAIN"  # set in the sessions started here


def pytest_configure(config: pytest.Config) -> None:
    """Watch over the session, but not in a process that runs a share of it."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Again(config))


class _Again:
    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._failed: dict[str, None] = {}
        self._flaky: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a test that failed."""
        if report.failed:
            self._failed[report.nodeid] = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Run the failed tests again; if all pass, and they are few, the session has passed."""
        failed = list(self._failed)
        automatic = {"CI", "MOLECULE_SCENARIO_NAME"} & os.environ.keys()
        if not failed or len(failed) > _MOST or not automatic or _AGAIN in os.environ:
            return
        if not all(test.startswith(_DIRECTORIES) for test in failed):
            return
        if any(self._run_alone(test) for test in failed):
            return
        self._flaky = failed
        session.exitstatus = pytest.ExitCode.OK

    def _run_alone(self, test: str) -> int:
        config = self._config
        print(f"\nonce more, alone: {test}", flush=True)
        options = [str(word) for word in config.invocation_params.args if word not in config.args]
        command = [sys.executable, "-m", "pytest", *options, "--numprocesses=0", test]
        environment = os.environ | {_AGAIN: "1"}
        return subprocess.run(command, cwd=config.rootpath, env=environment, check=False).returncode

    def pytest_terminal_summary(self, terminalreporter: TerminalReporter) -> None:
        """List the tests that passed only when they were run alone."""
        if self._flaky:
            terminalreporter.section("flaky: passed when run once more, alone")
            for test in self._flaky:
                terminalreporter.line(test)

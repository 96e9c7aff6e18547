"""A test that fails once and passes alone is flaky; one that fails again fails the session."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TESTS = """
from pathlib import Path
import pytest

@pytest.mark.parametrize("number", range({count}))
def test_it(number):
    before = Path(f"before{{number}}")
    first = not before.exists()
    before.touch()
    assert not first and {works}
"""


def session(
    directory: Path, count: int, *options: str, works: bool
) -> subprocess.CompletedProcess[str]:
    """Run a session of tests that fail at first, and later if they do not work."""
    (directory / "tests/integration").mkdir(parents=True)
    (directory / "conftest.py").write_text("from tests.lab.again import *\n")
    file = directory / "tests/integration/test_it.py"
    file.write_text(TESTS.format(count=count, works=works))
    return subprocess.run(
        [
            sys.executable,
            "-P",
            "-m",
            "pytest",
            "-q",
            *options,
            "tests/integration",
            "--rootdir",
            directory,
        ],
        cwd=directory,
        env=os.environ | {"CI": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("count", "works", "processes", "status"),
    [(3, True, 0, 0), (4, True, 0, 1), (1, False, 0, 1), (2, True, 2, 0)],
)
def test_few_tests_that_pass_alone_do_not_fail_the_session(
    tmp_path: Path, *, count: int, works: bool, processes: int, status: int
) -> None:
    done = session(tmp_path, count, f"--numprocesses={processes}", works=works)
    assert done.returncode == status, done.stdout
    assert ("flaky: passed" in done.stdout) == (status == 0)

"""Only one of the playbooks that take hosts out runs at a time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.lab.plugins import ROOT
from tests.lab.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

PLAYBOOK = """\
- hosts: localhost
  gather_facts: false
  tasks:
    - operation_lock:
        what: first
        state: taken
        path: {path}
        force: "{{{{ force | default(false) }}}}"
    - command: cat {fifo}
      when: waits | default(false)
    - operation_lock: {{what: first, state: released, path: {path}}}
"""


class Runs:
    """Runs of a playbook that takes the lock and gives it back."""

    def __init__(self, directory: Path) -> None:
        """The file of the lock is in ``directory``."""
        self.path, self._fifo = directory / "lock.json", directory / "fifo"
        os.mkfifo(self._fifo)
        self._playbook = directory / "playbook.yml"
        self._playbook.write_text(PLAYBOOK.format(path=self.path, fifo=self._fifo))
        self.started: list[subprocess.Popen[str]] = []

    def start(self, **variables: Any) -> subprocess.Popen[str]:
        """Begin a run; with ``waits=True`` it keeps the lock until ``go_on``."""
        program = Path(sys.executable).with_name("ansible-playbook")
        where = ["-i", "localhost,", "-c", "local"]
        running = subprocess.Popen(
            [program, *where, "-e", json.dumps(variables), self._playbook],
            cwd=ROOT,
            env=os.environ | {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.started.append(running)
        return running

    def run(self, **variables: Any) -> tuple[int, str]:
        """Run to the end; return its status and what it printed."""
        running = self.start(**variables)
        said, _ = running.communicate(timeout=120)
        return running.returncode, said

    def held(self) -> subprocess.Popen[str]:
        """Begin a run, and return when it has the lock."""
        running = self.start(waits=True)
        wait_until(lambda: self.content() != "", "the lock is taken", 60)
        return running

    def content(self) -> str:
        """Return what is in the file."""
        return self.path.read_text() if self.path.exists() else ""

    def go_on(self) -> None:
        """Let the run that waits go on."""
        self._fifo.write_text("go on")


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[Runs]:
    runs = Runs(tmp_path)
    yield runs
    for each in runs.started:
        if each.poll() is None:
            each.kill()
        each.communicate()


def test_a_second_run_is_refused_until_the_first_has_ended(runs: Runs) -> None:
    first = runs.held()
    status, said = runs.run()
    assert status != 0
    assert f"first.yml is running, started by {json.loads(runs.content())['who']}" in said
    assert f"(process {first.pid})" in " ".join(said.split())
    assert "-e take_lock=true" in said
    runs.go_on()
    assert first.wait(60) == 0
    assert runs.content() == ""
    assert runs.run()[0] == 0


def test_the_lock_of_a_run_that_was_killed_is_taken_over(runs: Runs) -> None:
    first = runs.held()
    first.kill()
    first.wait()
    assert runs.content() != ""
    assert runs.run()[0] == 0
    assert runs.content() == ""


def test_a_lock_of_another_control_machine_is_taken_only_when_told(runs: Runs) -> None:
    first = runs.held()
    runs.go_on()
    assert first.wait(60) == 0
    other = {"what": "update", "who": "ann", "machine": "x", "name": "far", "pid": "1", "began": ""}
    runs.path.write_text(json.dumps(other))
    status, said = runs.run()
    assert status != 0
    assert "update.yml is running, started by ann on far" in said
    assert json.loads(runs.content()) == other
    assert runs.run(force=True)[0] == 0
    assert runs.content() == ""


def test_a_file_that_was_not_written_to_its_end_is_no_lock(runs: Runs) -> None:
    runs.path.write_text('{"what": "upd')
    assert runs.run()[0] == 0

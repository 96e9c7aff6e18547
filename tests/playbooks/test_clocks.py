"""A run tells whose clocks differ, before certificates are made."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.lab.plugins import load

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[2]
HERE = "the control machine"
clocks_apart = load("playbooks/filter_plugins/clocks.py").clocks_apart
clocks = st.dictionaries(st.sampled_from("abcdefgh"), st.floats(-100, 100), max_size=8)
waits = st.floats(0, 20)


def exact(**ahead: float) -> dict[str, dict[str, float]]:
    return {host: {"low": seconds, "high": seconds} for host, seconds in ahead.items()}


def test_clocks_within_a_second_are_not_worth_a_line() -> None:
    assert clocks_apart(exact(a=0.4, b=-0.5), 1.0) == []
    assert clocks_apart({}, 1.0) == []


def test_a_host_is_compared_with_most_of_the_others() -> None:
    (line,) = clocks_apart(exact(a=0.1, b=3.2, c=0.0), 1.0)
    assert line.startswith("the clock of b is 3.")
    lines = clocks_apart(exact(a=-60.0, b=-60.1, c=-60.0), 1.0)
    assert [line.split(" is ")[0] for line in lines] == [f"the clock of {HERE}"]
    assert "ahead of that of a" in lines[0]


def test_both_ends_are_told_if_only_they_differ() -> None:
    (line,) = clocks_apart(exact(a=0.8, b=-0.8), 1.0)
    assert line == "the clock of a is 1.6 s ahead of that of b"


def test_what_a_slow_answer_may_explain_is_not_told() -> None:
    assert clocks_apart({"a": {"low": 0.5, "high": 9.0}}, 1.0) == []
    assert len(clocks_apart({"a": {"low": 1.5, "high": 9.0}}, 1.0)) == 1


@given(clocks, st.data())
def test_nobody_is_told_of_without_a_difference_and_none_is_missed(
    true: Mapping[str, float], data: Any
) -> None:
    """Whatever the delays: whoever is told of differs, and exact measures miss no difference."""
    known = {HERE: 0.0, **true}
    widest = max(known.values()) - min(known.values())
    assert bool(clocks_apart(exact(**true), 1.0)) == (widest > 1.0)
    vague = {}
    for host, ahead in true.items():
        low, high = ahead - data.draw(waits), ahead + data.draw(waits)
        vague[host] = {"low": low, "high": high}
    for line in clocks_apart(vague, 1.0):
        match = re.fullmatch(r"the clock of (.+) is \S+ s (?:ahead of|behind) that of (.+)", line)
        assert match
        assert abs(known[match[1]] - known[match[2]]) > 1.0


def test_the_clocks_of_hosts_are_read(tmp_path: Path) -> None:
    """One host of this machine has a program date that is three seconds late."""
    shell, date = tmp_path / "shell", tmp_path / "date"
    shell.write_text(f'#!/bin/sh\nPATH={tmp_path}:$PATH exec /bin/sh "$@"\n')
    date.write_text('#!/bin/sh\nexec /bin/date --date="3 seconds ago" "$@"\n')
    for program in (shell, date):
        program.chmod(0o755)
    hosts: dict[str, Any] = {name: {"ansible_connection": "local"} for name in ("right", "late")}
    hosts["late"]["ansible_shell_executable"] = str(shell)
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump({"scope": {"hosts": hosts}}))
    tasks = [{"include_role": {"name": "base", "tasks_from": "clocks"}}]
    play = {"hosts": "scope", "gather_facts": False, "tasks": tasks}
    (tmp_path / "play.yml").write_text(yaml.safe_dump([play]))
    program = Path(sys.executable).with_name("ansible-playbook")
    config = {
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_FILTER_PLUGINS": str(ROOT / "playbooks/filter_plugins"),
    }
    done = subprocess.run(
        [program, "-i", tmp_path / "hosts.yml", tmp_path / "play.yml"],
        cwd=ROOT,
        env=os.environ | config,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    told = re.findall(r"WARNING: the clock of .*", done.stdout)
    assert len(told) == 1, done.stdout
    assert re.match(
        rf"WARNING: the clock of late is (2\.9|3\.\d) s behind that of {HERE}: ", told[0]
    )

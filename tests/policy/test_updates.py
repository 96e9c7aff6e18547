"""Packages whose update restarts what users wait for are on hold until an operator updates them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
# Roles that install a service which may be restarted at any time, with the reason.
NOT_HELD = {
    "alertmanager": "asks Prometheus again for what is alight",
    "node_exporter": "metrics of a few seconds are missing",
    "prometheus": "metrics of a few seconds are missing",
}
STATUS = """\
Package: {name}
Status: {status}
Architecture: all
Version: 1
Maintainer: nobody <nobody@example.org>
Description: x

"""


def tasks(role: str, phase: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load(
        (ROOT / f"roles/{role}/tasks/{phase}.yml").read_text()
    )
    return found


def service_packages(role: str) -> list[str]:
    """Return packages of a role that would start a service if the role let them."""
    names = [
        task["ansible.builtin.apt"]["name"]
        for task in tasks(role, "install")
        if "policy_rc_d" in task.get("ansible.builtin.apt", {})
    ]
    return [name if isinstance(name, str) else name[0] for name in names]


def held(role: str, phase: str, state: str) -> list[str]:
    """Return the patterns that a phase of a role holds or releases."""
    return [
        pattern
        for task in tasks(role, phase)
        if (given := task.get("packages_held")) and given.get("state", "held") == state
        for pattern in given["packages"]
    ]


ROLES = sorted(
    path.parts[-3]
    for path in ROOT.glob("roles/*/tasks/install.yml")
    if service_packages(path.parts[-3])
)


@pytest.mark.parametrize("role", ROLES)
def test_a_role_with_a_service_holds_its_packages_or_has_a_reason_not_to(role: str) -> None:
    patterns = held(role, "install", "held")
    assert (role in NOT_HELD) != bool(patterns)
    for name in service_packages(role):
        templated = "{{" in name
        assert templated or not patterns or any(fnmatchcase(name, each) for each in patterns)


@pytest.mark.parametrize("role", ROLES)
def test_a_purge_lets_be_updated_what_the_role_held_before_it_removes_it(role: str) -> None:
    assert held(role, "purge", "released") == held(role, "install", "held")
    modules = [module for task in tasks(role, "purge") for module in task]
    if "packages_held" in modules:
        assert modules.index("packages_held") < modules.index("purged")


def test_every_role_that_holds_tells_how_its_packages_are_updated() -> None:
    holding = [role for role in ROLES if role not in NOT_HELD]
    assert holding == ["haproxy", "keepalived", "rabbitmq", "shared_fs"]
    for role in holding:
        assert "(../base/README.md#updates)" in (ROOT / f"roles/{role}/README.md").read_text()


def hold(directory: Path, **arguments: Any) -> dict[str, Any]:
    """Run the module on the packages of a directory of dpkg; return its result."""
    given = directory / "arguments.json"
    given.write_text(json.dumps({"ANSIBLE_MODULE_ARGS": arguments}))
    done = subprocess.run(
        [sys.executable, "playbooks/library/packages_held.py", given],
        cwd=ROOT,
        env=os.environ | {"DPKG_ADMINDIR": str(directory)},
        capture_output=True,
        text=True,
        check=False,
    )
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def test_packages_are_held_once_and_released_once(tmp_path: Path) -> None:
    (tmp_path / "updates").mkdir()
    installed = "install ok installed"
    known = {
        "erlang-base": installed,
        "erlang-ssl": installed,
        "erlang-x": "deinstall ok config-files",
    }
    texts = [STATUS.format(name=name, status=status) for name, status in known.items()]
    (tmp_path / "status").write_text("".join(texts))
    erlang, both = ["erlang-*"], ["erlang-*", "haproxy"]
    names = ["erlang-base", "erlang-ssl"]
    tried = hold(tmp_path, packages=erlang, _ansible_check_mode=True)
    assert tried["packages"] == names
    assert hold(tmp_path, packages=erlang)["packages"] == names
    assert not hold(tmp_path, packages=erlang)["changed"]
    assert hold(tmp_path, packages=both)["msg"] == "haproxy: not installed"
    assert hold(tmp_path, packages=both, state="released")["packages"] == names
    assert not hold(tmp_path, packages=both, state="released")["changed"]

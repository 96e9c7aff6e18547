"""Rules that all playbooks and inventories must follow."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
ROLES = sorted(path.parent.name for path in ROOT.glob("roles/*/meta"))
ONLY_LOOK = {"gate"}  # roles that change nothing
PLAYBOOKS = sorted(path.stem for path in ROOT.glob("playbooks/*.yml"))
INVENTORIES = ["example", "lab", "single"]
GROUPS = set(yaml.safe_load((ROOT / "inventories/common/groups.yml").read_text()))


def plays(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load((ROOT / f"playbooks/{name}.yml").read_text())
    return [play for play in found if "hosts" in play]


def hosts_of_roles() -> dict[str, str]:
    """Return the roles in the order of site.yml, with the host pattern of each."""
    return {role["role"]: play["hosts"] for play in plays("site") for role in play.get("roles", [])}


@pytest.mark.parametrize("name", PLAYBOOKS)
def test_a_playbook_says_what_it_is_for_and_how_it_fails(name: str) -> None:
    text = (ROOT / f"playbooks/{name}.yml").read_text()
    assert text.startswith("---\n# ")
    for play in plays(name):
        if play["hosts"] != "localhost":
            assert "any_errors_fatal" in play, play["name"]
            assert play["max_fail_percentage"] == 0, play["name"]


@pytest.mark.parametrize("name", ["drain", "drift", "purge", "site", "switchover", "validate"])
def test_no_choice_of_hosts_or_tags_skips_the_first_check(name: str) -> None:
    """``--limit`` skips a play for localhost, ``--tags`` skips tasks without the tag always."""
    assert all(play["hosts"] != "localhost" for play in plays(name))
    assert plays(name)[0]["tags"] == ["always"]


def includes(tasks: list[dict[str, Any]]) -> list[tuple[str, str]]:
    roles = [task.get("ansible.builtin.include_role", {}) for task in tasks]
    return [(role["name"], role["tasks_from"]) for role in roles if role]


@pytest.mark.parametrize(
    ("hosts", "loaded"),
    [
        ("sftp_nodes", [("sftp_server", "load")]),
        ("load_balancers", [("haproxy", "load"), ("keepalived", "load"), ("haproxy", "probe")]),
        ("broker_members", [("rabbitmq", "restart")]),
    ],
)
def test_a_changed_configuration_is_loaded_on_one_host_after_the_other(
    hosts: str, loaded: list[tuple[str, str]]
) -> None:
    one_by_one = [play for play in plays("site") if play.get("serial") == 1]
    (play,) = [play for play in one_by_one if play["hosts"] == hosts]
    assert includes(play["tasks"]) == loaded
    for role in {name for name, _ in loaded} - {"rabbitmq"}:
        tasks = yaml.safe_load((ROOT / f"roles/{role}/tasks/service.yml").read_text())
        units = [task for task in tasks if "unit_loaded" in task]
        assert all(task.get("check_mode") for task in units if task["unit_loaded"]["files"]), role


@pytest.mark.parametrize("name", PLAYBOOKS)
def test_the_readme_tells_of_every_playbook(name: str) -> None:
    assert f"playbooks/{name}.yml" in (ROOT / "README.md").read_text()


def test_drift_changes_nothing_even_if_its_first_check_is_left_out() -> None:
    found = yaml.safe_load((ROOT / "playbooks/drift.yml").read_text())
    (site,) = (play for play in found if "ansible.builtin.import_playbook" in play)
    assert site["when"] == "ansible_check_mode"
    modules = {
        key
        for play in plays("drift")
        for task in play["tasks"]
        for key in task
        if "_" in key or "." in key
    }
    assert modules - {"changed_when", "check_mode"} <= {
        "ansible.builtin.assert",
        "ansible.builtin.command",
        "ansible.builtin.include_role",
        *(path.stem for path in ROOT.glob("playbooks/library/drift_*.py")),
    }


def test_site_has_every_role_that_sets_something_up() -> None:
    assert sorted(hosts_of_roles()) == [role for role in ROLES if role not in ONLY_LOOK]


def test_validate_asks_every_role_that_has_something_to_ask() -> None:
    (play,) = plays("validate")
    asked = next(task["loop"] for task in play["tasks"] if "loop" in task)
    assert asked == sorted(path.parts[-3] for path in ROOT.glob("roles/*/tasks/validate.yml"))


def test_purge_undoes_every_role_on_the_same_hosts_the_last_first() -> None:
    loop = plays("purge")[-1]["tasks"][0]["loop"]
    undone = {item["name"]: item["hosts"] for item in loop}
    done = hosts_of_roles()
    sets = {role: set(hosts.split(":")) for role, hosts in done.items()}
    assert {role: set(hosts.split(":")) for role, hosts in undone.items()} == sets
    assert list(undone)[-1] == "base"
    assert next(iter(undone)) == "source_host"


@pytest.mark.parametrize("name", INVENTORIES)
def test_an_inventory_is_read_and_has_the_groups_of_all(name: str) -> None:
    done = subprocess.run(
        [
            Path(sys.executable).with_name("ansible-inventory"),
            "-i",
            f"inventories/{name}",
            "--list",
        ],
        cwd=ROOT,
        env=os.environ | {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")},
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    named = set(found["all"]["children"]) | {
        child for group in found.values() for child in group.get("children", [])
    }
    assert named - {"ungrouped"} <= GROUPS | {"scope", "broker_members"}
    assert not (ROOT / f"inventories/{name}/hosts.yml").is_symlink()
    for link, source in (("00-groups", "groups"), ("group_vars/all/00-common", "all")):
        path = ROOT / f"inventories/{name}/{link}.yml"
        assert path.resolve() == ROOT / f"inventories/common/{source}.yml"


def test_no_inventory_has_groups_of_its_own_meaning() -> None:
    comments = (ROOT / "inventories/common/groups.yml").read_text()
    for group in GROUPS:
        assert re.search(rf"^# .+\n{group}:", comments, re.MULTILINE), group


def kept_files() -> list[Path]:
    """Return the files that git tracks or would add."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    paths = [ROOT / name for name in listed.stdout.split("\0") if name]
    return [path for path in paths if path.is_file()]


def test_no_secret_is_kept_here() -> None:
    begins = re.compile(r"^-----BEGIN [A-Z ]*PRIVATE KEY-----\n[A-Za-z0-9+/=\n]{40}", re.MULTILINE)
    for path in kept_files():
        assert "secrets" not in path.relative_to(ROOT).parts, path
        assert path.parts[-3:] != ("group_vars", "all", "secrets.yml"), path
        assert not begins.search(path.read_text(errors="replace")), path


def test_decision_records_are_short() -> None:
    for path in ROOT.glob("docs/decisions/*.md"):
        assert len(path.read_text().splitlines()) < 40, path

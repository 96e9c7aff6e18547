"""Files that the accounts file expects become the file that sr_monitor reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.template import Templar, trust_as_template

from sarra_lite.config import expected
from tests.lab.plugins import load

accounts_filter = load("roles/accounts/filter_plugins/accounts.py")
accounts_expected = load("playbooks/filter_plugins/accounts_expected.py")
TEMPLATE = Path(__file__).parents[2] / "roles/sarra_lite/templates/expected.toml.j2"
OBS = {"match": "obs/*.nc", "by": "06:00", "least": 24}


def accounts(**user: Any) -> dict[str, list[dict[str, Any]]]:
    entry = {"name": "bob", "login": "bob001", "uid": 20001, "keys": [], **user}
    group = {"name": "cloud", "gid": 20000, "expect": [{"match": "*", "by": "23:59"}]}
    return {"groups": [group], "users": [entry]}


def toml(tables: list[dict[str, Any]]) -> str:
    """Render the role's template."""
    init_plugin_loader()
    variables = {"sarra_lite_expected": tables, "ansible_managed": "Ansible managed"}
    templar = Templar(DataLoader(), variables=variables)
    return str(templar.template(trust_as_template(TEMPLATE.read_text())))


def test_what_is_expected_of_users_and_groups_is_what_sr_monitor_reads(tmp_path: Path) -> None:
    every = OBS | {"every": ["monday", "friday"], "timezone": "America/Toronto", "name": "Été"}
    tables = accounts_expected.accounts_expected(accounts(expect=[OBS, every]), "u")
    file = tmp_path / "expected.toml"
    file.write_text(toml(tables))
    read = expected.read(file)
    assert [(entry.user, entry.group, entry.match, entry.least) for entry in read] == [
        ("ubob", "", "obs/*.nc", 24),
        ("ubob", "", "obs/*.nc", 24),
        ("", "cloud", "*", 1),
    ]
    assert (read[1].timezone, read[1].every, read[1].title) == (
        "America/Toronto",
        ["monday", "friday"],
        "Été",
    )


def test_nothing_is_expected_of_a_revoked_user() -> None:
    file = accounts(expect=[OBS], revoked="2026-01-01")
    assert [each.get("user") for each in accounts_expected.accounts_expected(file, "u")] == [None]


@pytest.mark.parametrize(
    ("expect", "line"),
    [
        ([OBS | {"timezone": "Mars/North"}], "no time zone like America/Toronto: Mars/North"),
        ([OBS | {"timezone": "../etc"}], "no time zone like America/Toronto: ../etc"),
        ([OBS, OBS], "two are called obs/*.nc; give each a name"),
    ],
)
def test_a_mistake_is_told_with_its_owner(expect: list[dict[str, Any]], line: str) -> None:
    [found] = accounts_expected.accounts_expected_mistakes(accounts(expect=expect))
    assert found == f"accounts.users: expect of bob: {line}"


@pytest.mark.parametrize(
    "wrong",
    [{"by": "6:00"}, {"by": "24:00"}, {"least": 0}, {"every": "daily"}, {"match": ""}, {"what": 1}],
)
def test_the_schema_refuses_what_sr_monitor_would(wrong: dict[str, Any]) -> None:
    [found] = accounts_filter.accounts_mistakes(accounts(expect=[OBS | wrong]), [], [])
    assert "expect" in found

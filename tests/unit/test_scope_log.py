"""What is written of a run of a playbook: names of who, when and what; never values."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from tests.lab.plugins import load

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

LOG = load("playbooks/callback_plugins/scope_log.py")
ACCOUNTS = load("roles/accounts/library/accounts_changes.py")


def test_an_entry_names_tasks_that_changed_something_with_their_hosts() -> None:
    run = LOG.Run({"id": "1"})
    assert run.take("haproxy : Configure HAProxy", "template", "svrlb2", {"changed": True})
    assert run.take("haproxy : Configure HAProxy", "template", "svrlb1", {"changed": True})
    assert not run.take("base : Install", "apt", "svrlb1", {"changed": False})
    entry = run.entry(5.0)
    assert entry["changed"] == [
        {"task": "haproxy : Configure HAProxy", "hosts": ["svrlb1", "svrlb2"], "told": []}
    ]
    assert (entry["id"], entry["ended"], entry["failed"]) == ("1", 5.0, [])


def test_an_entry_has_no_output_of_commands_but_lines_of_modules_that_tell_no_secrets() -> None:
    run = LOG.Run({})
    run.take("t", "command", "h", {"changed": True, "stdout": "secret", "done": ["secret"]})
    run.take("u", "rabbitmq_objects", "h", {"changed": True, "done": ["users: uann"]})
    assert "secret" not in str(run.entry(None))
    assert run.entry(None)["changed"][1]["told"] == ["users: uann"]


def test_an_entry_of_a_huge_run_is_bounded() -> None:
    run = LOG.Run({})
    for number in range(1000):
        run.take(f"{number} " + "x" * 1000, "command", "h", {"changed": True})
    entry = run.entry(None)
    assert (len(entry["changed"]), entry["more"]) == (200, 800)
    assert all(len(row["task"]) <= 200 for row in entry["changed"])


def test_of_variables_only_names_of_the_scope_are_told_with_values() -> None:
    extra = {"node": "svrsftp1", "scope_broker_passwords": "secret", "playbook_changes": {}}
    assert LOG.arguments(extra) == ["node=svrsftp1", "scope_broker_passwords"]


def test_scopes_of_one_control_machine_have_directories_of_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert str(LOG.spool(["/x/inventories/a"])) == "/state/sarra_lite/changes/x-inventories-a"
    assert LOG.spool(["/x/inventories/a"]) != LOG.spool(["/x/inventories/b"])


def test_what_a_killed_run_has_left_is_sent_but_not_what_a_running_one_writes(
    tmp_path: Path,
) -> None:
    (tmp_path / "1-999999999.part").write_text("{}")
    (tmp_path / f"2-{os.getpid()}.part").write_text("{}")
    (tmp_path / "3-7.json").write_text("{}")
    assert [path.name for path in LOG.waiting(tmp_path)] == ["1-999999999.json", "3-7.json"]
    assert LOG.waiting(tmp_path / "none") == []


def test_record_gets_the_options_about_connections_and_no_limits(tmp_path: Path) -> None:
    given: dict[str, Any] = {
        "inventory": ["a", "b"],
        "vault_ids": ("x@prompt",),
        "extra_vars": ("@f",),
        "become_ask_pass": True,
        "ask_pass": False,
        "subset": "svrlb1",
        "tags": ["haproxy"],
    }
    words = LOG.command(given, [tmp_path / "e.json"])
    assert words[5:-2] == [
        "--inventory=a",
        "--inventory=b",
        "--vault-id=x@prompt",
        "--extra-vars=@f",
        "--ask-become-pass",
    ]
    assert str(tmp_path / "e.json") in words[-1]


PASSWD = "ann1:x:20001:20000:ann:/h/ann1:/usr/sbin/nologin\nbob1:x:20002:20000:bob:/h/bob1:/n\n"
GROUP = "cloud:x:20000:ann1,bob1\nann1:x:20001:ann1\nbob1:x:20002:bob1\n"
KEYS = "ann1 ssh-ed25519 A\nbob1 ssh-ed25519 B\n"


def changes(passwd: str = PASSWD, group: str = GROUP, keys: str = KEYS) -> Any:
    before = ACCOUNTS.accounts(PASSWD, GROUP, [KEYS])
    return ACCOUNTS.changes(before, ACCOUNTS.accounts(passwd, group, [keys]))


def test_accounts_that_stay_are_not_told() -> None:
    assert changes() == {}


def test_accounts_are_told_by_the_name_of_the_user() -> None:
    more = PASSWD + "eve1:x:20003:20000:eve:/h/eve1:/n\n"
    assert changes(more) == {"users": {"added": ["eve"]}}
    assert changes(PASSWD.splitlines()[0], GROUP.replace("bob1:x:20002:bob1\n", "")) == {
        "users": {"removed": ["bob"]}
    }
    assert changes(keys=KEYS.replace("A", "C")) == {"users": {"changed": ["ann"]}}
    assert changes(group=GROUP.replace("ann1,", "")) == {"groups": {"changed": ["cloud"]}}
    everybody = ACCOUNTS.changes({}, ACCOUNTS.accounts(PASSWD, GROUP, [KEYS]))
    assert everybody == {"users": {"added": ["ann", "bob"]}, "groups": {"added": ["cloud"]}}

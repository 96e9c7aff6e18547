"""Homes, groups and numbers of accounts, through the virtual address and on the nodes."""

from __future__ import annotations

import json
import re
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.scope.conftest import LOCAL_UID
from tests.scope.test_runs import changed

if TYPE_CHECKING:
    from tests.scope.conftest import Client, Scope

ROOT = Path(__file__).parents[2]


def sftp(client: Client, name: str, *lines: str) -> Any:
    """Run lines of a batch of sftp as a user of the client's host, also after one that fails."""
    accounts = {user["name"]: user["login"] for user in client.scope.var("accounts")["users"]}
    batch = "".join(f"-{line}\n" for line in lines)
    return client.run(
        f"printf %s '{batch}' | sftp -q -b - {accounts[name]}@{client.sftp_name}", user=name
    )


@pytest.fixture(scope="module")
def people(scope: Scope, client: Client) -> dict[str, str]:
    """Names of two members of a group and of one who is not in it, who can all log in."""
    key = "test -f ~{}/.ssh/id_ed25519"
    users = [
        user
        for user in scope.var("accounts")["users"]
        if client.host.run(key.format(user["name"])).rc == 0
    ]
    for group in dict.fromkeys(user["group"] for user in users if "group" in user):
        inside = [user["name"] for user in users if user.get("group") == group]
        outside = [
            user["name"]
            for user in users
            if group not in (user.get("group"), *user.get("groups", []))
        ]
        if len(inside) > 1 and outside:
            return {"one": inside[0], "other": inside[1], "stranger": outside[0]}
    pytest.skip("the inventory has no two members of a group and a stranger")


def test_a_home_stays_shut_whatever_its_user_sets(
    scope: Scope, client: Client, people: dict[str, str]
) -> None:
    one = next(user for user in scope.var("accounts")["users"] if user["name"] == people["one"])
    home = f"/home/{one['login']}"
    client.ok("echo secret > secret", user=people["one"])
    sftp(
        client, people["one"], "put secret", "chmod 777 .", f"chmod 777 {home}", "chmod 666 secret"
    )
    for name in (people["other"], people["stranger"]):
        tried = sftp(
            client, name, f"ls {home}", f"get {home}/secret stolen", f"put /etc/hostname {home}/x"
        )
        assert len(tried.stderr.splitlines()) == 3, tried
        assert client.run("test -e stolen", user=name).rc != 0
    own = sftp(client, people["one"], "get secret back", "rm secret")
    assert own.stderr == ""


def test_a_groups_directory_is_shared_by_its_members_only(
    scope: Scope, client: Client, people: dict[str, str]
) -> None:
    group = next(
        user["group"] for user in scope.var("accounts")["users"] if user["name"] == people["one"]
    )
    shared = f"/home/{group}"
    ours = f"{shared}/spec-{secrets.token_hex(4)}"
    client.ok("echo ours > ours", user=people["one"])
    made = sftp(client, people["one"], f"mkdir {ours}", f"put ours {ours}/file")
    assert made.stderr == ""
    read = sftp(client, people["other"], f"ls {shared}", f"get {ours}/file ours")
    assert read.stderr == ""
    assert client.ok("cat ours", user=people["other"]) == "ours\n"
    tried = sftp(client, people["stranger"], f"ls {shared}", f"get {ours}/file", f"mkdir {ours}-2")
    assert len(tried.stderr.splitlines()) == 3, tried
    opened = sftp(client, people["one"], f"chmod 777 {shared}")
    assert "ermission denied" in opened.stderr
    node = scope.host(scope.group("sftp_nodes")[0])
    path = f"{scope.var('scope_homes')}/{ours.removeprefix('/home/')}"
    gid = next(each["gid"] for each in scope.var("accounts")["groups"] if each["name"] == group)
    assert node.check_output(f"stat -c %g {path} {path}/file").split() == [str(gid), str(gid)]
    sftp(client, people["one"], f"rm {ours}/file", f"rmdir {ours}")


def test_hosts_have_no_login_or_group_that_an_account_may_get(scope: Scope) -> None:
    reserved = yaml.safe_load((ROOT / "roles/accounts/vars/main.yml").read_text())
    pattern = re.compile("[a-z][a-z0-9]{1,30}")
    for name in scope.group("sftp_nodes"):
        text = scope.host(name).check_output("cut -d: -f1 /etc/passwd /etc/group")
        own = {word for word in text.split() if pattern.fullmatch(word)}
        assert own <= {*reserved["__accounts_debian_names"]}, name


def reused_uid(accounts: dict[str, Any]) -> str:
    """The last user is replaced by another, with the uid of that user."""
    accounts["users"][-1] |= {"name": "dana", "login": "dana01"}
    return "dana01 has the number 20003 of bob002, whose files it would own: take a number"


def reused_login(accounts: dict[str, Any]) -> str:
    accounts["users"][-1] |= {"uid": 20777}
    return "bob002 was number 20003, which still owns its files: give it 20003 again, or take"


def uid_of_the_host(accounts: dict[str, Any]) -> str:
    accounts["users"][-1] |= {"login": "eva001", "uid": LOCAL_UID}
    return f"eva001 ({LOCAL_UID}): /etc/passwd of this host has local7 ({LOCAL_UID}); take another"


@pytest.mark.security
@pytest.mark.one_host
@pytest.mark.destructive
@pytest.mark.timeout(300)
@pytest.mark.usefixtures("local_user")
@pytest.mark.parametrize("mistake", [reused_uid, reused_login, uid_of_the_host])
def test_a_number_of_another_stops_the_run_before_anything_is_changed(
    scope: Scope, tmp_path: Path, mistake: Any
) -> None:
    accounts = json.loads(json.dumps(scope.var("accounts")))
    said = mistake(accounts)
    path = tmp_path / "accounts.json"
    passwords = scope.var("scope_broker_passwords") | {"udana": "x"}
    path.write_text(json.dumps({"accounts": accounts, "scope_broker_passwords": passwords}))
    done = scope.playbook("site", "-e", f"@{path}")
    assert done.returncode != 0
    assert said in " ".join(done.stdout.split()), done.stdout
    assert "Set up what every host has" not in done.stdout
    assert set(changed(done.stdout).values()) == {0}

"""What the nodes get of accounts and keys that expire, are revoked, or are bound to networks."""

from __future__ import annotations

from typing import Any, Final

import pytest

from tests.lab.plugins import load

BLOB: Final = "AAAAC3NzaC1lZDI1NTE5AAAAIPPPf8lVZx5z/ytYYyWx5fEMV+fqf/bG05nKwn+YVcbV"
KEY: Final = f"ssh-ed25519 {BLOB} earnest@ec"
FINGERPRINT: Final = "SHA256:FvT0fGGo1eFgJhx/iPMjiEdf0turCsgwv0VOJIhoRi0"


LIFE: Final = load("roles/accounts/filter_plugins/accounts_life.py")
OPEN: Final = load("playbooks/filter_plugins/revoke.py")
OBJECTS: Final = load("roles/broker_objects/library/rabbitmq_objects.py")


def user(**more: Any) -> dict[str, Any]:
    return {"name": "earnest", "login": "ear001", "uid": 20001, "keys": [KEY], **more}


def test_a_fingerprint_is_the_one_that_ssh_keygen_prints() -> None:
    assert LIFE.fingerprint(KEY) == FINGERPRINT
    assert LIFE.fingerprint({"key": KEY}) == FINGERPRINT


@pytest.mark.parametrize(
    ("entry", "lines"),
    [
        (user(), [f"ear001 {KEY}"]),
        (user(expires="2026-12-31"), [f'ear001 expiry-time="202612310000Z" {KEY}']),
        (
            user(expires="2026-12-31", keys=[{"key": KEY, "expires": "2026-12-01T06:30Z"}]),
            [f'ear001 expiry-time="202612010630Z" {KEY}'],
        ),
        (
            user(expires="2026-12-31", keys=[{"key": KEY, "expires": "2027-01-01"}]),
            [f'ear001 expiry-time="202612310000Z" {KEY}'],
        ),
        (
            user(**{"from": ["192.0.2.0/24", "2001:db8::/32"]}),
            [f'ear001 from="192.0.2.0/24,2001:db8::/32" {KEY}'],
        ),
        (user(revoked="2026-11-27"), []),
        (user(revoked_keys=[FINGERPRINT]), []),
        (user(keys=[]), []),
    ],
)
def test_the_lines_of_keys(entry: dict[str, Any], lines: list[str]) -> None:
    assert LIFE.key_lines([entry]) == lines


def test_what_ends_is_warned_of_in_time_the_first_first() -> None:
    users = [
        user(expires="2026-12-11", keys=[{"key": KEY, "expires": "2026-12-10"}]),
        user(name="bob", expires="2026-12-12"),
        user(name="dana", expires="2026-11-27T09:00Z"),
        user(name="eve", expires="2026-11-28", revoked="2026-11-01"),
    ]
    assert LIFE.warnings(users, 14, "2026-11-27T09:00Z") == [
        "dana: account has expired (2026-11-27T09:00Z)",
        f"earnest: {FINGERPRINT} expires (2026-12-10)",
        "earnest: account expires (2026-12-11)",
    ]
    assert LIFE.ends(users)[:2] == [
        "ear001 2026-12-11 account",
        f"ear001 2026-12-10 {FINGERPRINT}",
    ]


def test_a_user_who_was_revoked_does_not_come_back_unseen() -> None:
    known = {"logins": ["ear001"], "keys": [FINGERPRINT]}
    assert len(LIFE.brought_back([user()], known, [])) == 2
    assert LIFE.brought_back([user()], known, ["earnest"]) == []
    assert LIFE.brought_back([user(revoked="2026-11-27")], known, []) == []
    (line,) = LIFE.brought_back([user()], {"logins": [], "keys": [FINGERPRINT]}, [])
    assert line.endswith(f'revoked_keys: ["{FINGERPRINT}"]')


def test_the_broker_has_no_users_whose_time_has_come() -> None:
    wanted = {
        "users": [{"name": "ubob"}, {"name": "udana"}],
        "permissions": [{"user": "ubob"}, {"user": "udana"}],
        "exchanges": [{"name": "xac_bob"}, {"name": "xac_dana"}],
    }
    now = OBJECTS.datetime(2026, 11, 27, 9, 0, tzinfo=OBJECTS.UTC)
    left = OBJECTS.without_ended(wanted, {"ubob": "2026-11-27", "udana": "2026-11-27T09:01Z"}, now)
    assert left == {
        "users": [{"name": "udana"}],
        "permissions": [{"user": "udana"}],
        "exchanges": wanted["exchanges"],
    }


def test_connections_are_closed_only_for_a_changed_password() -> None:
    changes = {"users": [{"name": name, "password_hash": "new"} for name in ("a", "b", "c")]}
    live = {"a": {"password_hash": "old"}, "b": {"password_hash": "new"}}
    assert OBJECTS.with_new_password(changes, live) == ["a"]


GROUPS: Final = {"sftp_nodes": ["node1", "node2"], "broker_members": ["b1", "b2"]}
GOOD: Final = {"changed": True}
GONE: Final = {"unreachable": True, "msg": "Connection timed out"}


def test_hosts_that_did_not_answer_are_listed_with_what_they_do() -> None:
    hosts = {
        "node1": {"revoke_node": GOOD},
        "node2": {"revoke_node": GONE},
        "b1": {"revoke_member": {"failed": True, "stderr": "x\nno majority"}},
        "b2": {"revoke_member": GOOD},
    }
    node, member = OPEN.revoke_open(GROUPS, hosts, {}, None)
    assert node.startswith("node2: did not answer; it refuses the login because of the shared")
    assert member.startswith("b1: no majority; it gets the deletion from the other members")
    assert OPEN.revoke_open(GROUPS, hosts, {}, FINGERPRINT) == [node]


def test_what_still_lets_the_user_in_is_told_loudly() -> None:
    hosts = {name: {"revoke_node": GONE, "revoke_member": GONE} for name in ("node1", "b1")}
    hosts |= {"node2": {}, "b2": {}}
    marked = {"failed": True, "msg": "a.yml: encrypted; write in the entry of bob: revoked: DAY"}
    *lines, last = OPEN.revoke_open(GROUPS, hosts, marked, None)
    assert [line.split(":")[0] for line in lines] == ["node1", "node2", "b1", "b2"]
    assert all("STILL LETS THE USER IN" in line for line in lines)
    assert last == f"accounts file: {marked['msg']}"

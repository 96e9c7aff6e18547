"""The files of users and groups that the nodes get."""

from __future__ import annotations

from typing import Any, Final

from tests.lab.plugins import load

NSS: Final = load("roles/accounts/filter_plugins/accounts_nss.py")
SHARED: Final = {"name": "sftpusers", "gid": 19999}
ACCOUNTS: Final[dict[str, Any]] = {
    "groups": [{"name": "cloud", "gid": 20000}, {"name": "sea", "gid": 20010}],
    "users": [
        {"name": "zoe", "login": "zoe001", "uid": 20003, "group": "cloud", "groups": ["sea"]},
        {"name": "bob", "login": "bob001", "uid": 20002, "group": "cloud", "groups": ["cloud"]},
        {"name": "eva", "login": "eva001", "uid": 20004, "revoked": "2026-01-01"},
    ],
}


def test_groups_name_their_members_in_order_and_each_login_has_its_own() -> None:
    assert NSS.group_lines(ACCOUNTS, SHARED) == [
        "cloud:x:20000:bob001,zoe001",
        "sea:x:20010:zoe001",
        "sftpusers:x:19999:bob001,zoe001",
        "zoe001:x:20003:zoe001",
        "bob001:x:20002:bob001",
        "eva001:x:20004:eva001",
    ]


def test_users_have_their_group_a_home_and_no_shell() -> None:
    assert NSS.passwd_lines(ACCOUNTS, "/home", 19999)[1:] == [
        "bob001:x:20002:20000:bob:/home/bob001:/usr/sbin/nologin",
        "eva001:x:20004:19999:eva:/home/eva001:/usr/sbin/nologin",
    ]


def test_nobody_has_a_password_and_who_is_revoked_has_expired() -> None:
    assert NSS.shadow_lines(ACCOUNTS)[1:] == ["bob001:*:20000::::::", "eva001:*:20000:::::1:"]

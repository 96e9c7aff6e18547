"""Ansible filters that return the lines of the files of users and groups (libnss-extrausers).

Each reads the accounts once: a template that searched all users for each group would take the
longer the more groups there are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypeAlias

    Accounts: TypeAlias = Mapping[str, list[Mapping[str, Any]]]


def group_lines(accounts: Accounts, shared: Mapping[str, Any]) -> list[str]:
    """Return the lines of ``group``; who has a group is in the ``shared`` one, too.

    Each login has a group of its own, with its name and number.
    """
    gids = {group["name"]: group["gid"] for group in accounts["groups"]}
    gids[shared["name"]] = shared["gid"]
    members: dict[str, set[str]] = {name: set() for name in gids}
    own = []
    for user in accounts["users"]:
        login = user["login"]
        primary = [user["group"], shared["name"]] if "group" in user else []
        for name in (*primary, *user.get("groups", [])):
            members[name].add(login)
        own.append(f"{login}:x:{user['uid']}:{login}")
    return [f"{name}:x:{gid}:{','.join(sorted(members[name]))}" for name, gid in gids.items()] + own


def passwd_lines(accounts: Accounts, homes: str, shared_gid: int) -> list[str]:
    """Return the lines of ``passwd``; who has no group gets the number of the shared one."""
    gids = {group["name"]: group["gid"] for group in accounts["groups"]}
    return [
        f"{user['login']}:x:{user['uid']}:{gids[user['group']] if 'group' in user else shared_gid}"
        f":{user['name']}:{homes}/{user['login']}:/usr/sbin/nologin"
        for user in accounts["users"]
    ]


def shadow_lines(accounts: Accounts) -> list[str]:
    """Return the lines of ``shadow``: no passwords, and who is revoked expired long ago."""
    return [
        f"{user['login']}:*:20000:::::{'1' if 'revoked' in user else ''}:"
        for user in accounts["users"]
    ]


class FilterModule:
    """The filters of this plugin, for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by their names in templates."""
        return {
            "accounts_group_lines": group_lines,
            "accounts_passwd_lines": passwd_lines,
            "accounts_shadow_lines": shadow_lines,
        }

"""Ansible filter that returns the limits of disk space in the accounts file, in bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_UNITS: Final = {f"{unit}iB": 1024**power for power, unit in enumerate("KMGTP", start=1)}


def disk_bytes(text: str) -> int:
    """Return the bytes of a size like ``1.5 TiB``, as the schema permits them; 0 for ``""``."""
    number, _, unit = text.partition(" ")
    return int(float(number) * _UNITS[unit]) if number else 0


def accounts_disk(accounts: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return kind, name, directory, id and bytes (0: no limit) of every user and group.

    A user's directory is the home, a group's the one that its members share.
    """
    kinds = (("group", "groups", "name", "gid"), ("user", "users", "login", "uid"))
    return [
        {
            "kind": kind,
            "name": entry["name"],
            "directory": entry[directory],
            "id": entry[number],
            "bytes": disk_bytes(entry.get("disk", "")),
        }
        for kind, plural, directory, number in kinds
        for entry in accounts[plural]
    ]


def accounts_file_sizes(accounts: dict[str, list[dict[str, Any]]]) -> dict[str, int]:
    """Return by login how many KiB the largest file of a user with a limit may have.

    A file with holes uses less of a quota than its size: so this limits the size, too.
    """
    groups = {group["name"]: disk_bytes(group.get("disk", "")) for group in accounts["groups"]}
    return {
        user["login"]: max(
            disk_bytes(user["disk"]),
            *(groups.get(name, 0) for name in (user.get("group", ""), *user.get("groups", []))),
        )
        // 1024
        for user in accounts["users"]
        if "disk" in user
    }


class FilterModule:
    """The filters of this plugin, for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by their names in templates."""
        return {"accounts_disk": accounts_disk, "accounts_file_sizes": accounts_file_sizes}

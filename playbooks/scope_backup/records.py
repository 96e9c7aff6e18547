"""What the hosts know of accounts: names with their numbers, and what is revoked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    Records = dict[str, Any]  # numbers: name to number; logins and keys: what is revoked


def differences(then: Records, now: Records) -> Iterator[str]:
    """Yield a line for each difference between the records of a backup and those of the hosts."""
    old, new = then["numbers"], now.get("numbers", {})
    for name in sorted(old.keys() | new.keys()):
        if name not in new:
            yield f"nodes: the number {old[name]} of {name} is not recorded, will be"
        elif name in old and old[name] != new[name]:
            yield f"nodes: {name} has the number {new[name]}, in the backup {old[name]}: refused"
    for kind in ("logins", "keys"):
        for name in sorted(set(then[kind]) - set(now.get(kind, []))):
            yield f"nodes: {name} is not revoked, will be"


def conflicts(then: Records, accounts: dict[str, tuple[str, Any]]) -> list[str]:
    """Return a line for each account that has another number, or another's, in the record.

    ``accounts`` has login and uid of each user in the accounts file of the same backup.
    """
    names = {number: name for name, number in then["numbers"].items()}
    found = []
    for login, uid in accounts.values():
        known = then["numbers"].get(login, uid)
        if known != uid:
            found.append(f"{login} has the uid {uid} in the accounts file and {known} on the nodes")
        elif names.get(uid, login) != login:
            found.append(f"{login} has the uid {uid}, which was that of {names[uid]}")
    return found

"""Ansible filters for what ends: keys and accounts that expire or are revoked."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, date, datetime, timedelta
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import TypeAlias

    User: TypeAlias = Mapping[str, Any]


def fingerprint(key: Any) -> str:
    """Return the SHA256 fingerprint of a key of the accounts file, as ssh-keygen -l prints it."""
    blob = base64.b64decode(_text(key).split()[1])
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def key_lines(users: list[User]) -> list[str]:
    """Return the lines ``LOGIN OPTIONS KEY`` of all keys that are accepted, now or later."""
    return [
        " ".join(filter(None, [user["login"], ",".join(_options(user, key)), _text(key)]))
        for user in users
        for key in user["keys"]
        if "revoked" not in user and fingerprint(key) not in user.get("revoked_keys", [])
    ]


def ends(users: list[User]) -> list[str]:
    """Return the lines ``LOGIN TIME WHAT`` of the accounts and keys that expire; times in UTC."""
    return [f"{user['login']} {when} {what}" for user in users for when, what in _ends(user)]


def warnings(users: list[User], days: int, now: str | None = None) -> list[str]:
    """Return a readable line for what has expired or expires within ``days``, the first first."""
    today = now or datetime.now(UTC).strftime("%Y-%m-%dT%H:%MZ")
    until = (datetime.fromisoformat(today) + timedelta(days=days)).strftime("%Y-%m-%dT%H:%MZ")
    found = sorted(
        (when, user["name"], what) for user in users for when, what in _ends(user) if when <= until
    )
    return [
        f"{name}: {what} {'has expired' if when <= today else 'expires'} ({when})"
        for when, name, what in found
    ]


def mistakes(accounts: Mapping[str, list[User]]) -> list[str]:
    """Return times and networks that do not exist; the schema must have been checked before."""
    return [
        f"accounts.users[{index}].{line}"
        for index, user in enumerate(accounts["users"])
        for line in _mistakes(user)
    ]


def brought_back(
    users: list[User], known: Mapping[str, list[str]], restored: list[str]
) -> list[str]:
    """Return a line for each user who was revoked on the nodes, but whose entry is as before."""
    found = []
    for user in users:
        if user["name"] in restored or "revoked" in user:
            continue
        if user["login"] in known["logins"]:
            found.append(f"{user['name']} is revoked on the nodes: add to the entry revoked: DAY")
        keys = {fingerprint(key) for key in user["keys"]} - set(user.get("revoked_keys", []))
        found.extend(
            f"a key of {user['name']} is revoked on the nodes: add to the entry"
            f' revoked_keys: ["{key}"]'
            for key in sorted(keys & set(known["keys"]))
        )
    return found


def _text(key: Any) -> str:
    return str(key["key"] if isinstance(key, dict) else key)


def _ends(user: User) -> Iterator[tuple[str, str]]:
    """Yield time and name of the account and the keys that expire, unless they are revoked."""
    if "revoked" in user:
        return
    if "expires" in user:
        yield str(user["expires"]), "account"
    for key in user["keys"]:
        if isinstance(key, dict) and "expires" in key:
            known = fingerprint(key)
            if known not in user.get("revoked_keys", []):
                yield str(key["expires"]), known


def _options(user: User, key: Any) -> Iterator[str]:
    """Yield the options of a key in the format of authorized_keys."""
    if user.get("from"):
        yield f'from="{",".join(user["from"])}"'
    given = [str(it["expires"]) for it in (user, key) if isinstance(it, dict) and "expires" in it]
    if given:
        first = datetime.fromisoformat(min(given))
        yield f'expiry-time="{first:%Y%m%d%H%M}Z"'


def _mistakes(user: User) -> Iterator[str]:
    times = [("expires", user.get("expires")), ("revoked", user.get("revoked"))]
    times += [(f"keys[{n}].expires", _expires(key)) for n, key in enumerate(user["keys"])]
    for where, when in times:
        try:
            if when is not None and not isinstance(when, date):
                datetime.fromisoformat(when)
        except ValueError as error:
            yield f"{where}: {when}: {error}"
    for number, network in enumerate(user.get("from", [])):
        try:
            ip_network(network)
        except ValueError as error:
            yield f"from[{number}]: {error}"


def _expires(key: Any) -> Any:
    return key.get("expires") if isinstance(key, dict) else None


class FilterModule:
    """The filters of this plugin, for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by their names in templates."""
        return {
            "accounts_fingerprint": fingerprint,
            "accounts_key_lines": key_lines,
            "accounts_ends": ends,
            "accounts_warnings": warnings,
            "accounts_life_mistakes": mistakes,
            "accounts_brought_back": brought_back,
        }

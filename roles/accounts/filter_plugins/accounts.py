"""Ansible filter that returns the mistakes in the accounts file as readable lines."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from jsonschema import Draft202012Validator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SCHEMA: Final = Path(__file__).parents[1] / "files/accounts.schema.json"
SHORT: Final = 60  # characters of a wrong value that a line shows


def accounts_mistakes(accounts: Any) -> list[str]:
    """Return violations of the schema; if none, duplicate names and numbers and unknown groups."""
    validator = Draft202012Validator(json.loads(SCHEMA.read_text()))
    found = [_line(error) for error in validator.iter_errors(_plain(accounts))]
    return found or list(_twice(accounts))


def _plain(value: Any) -> Any:
    """Return a value in plain Python types: jsonschema does not know Ansible's tagged ones."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, str) else value


def _line(error: Any) -> str:
    where = "accounts" + "".join(
        f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path
    )
    if error.validator == "pattern":
        return f"{where}: {str(error.instance)[:SHORT]!r} does not match {error.validator_value}"
    return f"{where}: {error.message}"


def _twice(accounts: dict[str, list[dict[str, Any]]]) -> Iterator[str]:
    for kind, key in (("groups", "name"), ("groups", "gid"), *(("users", k) for k in _UNIQUE)):
        for value, count in Counter(entry[key] for entry in accounts[kind]).items():
            if count > 1:
                yield f"accounts.{kind}: {key} {value} is given {count} times"
    known = {group["name"] for group in accounts["groups"]}
    for index, user in enumerate(accounts["users"]):
        if user.get("group", user["login"]) not in known | {user["login"]}:
            yield f"accounts.users[{index}].group: there is no group {user['group']}"
        if user["login"] in known:
            yield f"accounts.users[{index}].login: {user['login']} is a group, too"


_UNIQUE: Final = ("name", "login", "uid")


class FilterModule:
    """The filters of this plugin, for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by their names in templates."""
        return {"accounts_mistakes": accounts_mistakes}

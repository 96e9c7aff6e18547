"""Ansible filter that returns the mistakes in the accounts file as readable lines."""

from __future__ import annotations

import json
import re
from collections import Counter
from datetime import date
from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from jsonschema import Draft202012Validator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SCHEMA: Final = Path(__file__).parents[1] / "files/accounts.schema.json"
NAME: Final = re.compile("[a-z][a-z0-9]{1,30}")  # as in the schema
TAG: Final = "scope"  # of the broker's users that roles/broker_objects makes
SHORT: Final = 60  # characters of a wrong value that a line shows


def accounts_mistakes(
    accounts: Any, broker_names: list[dict[str, Any]], host_names: list[str]
) -> list[str]:
    """Return violations of the schema; if none, duplicates, unknown groups, reserved names.

    ``broker_names`` are users and exchanges of the broker that are not accounts', with the prefix
    that makes one of an account's name; ``host_names`` are logins and groups of the hosts.
    """
    validator = Draft202012Validator(json.loads(SCHEMA.read_text()))
    found = [_line(error) for error in validator.iter_errors(_plain(accounts))]
    return found or [
        *_twice(accounts),
        *_reserved(accounts, broker_names, set(host_names)),
        *_networks(accounts.get("sites", [])),
    ]


def _networks(sites: list[dict[str, Any]]) -> Iterator[str]:
    for index, site in enumerate(sites):
        for number, network in enumerate(site["networks"]):
            try:
                ip_network(str(network))
            except ValueError as error:
                yield f"accounts.sites[{index}].networks[{number}]: {error}"


def _plain(value: Any) -> Any:
    """Return a value in plain Python types: jsonschema does not know Ansible's tagged ones."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    # YAML reads 2026-12-31 as a date.
    return str(value) if isinstance(value, str | date) else value


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
    groups = {group["name"]: group["gid"] for group in accounts["groups"]}
    for index, user in enumerate(accounts["users"]):
        where = f"accounts.users[{index}]"
        for key, names in (("group", [user.get("group")]), ("groups", user.get("groups", []))):
            for name in names:
                if name not in groups and name is not None:
                    yield f"{where}.{key}: there is no group {name}"
        if user["login"] in groups:
            yield f"{where}.login: {user['login']} is a group, too"
        # A login is the only member of a group with its name and number, to which its home belongs.
        if user["uid"] in groups.values():
            yield f"{where}.uid: {user['uid']} is the gid of a group, too"


def _reserved(
    accounts: dict[str, list[dict[str, Any]]],
    broker_names: list[dict[str, Any]],
    host_names: set[str],
) -> Iterator[str]:
    for index, user in enumerate(accounts["users"]):
        where = f"accounts.users[{index}]"
        for kind in broker_names:
            full = kind["prefix"] + user["name"]
            if full in kind["taken"]:
                what = f"{kind['what']} {full}, which is the scope's own"
                yield f"{where}.name: {user['name']} is reserved: it would become the {what}"
        if user["login"] in host_names:
            yield f"{where}.login: {user['login']} is reserved: hosts have an account of that name"
    for index, group in enumerate(accounts["groups"]):
        if group["name"] in host_names:
            where = f"accounts.groups[{index}].name"
            yield f"{where}: {group['name']} is reserved: hosts have an account of that name"


_UNIQUE: Final = ("name", "login", "uid")


def accounts_numbers(accounts: dict[str, Any]) -> dict[str, int]:
    """Return the numbers of all logins and groups by their names."""
    users = {user["login"]: user["uid"] for user in accounts["users"]}
    return users | {group["name"]: group["gid"] for group in accounts["groups"]}


def accounts_removals(
    hosts: list[dict[str, Any]],
    accounts: dict[str, Any],
    broker_users: dict[str, Any],
    number: int | str,
    share: float | str,
) -> dict[str, Any]:
    """Return how many accounts the hosts know, whom of these the accounts file lacks, the ceiling.

    ``hosts`` are variables of hosts, with the results of tasks/existing.yml; ``broker_users`` is
    the prefix of accounts' users at the broker, and the users that are not accounts'.  At most
    ``number`` accounts and the ``share`` of the known ones may be removed, but always one, unless
    it is the last.
    """
    known = {name for host in hosts for name in (*_of_node(host), *_of_broker(host, broker_users))}
    removed = known - {user["name"] for user in accounts["users"]}
    ceiling = max(1, min(int(number), int(float(share) * len(known))))
    return {
        "known": len(known),
        "removed": sorted(removed),
        "ceiling": min(ceiling, max(len(known) - 1, 0)),
    }


def _of_node(host: dict[str, Any]) -> Iterator[str]:
    """Yield the users' names in the file passwd of a node: its field for comments."""
    for line in host.get("__accounts_of_node", {}).get("stdout_lines", []):
        yield line.split(":")[4]


def _of_broker(host: dict[str, Any], others: dict[str, Any]) -> Iterator[str]:
    """Yield the names of accounts among a broker's users: those that the scope has made."""
    for line in host.get("__accounts_of_broker", {}).get("stdout_lines", []):
        user, _, tags = line.partition("\t")
        if TAG not in tags.strip("[]").split(", "):
            continue
        name = user.removeprefix(others["prefix"])
        if user == others["prefix"] + name and user not in others["taken"] and NAME.fullmatch(name):
            yield name


class FilterModule:
    """The filters of this plugin, for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by their names in templates."""
        return {
            "accounts_mistakes": accounts_mistakes,
            "accounts_numbers": accounts_numbers,
            "accounts_removals": accounts_removals,
        }

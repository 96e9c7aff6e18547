"""Definitions of RabbitMQ: what a backup has that the broker lacks, and site.yml does not make."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Definitions = dict[str, list[dict[str, Any]]]
#: Kinds of objects in definitions, and what names one of them.
KINDS: Final[dict[str, tuple[str, ...]]] = {
    "vhosts": ("name",),
    "users": ("name",),
    "permissions": ("user", "vhost"),
    "topic_permissions": ("user", "vhost", "exchange"),
    "parameters": ("component", "vhost", "name"),
    "global_parameters": ("name",),
    "policies": ("vhost", "name"),
    "exchanges": ("vhost", "name"),
    "queues": ("vhost", "name"),
    "bindings": ("vhost", "source", "destination_type", "destination", "routing_key"),
}
_OWN: Final = "scope"  # tag of the users that site.yml makes and removes
_SINGULAR: Final = {"policies": "policy"}


def lacking(then: Definitions, now: Definitions, exchange_prefix: str) -> Definitions:
    """Return what the broker lacks, but users and exchanges of accounts, which site.yml removes.

    Bindings come back only with a queue or exchange that does.
    """
    ours = {user["name"] for user in then.get("users", []) if _OWN in _tags(user)} | {"guest"}
    theirs: Definitions = {}
    for kind, keys in KINDS.items():
        known = {_key(entry, keys) for entry in now.get(kind, [])}
        theirs[kind] = [entry for entry in then.get(kind, []) if _key(entry, keys) not in known]
    for kind, field in (("users", "name"), ("permissions", "user"), ("topic_permissions", "user")):
        theirs[kind] = [entry for entry in theirs[kind] if entry[field] not in ours]
    theirs["global_parameters"] = []  # names of the cluster
    theirs["exchanges"] = [
        entry for entry in theirs["exchanges"] if not entry["name"].startswith(exchange_prefix)
    ]
    made = {entry["name"] for kind in ("queues", "exchanges") for entry in theirs[kind]}
    there = made | {
        entry["name"] for kind in ("queues", "exchanges") for entry in now.get(kind, [])
    }
    theirs["bindings"] = [
        entry
        for entry in theirs["bindings"]
        if {entry["source"], entry["destination"]} & made
        and {entry["source"], entry["destination"]} <= there | {""}
    ]
    return {kind: entries for kind, entries in theirs.items() if entries}


def differences(then: Definitions, now: Definitions, exchange_prefix: str) -> Iterator[str]:
    """Yield a line for each object that differs; no hashes of passwords."""
    back = lacking(then, now, exchange_prefix)
    for kind, keys in KINDS.items():
        if kind == "global_parameters":
            continue
        old = {_key(entry, keys): entry for entry in then.get(kind, [])}
        new = {_key(entry, keys): entry for entry in now.get(kind, [])}
        returned = {_key(entry, keys) for entry in back.get(kind, [])}
        for key in sorted(old.keys() | new.keys()):
            name = f"broker: {_SINGULAR.get(kind, kind[:-1])} {' '.join(filter(None, key))}"
            if key not in new:
                yield f"{name}: is missing, {_who(key in returned)}"
            elif key in old and _plain(old[key]) != _plain(new[key]):
                yield f"{name}: differs, stays"


def _plain(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return an object without the hash of its password, which has another salt each time."""
    return {key: value for key, value in entry.items() if key != "password_hash"}


def _who(returned: bool) -> str:  # noqa: FBT001
    return "will be made" if returned else "is left to site.yml"


def _key(entry: Mapping[str, Any], keys: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(str(entry.get(key, "")) for key in keys)


def _tags(user: Mapping[str, Any]) -> list[str]:
    tags = user.get("tags", [])
    return tags.split(",") if isinstance(tags, str) else list(tags)

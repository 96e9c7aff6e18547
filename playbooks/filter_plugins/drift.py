"""Filters of playbooks/drift.yml: what differs between hosts and at the broker; the whole list."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import TypeAlias

    Groups: TypeAlias = Mapping[str, list[str]]
    HostVars: TypeAlias = Mapping[str, Mapping[str, Any]]
    Finding: TypeAlias = dict[str, str]

RESULT: Final = re.compile(r"drift_(\w+)|__(\w+)_drift")
UNDECLARED: Final = "not there"


def drift_found(
    groups: Groups,
    hostvars: HostVars,
    changes: list[Mapping[str, Any]],
    keys: list[str] | None = None,
    ignored: list[str] | None = None,
) -> list[Finding]:
    """Return all that differs: host, what, is, should.

    ``changes``: the tasks that check mode would change.  ``keys``: fingerprints of administrators'
    keys; None: a key that most hosts have is right.  ``ignored``: patterns of what is not told.
    """
    found = [
        *_of_hosts(groups, hostvars),
        *_packages(groups, hostvars),
        *_keys(groups, hostvars, keys),
        *_of_check_mode(changes),
    ]
    patterns = [re.compile(text) for text in ignored or []]
    kept = [
        one
        for one in found
        if not any(pattern.search(f"{one['host']} {one['what']}") for pattern in patterns)
    ]
    return sorted(kept, key=lambda one: (one["host"], one["what"]))


def drift_lines(found: list[Finding]) -> list[str]:
    """Return the findings as the lines of a table."""
    heads = {"host": "HOST", "what": "WHAT", "is": "IS", "should": "SHOULD BE"}
    rows = [heads, *found] if found else []
    width = {key: max((len(row[key]) for row in rows), default=0) for key in heads}
    return [
        "  ".join(row[key].ljust(min(width[key], 60)) for key in heads).rstrip() for row in rows
    ]


def drift_broker(
    live: Mapping[str, list[dict[str, Any]]],
    wanted: Mapping[str, list[dict[str, Any]]],
    user_prefix: str,
) -> list[dict[str, str]]:
    """Return what a broker has that no playbook has made and no user may have made.

    Users make queues and streams whose names begin with q_ and their own name.
    """
    users = {user["name"] for user in wanted["users"]}
    queues = {queue["name"] for queue in wanted["queues"]}
    own = tuple(f"q_{user}{end}" for user in users if user.startswith(user_prefix) for end in "._")
    grants = {(row["user"], row["vhost"]) for row in wanted["permissions"]}
    known: dict[str, Callable[[dict[str, Any]], bool]] = {
        "vhosts": lambda it: it["name"] in {vhost["name"] for vhost in wanted["vhosts"]},
        "users": lambda it: it["name"] in users,
        "permissions": lambda it: (it["user"], it["vhost"]) in grants,
        "topic_permissions": lambda _: False,
        "exchanges": lambda it: it["name"] in {one["name"] for one in wanted["exchanges"]},
        "queues": lambda it: it["name"] in queues or it["name"].startswith(own),
        "policies": lambda it: it["name"] in {one["name"] for one in wanted["policies"]},
        "parameters": lambda it: it["name"] in {one["name"] for one in wanted["parameters"]},
        "bindings": lambda it: (
            not it["source"] or it["destination"] in queues or it["destination"].startswith(own)
        ),
    }
    return [
        {"what": f"broker: {kind}: {_named(kind, item)}", "is": "there", "should": UNDECLARED}
        for kind, is_known in known.items()
        for item in live.get(kind, [])
        if not is_known(item)
    ]


def _named(kind: str, item: Mapping[str, Any]) -> str:
    if kind == "bindings":
        return f"{item['source']} to {item['destination']} ({item['routing_key']})"
    if "permissions" in kind:
        return f"{item['user']} on {item['vhost']}"
    return str(item["name"])


def _of_hosts(groups: Groups, hostvars: HostVars) -> Iterator[Finding]:
    """Yield what modules have found on each host; a check that failed is told, too."""
    for host in groups["scope"]:
        known = hostvars[host]
        if _result(known, "drift_packages").get("unreachable"):
            yield _finding(host, "host", "does not answer", "answering")
            continue
        for name in sorted(filter(RESULT.fullmatch, known)):
            result = _result(known, name)
            if result.get("failed"):
                said = str(result.get("msg") or result.get("stderr") or "no answer").strip()
                yield _finding(host, f"check {name}", f"failed: {said[:200]}", "possible")
            for one in result.get("found", []):
                yield {"host": host, **one}


def _packages(groups: Groups, hostvars: HostVars) -> Iterator[Finding]:
    """Yield packages of which a host has another version than most hosts of one of its groups."""
    told = set()
    for hosts in groups.values():
        versions: defaultdict[str, dict[str, str]] = defaultdict(dict)
        for host in hosts:
            for line in _result(hostvars[host], "drift_packages").get("stdout_lines", []):
                package, _, version = line.partition(" ")
                versions[package][host] = version
        for package, of in versions.items():
            most, count = Counter(of.values()).most_common(1)[0]
            for host, version in of.items():
                if version != most and (host, package) not in told:
                    told.add((host, package))
                    also = "on most hosts of its group" if count > 1 else "on another of its group"
                    yield _finding(host, f"package {package}", version, f"{most}, as {also}")


def _keys(groups: Groups, hostvars: HostVars, known: list[str] | None) -> Iterator[Finding]:
    """Yield keys that let somebody in on a host, and are not known, or not on most hosts."""
    hosts = [host for host in groups["scope"] if "keys" in _result(hostvars[host], "drift_logins")]
    there = [
        (host, user, key, comment)
        for host in hosts
        for user, keys in hostvars[host]["drift_logins"]["keys"].items()
        for key, comment in keys.items()
    ]
    count = Counter((user, key) for _, user, key, _ in there)
    for host, user, key, comment in there:
        right = key in known if known is not None else count[user, key] * 2 > len(hosts)
        if not right:
            more = f" ({comment})" if comment else ""
            yield _finding(host, f"key of {user}: {key}{more}", "lets in", UNDECLARED)


def _result(known: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return the result of a task on a host; an empty one if there is none."""
    found = known.get(name)
    return found if isinstance(found, dict) else {}


def _of_check_mode(changes: list[Mapping[str, Any]]) -> Iterator[Finding]:
    for change in changes:
        for host in change["hosts"]:
            said = "; ".join(change.get("told", [])[:3])
            yield _finding(host, change["task"], said or "differs", "as site.yml makes it")


def _finding(host: str, what: str, now: str, should: str) -> Finding:
    return {"host": host, "what": what, "is": now, "should": should}


class FilterModule:
    """The filters of this plugin, for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by their names in templates."""
        return {
            "drift_found": drift_found,
            "drift_lines": drift_lines,
            "drift_broker": drift_broker,
        }

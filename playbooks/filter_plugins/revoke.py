"""Filter of playbooks/revoke.yml: returns what is open as readable lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import TypeAlias

    Groups: TypeAlias = Mapping[str, list[str]]
    HostVars: TypeAlias = Mapping[str, Mapping[str, Any]]


def revoke_open(
    groups: Groups, hostvars: HostVars, marked: Mapping[str, Any], key: str | None
) -> list[str]:
    """Return a line for each host that did not do it, and for an accounts file as before.

    The broker has no part in the revocation of a ``key``.
    """
    return [
        *_nodes(groups, hostvars),
        *([] if key else _members(groups, hostvars)),
        *([f"accounts file: {marked['msg']}"] if marked.get("failed") else []),
    ]


def _nodes(groups: Groups, hostvars: HostVars) -> Iterator[str]:
    results = {host: hostvars[host].get("revoke_node") for host in groups["sftp_nodes"]}
    recorded = any(_done(result) for result in results.values())
    for host, result in sorted(results.items()):
        if _done(result):
            continue
        if recorded:
            yield (
                f"{host}: {_why(result)}; it refuses the login because of the shared record,"
                " and ends sessions within a minute"
            )
        else:
            yield f"{host}: {_why(result)}; IT STILL LETS THE USER IN: repeat this playbook"


def _members(groups: Groups, hostvars: HostVars) -> Iterator[str]:
    results = {host: hostvars[host].get("revoke_member") for host in groups["broker_members"]}
    deleted = any(_done(result) for result in results.values())
    for host, result in sorted(results.items()):
        if not _done(result):
            after = (
                "it gets the deletion from the other members before it takes clients"
                if deleted
                else "THE BROKER STILL LETS THE USER IN: repeat this playbook"
            )
            yield f"{host}: {_why(result)}; {after}"


def _done(result: Mapping[str, Any] | None) -> bool:
    return result is not None and not result.get("failed") and not result.get("unreachable")


def _why(result: Mapping[str, Any] | None) -> str:
    """Return in a few words why a host did not do its part."""
    if result is None or result.get("unreachable"):
        return "did not answer"
    said = str(result.get("stderr") or result.get("msg") or "failed").strip().splitlines()
    return said[-1] if said else "failed"


class FilterModule:
    """The filters of this plugin, for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by their names in templates."""
        return {"revoke_open": revoke_open}

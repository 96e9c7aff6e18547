"""Filters for ``playbooks/update.yml``: which host is updated when, and what is done to it."""

from __future__ import annotations

from typing import Any

Groups = dict[str, list[str]]
HostVars = dict[str, dict[str, Any]]


def update_order(groups: Groups, holders: list[str], brokers: list[str]) -> list[str]:
    """Return the hosts of the scope in the order in which they are updated.

    What users need least comes first, and what serves them now last: monitoring hosts, SFTP nodes
    without and with data, the witness, brokers without and with clients, load balancers without and
    with addresses.  A host that is several of them has its latest place.

    :param holders: load balancers that hold a virtual address
    :param brokers: brokers that have clients
    """
    stages = [
        groups["monitoring"],
        groups["sftp_nodes"],
        groups["shared_fs_servers"],
        groups["broker_witness"],
        [name for name in groups["brokers"] if name not in brokers],
        [name for name in groups["load_balancers"] if name not in holders],
        [name for name in groups["brokers"] if name in brokers],
        [name for name in groups["load_balancers"] if name in holders],
    ]
    place = {name: number for number, names in enumerate(stages) for name in names}
    return sorted(place, key=lambda name: place[name])


def update_seen(
    groups: Groups, hostvars: HostVars, serving: list[dict[str, Any]], limit: list[str]
) -> dict[str, list[str]]:
    """Return ``order``, the hosts as they are updated, and those that are out of service.

    ``left`` are the hosts that an earlier run has left out, ``drained`` the nodes that an operator
    has drained.

    :param serving: what each load balancer (``item``) has said in ``stdout``
    :param limit: only these hosts are updated
    """
    told = {each["item"]: each.get("stdout", "").splitlines() for each in serving}
    lines = [line.split() for each in told.values() for line in each]
    holders = [
        name for name, each in told.items() if any(line.startswith("holds ") for line in each)
    ]
    brokers = [name for what, name in lines if what == "at"]
    order = [name for name in update_order(groups, holders, brokers) if name in limit]
    left = [name for name in order if _left_out(hostvars[name])]
    drained = sorted({name for what, name in lines if what == "drained"} - {*left})
    return {"order": order, "left": left, "drained": drained}


def _left_out(host: dict[str, Any]) -> bool:
    return bool(host.get("update_taken", {}).get("stat", {}).get("exists"))


def update_needed(found: dict[str, Any], reboot: str) -> bool:
    """Return whether a host has something to do.

    :param found: what updates_available returned
    :param reboot: needed, always or never
    """
    waits = bool(found["services"] or (found["reboot"] and reboot == "needed"))
    return bool(found["packages"]) or waits or reboot == "always"


def update_plan(
    groups: Groups, hostvars: HostVars, seen: dict[str, list[str]], reboot: str
) -> list[str]:
    """Return a line for each host that has something to do, in order.

    :param seen: what ``update_seen`` returned
    """
    lines = [f"{name}: put it back, an earlier run has left it out" for name in seen["left"]]
    lines += [f"{name}: stays drained, as an operator wants it" for name in seen["drained"]]
    for name in seen["order"]:
        found = hostvars[name]["update_found"]
        if update_needed(found, reboot):
            lines.append(f"{name}: {'; '.join(_steps(name, found, groups, reboot))}")
    return lines


def _steps(name: str, found: dict[str, Any], groups: Groups, reboot: str) -> list[str]:
    outs = {
        "sftp_nodes": "drain it",
        "brokers": "move clients away",
        "load_balancers": "move addresses away",
    }
    steps = [
        words for group, words in outs.items() if name in groups[group] and len(groups[group]) > 1
    ]
    if packages := [each["name"] for each in found["packages"]]:
        shown = ", ".join(packages[:5]) + (" …" if len(packages) > 5 else "")  # noqa: PLR2004
        steps.append(f"update {len(packages)} packages ({shown})")
    if found["removed"]:
        steps.append(f"remove {', '.join(found['removed'])}")
    if reboot == "always" or (found["reboot"] and reboot == "needed"):
        steps.append("restart the host")
    elif found["services"] or packages:
        steps.append("restart what runs with replaced files")
    return [*steps, "wait until the scope is well"]


def update_refused(order: list[str], hostvars: HostVars) -> list[str]:
    """Return why the hosts cannot be updated, a line each."""
    lines = []
    for name in order:
        found = hostvars[name].get("update_found", {})
        if "packages" not in found:
            lines.append(f"{name}: {found.get('msg', 'does not answer')}")
        lines.extend(
            f"{name}: {each} is another series, which is no update"
            for each in found.get("jumps", [])
        )
    return lines


class FilterModule:
    """The filters."""

    def filters(self) -> dict[str, object]:
        """Return the filters by name."""
        return {
            "update_needed": update_needed,
            "update_order": update_order,
            "update_plan": update_plan,
            "update_refused": update_refused,
            "update_seen": update_seen,
        }

"""Filters of playbooks/status.yml: what the hosts said, what of it is wrong, and what to do."""

from __future__ import annotations

import json
import re
from itertools import combinations
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import TypeAlias

    Groups: TypeAlias = Mapping[str, list[str]]
    HostVars: TypeAlias = Mapping[str, Mapping[str, Any]]
    Wrong: TypeAlias = Iterator[tuple[str, str, str]]  # host, what, what to do

BOOK: Final = "docs/runbooks/{}.md"
OLDEST: Final = re.compile(r"^sarra_oldest_unreported_seconds\{(.*)\} (\S+)$", re.MULTILINE)
QUIET: Final = ("info", "none")  # severities of alerts that nobody needs to act on
LIMITS: Final = {"disk_percent": 85, "days": 30, "clock_seconds": 1.0, "oldest_seconds": 3600}


def status_document(
    groups: Groups, hostvars: HostVars, limits: Mapping[str, float] | None = None
) -> dict[str, Any]:
    """Return what is known of each host, and ``wrong``: a list of host, what, do.

    ``limits``: disk_percent, days (of certificates), clock_seconds, oldest_seconds.
    """
    told = {
        host: {name[7:]: _result(hostvars[host], name) for name in hostvars[host] if _told(name)}
        for host in groups["scope"]
    }
    most = LIMITS | dict(limits or {})
    judges = [
        _answers(groups, told), _balancers(groups, hostvars, told), _brokers(groups, told),
        _storage(told), _rooms(told, most), _certificates(told, most), _clocks(told, most),
        _holds(groups, told), _waiting(told, most), _alerts(told),
    ]  # fmt: skip
    wrong = [{"host": host, "what": what, "do": do} for judge in judges for host, what, do in judge]
    for known in told.values():
        known.pop("monitor", None)  # thousands of lines
    return {"wrong": wrong, "hosts": told}


def status_broker_lines(results: list[Mapping[str, Any]]) -> list[str]:
    """Return which members run, alarms, and queues, of two commands, for people."""
    members, queues = _json(results[0]) or {}, _json(results[1]) or []
    return [
        f"running: {', '.join(members.get('running_nodes', [])) or 'none'}",
        f"alarms: {', '.join(map(str, members.get('alarms', []))) or 'none'}",
    ] + [
        f"{one['name']}: {one['type']}, {one['state']}, {one['messages']} messages,"
        f" {one['consumers']} consumers"
        for one in queues
    ]


def status_lines(wrong: list[Mapping[str, str]]) -> list[str]:
    """Return what is wrong as lines."""
    return [f"{one['host']}: {one['what']}; {one['do']}" for one in wrong]


def _told(name: str) -> bool:
    return name.startswith("status_") and name not in ("status_json", "status_limits")


def _result(known: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return what is of use in the result of a task."""
    found = known[name] if isinstance(known[name], dict) else {}
    hidden = ("invocation", "changed", "cmd", "start", "end", "delta", "stderr_lines", "stdout")
    return {key: value for key, value in found.items() if key not in hidden}


def _answers(groups: Groups, told: Mapping[str, Any]) -> Wrong:
    for host in groups["scope"]:
        if "host" not in told[host]:
            continue  # of another --limit
        if "disks" not in told[host]["host"]:
            yield host, "does not answer", BOOK.format("host-down")
            continue
        for name, result in told[host].items():
            if result.get("failed"):
                said = str(result.get("msg") or result.get("stderr") or "").strip()
                yield host, f"cannot tell {name}: {said[-200:]}", "look at the host"
        for unit in told[host]["host"]["failed_units"]:
            yield host, f"{unit} has failed", f"journalctl -u {unit}; {BOOK.format('service-down')}"


def _balancers(groups: Groups, hostvars: HostVars, told: Mapping[str, Any]) -> Wrong:
    holders: dict[str, list[str]] = {}
    asked = False
    for host in groups["load_balancers"]:
        lines = told[host].get("balancer", {}).get("stdout_lines", [])
        asked = asked or bool(lines)
        for line in lines:
            words = line.split()
            if words[0] == "holds":
                holders.setdefault(words[1], []).append(host)
            elif "sessions" in words and not words[2].startswith(("UP", "no")):
                do = BOOK.format("node-drained" if words[2].startswith("DRAIN") else "server-down")
                yield host, f"{words[0]} server {words[1]} is {words[2]}", do
    for name in ("scope_sftp_vip", "scope_broker_vip"):
        address = str(hostvars["localhost"].get(name, ""))
        owners = holders.get(address, [])
        if asked and len(owners) != 1:
            who = " and ".join(owners) or "nobody"
            book = BOOK.format("vip-with-two-owners" if owners else "vip-without-owner")
            yield owners[0] if owners else "-", f"{address} ({name[6:]}) is held by {who}", book


def _brokers(groups: Groups, told: Mapping[str, Any]) -> Wrong:
    for host, known in told.items():
        cluster = _json(known.get("members", {}))
        if cluster:
            running = set(cluster.get("running_nodes", []))
            for member in groups["broker_members"]:
                if f"rabbit@{member}" not in running:
                    yield (
                        member,
                        "is no running member of RabbitMQ",
                        BOOK.format("broker-member-down"),
                    )
            for alarm in cluster.get("alarms", []):
                kind = "disk" if "disk" in str(alarm) else "memory"
                yield host, f"RabbitMQ: alarm {alarm}", BOOK.format(f"broker-{kind}-alarm")
            if cluster.get("partitions"):
                yield host, "RabbitMQ is partitioned", BOOK.format("broker-quorum-lost")
        for queue in _json(known.get("queues", {})) or []:
            name = queue["name"]
            if queue.get("state") not in (None, "running"):
                yield host, f"queue {name} is {queue['state']}", BOOK.format("broker-quorum-lost")
            if name == "q_src2log" and not queue.get("consumers"):
                book = BOOK.format("queue-without-consumer")
                yield host, "no sr_src2log copies reports to xlog", book


def _storage(told: Mapping[str, Any]) -> Wrong:
    for host, known in told.items():
        gluster = known.get("gluster", {})
        for brick in gluster.get("offline", []):
            yield host, f"brick {brick} is not online", BOOK.format("shared-fs-missing")
        waiting = sum(max(0, number) for number in gluster.get("heal", {}).values())
        if waiting:
            do = "wait, and if the number does not fall: gluster volume heal"
            yield host, f"{waiting} entries wait for healing", do
        if known.get("disk", {}).get("rc") == 1:
            yield host, "a disk quota is used up to a threshold", BOOK.format("quota-nearly-used")


def _rooms(told: Mapping[str, Any], most: Mapping[str, float]) -> Wrong:
    for host, known in told.items():
        for disk in known.get("host", {}).get("disks", []):
            for key, what in (("percent", "full"), ("names_percent", "full of names (inodes)")):
                if disk[key] >= most["disk_percent"]:
                    said = f"{disk['mount']} is {disk[key]} % {what}"
                    yield host, said, BOOK.format("disk-nearly-full")
        if known.get("host", {}).get("disks_hang"):
            yield host, "a file system does not answer", BOOK.format("shared-fs-missing")


def _certificates(told: Mapping[str, Any], most: Mapping[str, float]) -> Wrong:
    for host, known in told.items():
        for one in known.get("certificates", {}).get("certificates", []):
            port = f"{one['name']} ({one['address']}:{one['port']})"
            if "problem" in one:
                yield host, f"{port} serves no certificate: {one['problem']}", "look at the service"
            elif one["days"] < most["days"]:
                said = f"the certificate of {port} expires in {one['days']} days"
                yield host, said, BOOK.format("certificate-expires")


def _clocks(told: Mapping[str, Any], most: Mapping[str, float]) -> Wrong:
    """Yield hosts whose clocks are certainly further apart than the limit; the worst pair only."""
    clocks = [
        (host, known["clock"]["low"], known["clock"]["high"])
        for host, known in told.items()
        if "low" in known.get("clock", {})
    ]
    pairs = [
        (max(one[1] - other[2], other[1] - one[2]), one[0], other[0])
        for one, other in combinations(clocks, 2)
    ]
    apart, host, other = max(pairs, default=(0.0, "", ""))
    if apart > most["clock_seconds"]:
        yield (
            host,
            f"its clock and that of {other} differ by {apart:.1f} s",
            BOOK.format("clock-off"),
        )


def _holds(groups: Groups, told: Mapping[str, Any]) -> Wrong:
    """Yield packages that are held on some hosts of a group: an update makes them differ."""
    said = set()
    for group in ("load_balancers", "broker_members", "sftp_nodes", "monitoring"):
        hosts = [host for host in groups.get(group, []) if "held" in told[host].get("host", {})]
        for package in sorted({name for host in hosts for name in told[host]["host"]["held"]}):
            without = [host for host in hosts if package not in told[host]["host"]["held"]]
            if without and package not in said:
                said.add(package)
                others = ", ".join(host for host in hosts if host not in without)
                what = f"{package} is not held, as it is on {others}"
                yield without[0], what, f"apt-mark hold {package}, or unhold it there"


def _waiting(told: Mapping[str, Any], most: Mapping[str, float]) -> Wrong:
    for host, known in told.items():
        ages = OLDEST.findall(str(known.get("monitor", {}).get("content", "")))
        for labels, age in ages:
            if float(age) > most["oldest_seconds"]:
                user = re.search(r'user="([^"]*)"', labels)
                whose, hours = user[1] if user else "?", float(age) / 3600
                said = f"nobody has reported a file of {whose}, announced {hours:.1f} h ago"
                yield host, said, BOOK.format("files-unreported")
        if ages:
            return  # each monitoring host says the same


def _alerts(told: Mapping[str, Any]) -> Wrong:
    for host, known in told.items():
        alerts = (known.get("alerts", {}).get("json") or {}).get("data", {}).get("alerts", [])
        for alert in alerts:
            labels, notes = alert.get("labels", {}), alert.get("annotations", {})
            if alert.get("state") == "firing" and labels.get("severity") not in (*QUIET, None):
                where = labels.get("instance") or host
                what = f"alert {labels.get('alertname')}: {notes.get('summary', '')}"
                yield where, what, notes.get("runbook", "look at Prometheus")


def _json(result: Mapping[str, Any]) -> Any:
    """Return the JSON that a command printed; None if it failed."""
    try:
        return json.loads("\n".join(result.get("stdout_lines", [])))
    except ValueError:
        return None


class FilterModule:
    """The filters of this plugin, for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by their names in templates."""
        return {
            "status_document": status_document,
            "status_lines": status_lines,
            "status_broker_lines": status_broker_lines,
        }

"""The page of health: what a Prometheus says of hosts, balancers and virtual addresses."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from anyio import from_thread
from starlette.exceptions import HTTPException

from sarra_lite.messages.change import sentence
from sarra_lite.prometheus import Unanswered

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sarra_lite.prometheus import Alert, Prometheus, Sample, Seen
    from sarra_lite.web.pages import Query
    from sarra_lite.web.records import Records

_ALWAYS: Final = "DeadMan"  # fires as long as Prometheus evaluates rules
_VIPS: Final = ("sftp", "broker")  # as the role prometheus names them
_CHANGES: Final = 20  # the last ones that are shown
_SEVERITIES: Final = ("critical", "warning")  # the worst first
#: What a host does, by the jobs of Prometheus that ask it.
_KINDS: Final = {
    "rabbitmq": "broker member",
    "haproxy": "load balancer",
    "sr_monitor": "monitoring",
}
_DISK: Final = 'node_filesystem_{}_bytes{{fstype!~"tmpfs|ramfs"}}'
#: What is asked, as the rules of the role prometheus ask it.
EXPRESSIONS: Final = {
    "up": "up",
    "canary": "max(scope_canary_success_timestamp_seconds)",
    "canary_seconds": "max(scope_canary_duration_seconds)",
    "canary_failed": "scope_canary_failed == 1",
    "vips": 'node_network_address_info{vip!=""}',
    "stopped": 'node_systemd_unit_state{state="active"} == 0',
    "servers": "max by (proxy, server, state) (haproxy_server_status) == 1",
    "disks": f"max by (instance) (1 - {_DISK.format('avail')} / {_DISK.format('size')})",
    "unmounted": (
        'up{job="node", shared_fs!="", shared_fs!="local"} == 1'
        ' unless on (instance) node_filesystem_size_bytes{shared="yes"}'
    ),
    "alarms": (
        "rabbitmq_alarms_memory_used_watermark == 1"
        " or rabbitmq_alarms_free_disk_space_watermark == 1"
    ),
}


@dataclass
class Host:
    """A host; ``jobs``: whether it answers each job; ``disk``: share of its fullest one."""

    name: str
    kinds: list[str] = field(default_factory=list)
    jobs: dict[str, bool] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    disk: float | None = None


def page(
    prometheus: Prometheus | None, runbooks: str, records: Records, _query: Query
) -> dict[str, Any]:
    """Return what is known of the scope; for others than netops there is no such page."""
    if not records.sees_all:
        raise HTTPException(404)
    values: dict[str, Any] = {"template": "health.html", "runbooks": runbooks, "problem": ""}
    values["changes"] = [(one, sentence(one)) for one in records.changes(_CHANGES)]
    if prometheus is None:
        return values | {"problem": "No Prometheus is configured: see the option prometheusUrl."}
    try:
        seen = from_thread.run(prometheus.ask, EXPRESSIONS)
    except Unanswered as error:
        return values | {"problem": f"Prometheus at {prometheus.url} {error}."}
    return values | _told(seen)


def _told(seen: Seen) -> dict[str, Any]:
    alerts = sorted((alert for alert in seen.alerts if alert.name != _ALWAYS), key=_urgency)
    hosts = _hosts(seen)
    return {
        "alerts": alerts,
        "silent": not any(alert.name == _ALWAYS for alert in seen.alerts),
        "canary": _canary(seen),
        "vips": _vips(seen),
        "hosts": sorted(hosts.values(), key=lambda host: (-len(host.wrong), host.name)),
        "jobs": sorted({job for host in hosts.values() for job in host.jobs}),
        "servers": sorted(
            _servers(seen.samples["servers"]).items(),
            key=lambda item: (item[1] == ["UP"], item[0]),
        ),
    }


def _urgency(alert: Alert) -> tuple[bool, int, float]:
    """Return what orders alerts: those that fire, the worst and then the newest first."""
    worst = _SEVERITIES.index(alert.severity) if alert.severity in _SEVERITIES else 2
    return (alert.state != "firing", worst, -alert.activeAt.timestamp())


def _canary(seen: Seen) -> dict[str, Any] | None:
    """Return when the canary's last file crossed, in how many seconds, and what failed since.

    None where the scope has no canary.
    """
    samples = seen.samples
    last, seconds = (
        samples[name][0].value if samples[name] else None for name in ("canary", "canary_seconds")
    )
    failed = [sample.labels.get("step", "") for sample in samples["canary_failed"]]
    if last is None and not failed:
        return None
    return {"last": last, "seconds": seconds, "failed": failed}


def _vips(seen: Seen) -> dict[str, list[str]]:
    """Return which hosts have each virtual address: one should."""
    owners: dict[str, list[str]] = {name: [] for name in _VIPS}
    for sample in seen.samples["vips"]:
        owners.setdefault(sample.labels["vip"], []).append(_host(sample))
    return owners


def _servers(samples: list[Sample]) -> dict[tuple[str, str], list[str]]:
    """Return in which states the balancers see each server behind each of their ports."""
    states = defaultdict(list)
    for sample in samples:
        labels = sample.labels
        states[labels.get("proxy", ""), labels.get("server", "")].append(labels.get("state", ""))
    return {server: sorted(found) for server, found in states.items()}


def _hosts(seen: Seen) -> dict[str, Host]:
    """Return what is known of each host, with what is wrong."""
    hosts: dict[str, Host] = {}
    for sample in seen.samples["up"]:
        host = hosts.setdefault(_host(sample), Host(_host(sample)))
        job = sample.labels.get("job", "")
        host.jobs[job] = sample.value == 1
        if kind := "SFTP node" if "shared_fs" in sample.labels else _KINDS.get(job):
            host.kinds.append(kind)
    for name, text in _found(seen):
        if name in hosts:
            hosts[name].wrong.append(text)
    for sample in seen.samples["disks"]:
        if _host(sample) in hosts:
            hosts[_host(sample)].disk = sample.value
    return hosts


def _found(seen: Seen) -> Iterator[tuple[str, str]]:
    """Yield host and text of what is wrong."""
    for sample in seen.samples["up"]:
        if sample.value != 1:
            yield _host(sample), f"{sample.labels.get('job', '')} does not answer"
    for sample in seen.samples["stopped"]:
        yield _host(sample), f"{sample.labels.get('name', '')} does not run"
    for sample in seen.samples["unmounted"]:
        yield _host(sample), "the shared file system is missing"
    for sample in seen.samples["alarms"]:
        yield _host(sample), "lacks memory or disk space for the broker"
    for (proxy, server), states in _servers(seen.samples["servers"]).items():
        if states != ["UP"]:
            yield server, f"{proxy}: {' and '.join(states)} at the balancers"
    for alert in seen.alerts:
        if alert.state == "firing" and alert.name != _ALWAYS:
            labels = alert.labels
            yield labels.get("instance") or labels.get("server", ""), f"alert {alert.name}"


def _host(sample: Sample) -> str:
    return sample.labels.get("instance", "?")

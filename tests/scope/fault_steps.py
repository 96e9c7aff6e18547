"""What can fail in a lab: each generator does it, yields while it lasts, and ends it."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.scope.conftest import Client
    from tests.scope.lab_hosts import Lab

Steps = Generator[None]


def killed(group: str, unit: str) -> Callable[[Lab, Client], Steps]:
    """Return steps that kill a service where clients are served: systemd starts it again."""

    def steps(lab: Lab, _: Client) -> Steps:
        host = chosen(lab, group)
        lab.ok(host, f"systemctl kill --kill-who=all --signal=KILL {unit}")
        yield

    return steps


def frozen(group: str) -> Callable[[Lab, Client], Steps]:
    """Return steps that freeze a host: it answers nothing, not even that it is gone."""
    return _away(group, "pause", "unpause")


def gone(group: str) -> Callable[[Lab, Client], Steps]:
    """Return steps that take the power of a host away, and start it again."""
    return _away(group, "kill", "start")


def _away(group: str, take: str, give_back: str) -> Callable[[Lab, Client], Steps]:
    """Return steps that do one thing to a container, and in the end another."""

    def steps(lab: Lab, _: Client) -> Steps:
        host = chosen(lab, group)
        lab.podman(take, f"sarra-{host}")
        try:
            yield
        finally:
            lab.podman(give_back, f"sarra-{host}")

    return steps


def stopped(group: str, unit: str) -> Callable[[Lab, Client], Steps]:
    """Return steps that stop a service on all hosts of a group, and start it again."""

    def steps(lab: Lab, _: Client) -> Steps:
        hosts = lab.scope.group(group)
        for host in hosts:
            lab.ok(host, f"systemctl stop {unit}")
        try:
            yield
        finally:
            for host in hosts:
                lab.ok(host, f"systemctl start {unit}")

    return steps


def chosen(lab: Lab, group: str) -> str:
    """Return the host of a group that serves clients now; of SFTP nodes the last one."""
    match group:
        case "brokers":
            return lab.serving()
        case "load_balancers":
            return lab.holders()[0]
        case _:
            return lab.scope.group(group)[-1]


def cut_off(lab: Lab, _: Client) -> Steps:
    """Cut the primary off from the other members; clients still reach it."""
    primary = lab.serving()
    lab.cut(primary, others(lab, primary))
    try:
        yield
    finally:
        lab.mend(primary)


def cut_one_way(lab: Lab, _: Client) -> Steps:
    """Drop what the primary sends to the other members, not what they send."""
    primary = lab.serving()
    lab.cut(primary, others(lab, primary), answers=False)
    try:
        yield
    finally:
        lab.mend(primary)


def flapping(lab: Lab, _: Client) -> Steps:
    """Cut the primary off six times for four seconds."""
    primary = lab.serving()
    for _again in range(6):
        lab.cut(primary, others(lab, primary))
        time.sleep(4)
        lab.mend(primary)
        time.sleep(3)
    yield


def others(lab: Lab, host: str) -> list[str]:
    """Return the other members of the brokers' cluster."""
    return [name for name in lab.scope.group("broker_members") if name != host]


def witness_then_primary(lab: Lab, _: Client) -> Steps:
    """Stop the witness, then the primary: no majority is left."""
    (witness,) = lab.scope.group("broker_witness")
    hosts = [witness, lab.serving()]
    for host in hosts:
        lab.ok(host, "systemctl stop rabbitmq-server")
    try:
        yield
    finally:
        for host in hosts:
            lab.ok(host, "systemctl start --no-block rabbitmq-server")


def disk_alarm(lab: Lab, _: Client) -> Steps:
    """Raise the alarm of the primary's disk: it accepts nothing until it is over."""
    primary = lab.serving()
    before = lab.ok(primary, "rabbitmqctl eval 'rabbit_disk_monitor:get_disk_free_limit().'")
    lab.ok(primary, "rabbitmqctl set_disk_free_limit 1000TB")
    try:
        yield
    finally:
        lab.ok(primary, f"rabbitmqctl set_disk_free_limit {before.strip()}")


def memory_alarm(lab: Lab, _: Client) -> Steps:
    """Raise the alarm of the primary's memory."""
    primary = lab.serving()
    before = lab.ok(primary, "rabbitmqctl eval 'vm_memory_monitor:get_vm_memory_high_watermark().'")
    lab.ok(primary, "rabbitmqctl set_vm_memory_high_watermark 0.00001")
    value = before.strip().strip("{}").replace("absolute,", "absolute ")
    try:
        yield
    finally:
        lab.ok(primary, f"rabbitmqctl set_vm_memory_high_watermark {value}")


def inner_side_dead(lab: Lab, _: Client) -> Steps:
    """Drop all between the holder of the addresses and the other hosts of the scope."""
    (holder, *_more) = lab.holders()
    lab.cut(holder, [name for name in lab.scope.group("scope") if name != holder])
    try:
        yield
    finally:
        lab.mend(holder)


def mount_dead(lab: Lab, _: Client) -> Steps:
    """Kill what serves the mount of a node: every access fails from then on."""
    homes = lab.scope.var("scope_homes")
    lab.ok(chosen(lab, "sftp_nodes"), f"kill -KILL $(pgrep --full 'glusterfs .*{homes}$')")
    yield


def brick_killed(lab: Lab, _: Client) -> Steps:
    """Kill the brick of a host: the other copy goes on."""
    lab.ok(chosen(lab, "shared_fs_servers"), "kill -KILL $(pgrep --exact glusterfsd)")
    yield


def uplink_gone(lab: Lab, client: Client) -> Steps:
    """Drop everything that the user's host sends."""
    chain = "chain out { type filter hook output priority -300; oif != lo drop; }"
    lab.ok(client.name, f"nft 'table inet spec_cut {{ {chain}; }}'")
    try:
        yield
    finally:
        lab.mend(client.name)


def all_restarted(lab: Lab, _: Client) -> Steps:
    """Restart all hosts of the scope at once, in order."""
    hosts = [f"sarra-{name}" for name in lab.scope.group("scope")]
    lab.podman("stop", "--time", "30", *hosts)
    lab.podman("start", *hosts)
    yield


def power_cut(lab: Lab, _: Client) -> Steps:
    """Take the power of all hosts of the scope away at once."""
    hosts = [f"sarra-{name}" for name in lab.scope.group("scope")]
    lab.podman("kill", *hosts)
    lab.podman("start", *hosts)
    yield

"""What fails in a scope while files are under way: nothing is lost, and all comes back by itself.

Each fault is done to hosts of the lab while a user's files are written, announced and sent.  Then
every file that was announced must have arrived once, as it was, and be reported.  ``make faults``
runs all of them and writes ``docs/failures.md``.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.scope import fault_steps as do
from tests.scope.lab_hosts import Lab
from tests.scope.traffic import under_way

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from tests.scope.conftest import Client, Scope

pytestmark = [pytest.mark.destructive, pytest.mark.faults, pytest.mark.timeout(900)]

RETURN = 180  # seconds, at most, until everything is as before, without anybody's help


@dataclass(frozen=True)
class Fault:
    """Something that fails, and what a page says of it."""

    event: str
    steps: Callable[[Lab, Client], do.Steps]
    """Does it, yields while it lasts, and ends it."""
    users: str
    """What users see."""
    operator: str
    """What the operator does."""
    gap: float
    """Seconds without an arrival that are too many.

    Failover is much faster; a slow lab, which runs all hosts on two cores, must not fail.
    """
    lasts: float = 30
    """Seconds."""


NOTHING = "nothing"
LATE = "files arrive later, by the gap"
FAULTS = [
    Fault(
        "the primary broker is killed",
        do.killed("brokers", "rabbitmq-server"),
        LATE,
        "nothing at once; move clients back with switchover.yml when it suits",
        60,
    ),
    Fault(
        "the host of the primary broker is frozen",
        do.frozen("brokers"),
        LATE,
        "restart the host; it does not take clients back by itself",
        90,
        60,
    ),
    Fault(
        "the host of the primary broker is gone",
        do.gone("brokers"),
        LATE,
        "bring it back; the cluster takes it in by itself",
        60,
        45,
    ),
    Fault(
        "the primary broker is cut off from the other members, not from clients",
        do.cut_off,
        LATE,
        "mend the network; members that lost the majority start again by themselves",
        120,
        60,
    ),
    Fault(
        "packets of the primary broker to the other members are lost, not theirs to it",
        do.cut_one_way,
        LATE,
        "mend the network",
        120,
        60,
    ),
    Fault(
        "the link of the primary broker goes down and up six times",
        do.flapping,
        LATE,
        "mend the link; take the host out with switchover.yml meanwhile",
        120,
        5,
    ),
    Fault(
        "the witness is stopped, then the primary broker",
        do.witness_then_primary,
        "nothing is accepted until one of the two is back; then all goes on",
        "start one of the two",
        120,
        30,
    ),
    Fault(
        "the disk of the primary broker is nearly full",
        do.disk_alarm,
        "sr_post waits; what was announced goes on to be sent, reports wait",
        "make room (runbook broker-alarm)",
        90,
        30,
    ),
    Fault(
        "the memory of the primary broker is used up",
        do.memory_alarm,
        "sr_post waits",
        "look for what fills it (runbook broker-alarm)",
        90,
        30,
    ),
    Fault(
        "HAProxy of the balancer that holds the addresses is killed",
        do.killed("load_balancers", "haproxy"),
        NOTHING,
        NOTHING,
        60,
        20,
    ),
    Fault(
        "keepalived of the balancer that holds the addresses is killed",
        do.killed("load_balancers", "keepalived"),
        NOTHING,
        NOTHING,
        60,
        20,
    ),
    Fault(
        "the balancer that holds the addresses is frozen",
        do.frozen("load_balancers"),
        LATE,
        "restart it",
        60,
        40,
    ),
    Fault(
        "the balancer that holds the addresses is gone",
        do.gone("load_balancers"),
        LATE,
        "bring it back; it does not take the addresses back by itself",
        60,
    ),
    Fault(
        "the balancer that holds the addresses reaches no other host of the scope",
        do.inner_side_dead,
        LATE,
        "mend its inner link",
        90,
        40,
    ),
    Fault(
        "the sshd of an SFTP node is killed",
        do.killed("sftp_nodes", "sshd-transfer"),
        NOTHING,
        NOTHING,
        60,
        20,
    ),
    Fault(
        "an SFTP node is frozen",
        do.frozen("sftp_nodes"),
        LATE,
        "restart it; it returns by itself",
        90,
        60,
    ),
    Fault(
        "an SFTP node with a brick is gone, and comes back",
        do.gone("sftp_nodes"),
        LATE,
        "bring it back; its copy is healed by itself",
        90,
        45,
    ),
    Fault(
        "the mount of an SFTP node is dead",
        do.mount_dead,
        "nothing but files under way on it, which go on elsewhere",
        NOTHING,
        90,
    ),
    Fault("a brick is killed", do.brick_killed, NOTHING, NOTHING, 60),
    Fault(
        "the uplink of the users' site is gone",
        do.uplink_gone,
        "sr_post and senders wait and go on by themselves",
        NOTHING,
        150,
        60,
    ),
    Fault(
        "sr_src2log is stopped",
        do.stopped("brokers", "sr_src2log"),
        NOTHING,
        "start it; reports wait in its queue",
        60,
    ),
    Fault(
        "sr_monitor is stopped",
        do.stopped("monitoring", "sr_monitor"),
        NOTHING,
        "start it; it goes on where it was",
        60,
    ),
    Fault(
        "all hosts of the scope restart at once",
        do.all_restarted,
        "files arrive when the scope is back",
        NOTHING,
        300,
        5,
    ),
    Fault(
        "the power of all hosts of the scope is cut",
        do.power_cut,
        "files arrive when the scope is back",
        NOTHING,
        300,
        5,
    ),
]


@pytest.fixture
def lab(scope: Scope) -> Lab:
    if not scope.var("lab_networks"):
        pytest.skip("only a lab can take hosts away")
    return Lab(scope)


@contextmanager
def done_to(lab: Lab, client: Client, fault: Fault) -> Generator[None]:
    """Do a fault for as long as it lasts, and end it."""
    steps = fault.steps(lab, client)
    next(steps)
    try:
        time.sleep(fault.lasts)
        yield
    finally:
        next(steps, None)


@pytest.mark.parametrize("fault", [pytest.param(each, id=each.event) for each in FAULTS])
def test_nothing_is_lost_when(
    lab: Lab, client: Client, fault: Fault, record_property: Callable[[str, object], None]
) -> None:
    lab.wait_until_well(RETURN)
    with under_way(lab, client) as traffic:
        time.sleep(5)
        with done_to(lab, client, fault):
            pass
        back = lab.wait_until_well(RETURN)
        time.sleep(5)
    account = traffic.account(RETURN)
    for key, value in (
        ("event", fault.event),
        ("users", fault.users),
        ("operator", fault.operator),
        ("files", account.files),
        ("lost", len(account.lost)),
        ("twice", account.twice),
        ("gap", round(account.gap, 1)),
        ("wait", round(account.wait, 1)),
        ("back", round(back, 1)),
    ):
        record_property(key, value)
    assert account.files > 10 / 0.25
    assert (account.lost, account.leftovers, account.unreported) == ([], [], [])
    assert account.gap < fault.gap
    traffic.clean()

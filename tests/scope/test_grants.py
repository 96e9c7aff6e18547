"""Senders of a group share its rate by grants; bytes that arrive are measured."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

from tests.lab.site import wait_until
from tests.scope.members import configured, members

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.scope.conftest import Client, Scope
    from tests.scope.members import Member


@pytest.fixture(scope="module")
def sharing(scope: Scope, client: Client) -> Iterator[list[Member]]:
    """Two members of a group with a rate."""
    found = members(scope, client, volume=False)[:2]
    if len(found) < 2:
        pytest.skip("no group with a rate that a test can exceed has two members here")
    yield from configured(scope, found)


@pytest.fixture
def capped(scope: Scope, client: Client) -> Iterator[Member]:
    """A member of a group with a daily volume."""
    found = members(scope, client, volume=True)[:1]
    if not found:
        pytest.skip("no group with a daily volume has a member here")
    for one in configured(scope, found):
        yield one[0]


def arrived(scope: Scope, found: list[Member]) -> tuple[float, list[int]]:
    """Return the time, and the bytes that each member has at the destination."""
    homes = [f"{scope.var('scope_homes')}/{member.login}" for member in found]
    sums = "; ".join(
        f"find {home} -maxdepth 1 -name '*spec*' -printf '%s\\n' |"
        " awk '{n += $1} END {print n+0}'"
        for home in homes
    )
    host = scope.host(scope.group("sftp_nodes")[0])
    moment, *counts = host.check_output(f"date +%s.%N; {sums}").split()
    return float(moment), [int(count) for count in counts]


def more(scope: Scope, found: list[Member], before: list[int]) -> int:
    """Return the bytes that have arrived since of the member of whom fewest have."""
    return min(b - a for a, b in zip(before, arrived(scope, found)[1], strict=True))


@pytest.mark.several_hosts
@pytest.mark.parametrize("seconds", [None, pytest.param(60, marks=pytest.mark.security)])
def test_senders_of_two_members_share_the_rate_of_their_group(
    scope: Scope, sharing: list[Member], rate_seconds: int, seconds: int | None
) -> None:
    bits, seconds = sharing[0].bits, seconds or rate_seconds
    for member in sharing:
        member.stop(scope)
        member.ok(f"head -c {int(bits / 8 * (seconds + 15) * 0.6)} /dev/urandom > spec")
        member.ok("sr_post --block-size 1Gi spec")
    for member in sharing:
        member.start()
    tell = sharing[0].said
    begun = arrived(scope, sharing)[1]
    wait_until(lambda: more(scope, sharing, begun) > 2**20, 30, tell)
    began, before = arrived(scope, sharing)
    time.sleep(seconds)  # it is a rate that is measured
    ended, after = arrived(scope, sharing)
    listed = scope.host(scope.group("brokers")[0]).check_output(
        "rabbitmqctl -q list_queues name consumers --formatter json"
    )
    consumers = {row["name"]: row["consumers"] for row in json.loads(listed)}
    assert consumers[f"grant_{sharing[0].group['name']}"] == len(sharing)
    sent = [b - a for a, b in zip(before, after, strict=True)]
    ratio = 8 * sum(sent) / (ended - began) / bits
    fairness = sum(sent) ** 2 / (len(sent) * sum(count**2 for count in sent))
    print(f"{seconds} s: {ratio:.1%} of the rate, Jain index {fairness:.3f}")
    tolerance = 0.05 if seconds >= 60 else 0.15
    assert 1 - tolerance < ratio < 1 + tolerance, tell()
    assert fairness >= 0.95, sent


@pytest.mark.one_host
def test_members_take_grants_of_their_own_group_and_can_do_nothing_else(
    scope: Scope, client: Client, sharing: list[Member]
) -> None:
    member = sharing[0]
    groups = [group["name"] for group in scope.var("accounts")["groups"] if "rate" in group]
    others = [f"grant_{name}" for name in groups if name != member.group["name"]]
    if not others:
        pytest.skip("only one group has a rate")
    user = f"u{member.name}"
    password = scope.var("scope_broker_passwords")[user]
    printed = client.python(
        f"amqps://{user}:{password}@{client.broker_name}:5671/%2f",
        scope.var("scope_ca_file"),
        f"grant_{member.group['name']}",
        others[0],
        f"{scope.var('scope_exchange_prefix')}{member.name}",
        user=member.account,
        program="grants.py",
    )
    results = json.loads(printed)
    assert results.pop("take own") == "accepted"
    assert set(results.values()) == {"403"}, results


@pytest.mark.one_host
def test_a_sender_of_another_group_is_told_that_it_may_not_take_grants(
    client: Client, sharing: list[Member]
) -> None:
    queue = f"grant_{sharing[0].group['name']}"
    result = client.run(f"sr_sender --drain --grants {queue}")
    assert result.rc == 77
    assert f"access to queue '{queue}'" in result.stderr


@pytest.mark.one_host
def test_a_group_beyond_its_daily_volume_waits_and_its_sender_says_why(
    scope: Scope, capped: Member
) -> None:
    capped.start()
    number = 0

    def reached() -> bool:
        nonlocal number
        number += 1
        capped.ok(f"head -c 5M /dev/urandom > spec{number}; sr_post spec{number}")
        return "volume quota of group" in capped.said()

    wait_until(reached, 60, capped.said)
    status = scope.host(scope.group("monitoring")[0]).check_output("sr_quota --show --json")
    rows = [json.loads(line) for line in status.splitlines()]
    (row,) = [row for row in rows if (row["kind"], row["name"]) == ("group", capped.group["name"])]
    assert row["day"] >= row["dayLimit"] > 0
    user = {row["name"]: row["day"] for row in rows if row["kind"] == "user"}
    assert user[f"u{capped.name}"] == row["day"]


@pytest.mark.one_host
def test_status_shows_what_sr_quota_has_counted_of_each_group_and_user(scope: Scope) -> None:
    name = scope.group("monitoring")[0]
    shown = scope.playbook("status", "--limit", name).stdout
    accounts = scope.var("accounts")
    entries = [("group", entry["name"]) for entry in accounts["groups"]]
    entries += [("user", f"u{user['name']}") for user in accounts["users"] if "group" in user]
    for kind, entry in entries:
        assert f"{kind:<6} {entry} " in shown, shown


@pytest.mark.one_host
@pytest.mark.destructive
def test_another_instance_gives_grants_when_the_active_one_stops(
    scope: Scope, sharing: list[Member]
) -> None:
    host, member = scope.host(scope.group("monitoring")[0]), sharing[0]
    for each in sharing:
        each.stop(scope)

    def state(unit: str) -> str:
        return str(host.check_output(f"systemctl show -P StatusText {unit}"))

    host.check_output(
        "systemd-run --quiet --collect --unit=spec-quota --service-type=notify -p DynamicUser=yes"
        " -p LoadCredential=credentials.conf:/etc/sarra_lite/credentials.conf"
        " -p StateDirectory=spec_quota"
        " /opt/sarra_lite/current/bin/sr_quota -c /etc/sarra_lite/quota/default.toml"
        " --state-dir /var/lib/spec_quota"
    )
    try:
        assert state("spec-quota") != "filling"
        host.check_output("systemctl stop sr_quota")
        wait_until(lambda: state("spec-quota") == "filling", 20, lambda: state("spec-quota"))
        # More than what a full queue is worth.
        member.ok(f"head -c {int(member.bits / 8 * 2)} /dev/urandom > spec-more")
        member.ok("sr_post spec-more")
        member.start()
        home = f"{scope.var('scope_homes')}/{member.login}"
        there = f"test -f {home}/spec-more"
        node = scope.host(scope.group("sftp_nodes")[0])
        wait_until(lambda: node.run(there).rc == 0, 40, member.said)
    finally:
        host.run("systemctl start sr_quota; systemctl stop spec-quota")
        host.run("rm -rf /var/lib/spec_quota /var/lib/private/spec_quota")
    wait_until(lambda: state("sr_quota") == "filling", 20, lambda: state("sr_quota"))

"""One user takes of the brokers only what the operators give, and nobody else notices."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.scope.conftest import Client, Scope

USER = "bob"  # has no sender, so that the queue can be filled
SLACK = 16_000_000  # bytes that a quorum queue takes before it knows that it is full

pytestmark = [pytest.mark.destructive, pytest.mark.several_hosts]


@pytest.fixture(scope="module")
def found(scope: Scope, client: Client) -> dict[str, str]:
    """What the broker answered to the greedy user."""
    passwords = scope.var("scope_broker_passwords")
    if f"u{USER}" not in passwords:
        pytest.skip(f"the inventory has no user {USER}")
    url = f"amqps://u{USER}:{passwords[f'u{USER}']}@{client.broker_name}:5671/%2f"
    arguments = (url, scope.var("scope_ca_file"), f"u{USER}")
    printed = client.python(*arguments, user=USER, program="greedy.py")
    results: dict[str, str] = json.loads(printed)
    return results


def test_a_user_creates_only_the_queues_of_the_account(found: dict[str, str]) -> None:
    results = {result.split()[0] for name, result in found.items() if name.startswith("queue ")}
    assert results == {"refused:"}


@pytest.mark.parametrize("what", ["delete exchange", "declare exchange", "unbind"])
def test_a_user_cannot_take_the_exchange_away_from_xlog(found: dict[str, str], what: str) -> None:
    assert "403 ACCESS_REFUSED" in found[what]


@pytest.mark.parametrize("kind", ["quorum", "classic"])
def test_a_queue_is_full_at_the_limit_whatever_its_arguments_say(
    scope: Scope, found: dict[str, str], kind: str
) -> None:
    taken = int(found[f"fill {kind}"].removeprefix("accepted: "))
    limit = scope.var("scope_queue_max_bytes")
    assert limit * 0.9 < taken < limit + SLACK


def test_a_large_message_is_refused(found: dict[str, str]) -> None:
    assert "406 PRECONDITION_FAILED - message size 2000000" in found["large message"]


def test_the_number_of_connections_is_limited(found: dict[str, str]) -> None:
    assert "limit (100) is reached" in found["connections"]


def test_what_one_address_sends_is_limited(scope: Scope, found: dict[str, str]) -> None:
    holder = scope.host(scope.holders(scope.var("scope_broker_vip"))[0])
    rendered = holder.file("/etc/haproxy/haproxy.cfg").content_string
    limit = int(rendered.split("bwlim-in amqps_bytes limit ")[1].split()[0])
    buffered = 4 * 4_000_000 / 6  # of four connections, taken before the limit is felt
    assert int(found["bytes a second"]) < 1.1 * limit + buffered


@pytest.mark.usefixtures("found")
def test_no_member_has_an_alarm_and_others_send(scope: Scope, client: Client) -> None:
    host = scope.host(scope.group("brokers")[0])
    status = json.loads(host.check_output("rabbitmqctl -q cluster_status --formatter json"))
    assert status["alarms"] == []
    client.ok("head -c 1000 /dev/urandom > beside; sr_post --wait --timeout 60s beside")


def test_operator_policies_limit_streams_and_their_segments(scope: Scope) -> None:
    host = scope.host(scope.group("brokers")[0])
    listed = "rabbitmqctl -q {} --formatter json"
    rows = json.loads(host.check_output(listed.format("list_operator_policies")))
    limits = {
        row["apply-to"]: json.loads(row["definition"]) for row in rows if "_u" in row["pattern"]
    }
    assert limits.keys() == {"quorum_queues", "classic_queues", "streams"}
    assert limits["streams"] == {"max-length-bytes": scope.var("scope_report_max_bytes")}
    rows = json.loads(host.check_output(listed.format("list_policies")))
    kept = [json.loads(row["definition"]) for row in rows if row["apply-to"] == "streams"]
    assert kept == [{"stream-max-segment-size-bytes": scope.var("scope_report_max_bytes") // 20}]

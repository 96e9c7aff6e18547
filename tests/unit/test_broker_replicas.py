"""Which queues and streams get a replica on a member, of what RabbitMQ lists."""

from __future__ import annotations

import json

from tests.lab.plugins import load

module = load("playbooks/library/broker_replicas.py")

LISTED = json.dumps(
    [
        {"name": "q_a", "type": "quorum", "members": ["rabbit@b1", "rabbit@w"]},
        {"name": "q_b", "type": "quorum", "members": ["rabbit@b1", "rabbit@b2", "rabbit@w"]},
        {"name": "q_a_reports", "type": "stream", "members": ["rabbit@b1", "rabbit@w"]},
        {"name": "amq.gen-1", "type": "classic", "members": ""},
    ]
)


def test_a_new_member_lacks_what_was_made_before_it_came() -> None:
    assert module.lacking(LISTED, "rabbit@b2", "all") == ["q_a", "q_a_reports"]
    assert module.lacking(LISTED, "rabbit@b1", "all") == []


def test_a_member_that_goes_leaves_what_it_has() -> None:
    assert module.lacking(LISTED, "rabbit@b2", "none") == ["q_b"]
    assert module.lacking(LISTED, "rabbit@b3", "none") == []


def test_the_expression_for_all_streams_names_the_member_in_both_ways() -> None:
    for call, has in module.CALLS.values():
        text = module.STREAMS.format(member="rabbit@b2", call=call, has=has)
        assert f"rabbit_stream_queue:{call}(Host, Name, 'rabbit@b2')" in text
        assert f"{has}lists:member('rabbit@b2'" in text

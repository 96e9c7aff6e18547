"""What a message of the stream of reports says of changes by playbooks."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sarra_lite.errors import MessageError
from sarra_lite.messages import change, v03

ENTRY: dict[str, Any] = {
    "id": "7",
    "who": "ops",
    "host": "control",
    "began": 1795000000.0,
    "ended": 1795000060.5,
    "playbook": "site.yml",
    "tags": ["accounts", "haproxy"],
    "arguments": ["node=svrsftp1"],
    "changed": [
        {"task": "haproxy : Configure HAProxy", "hosts": ["svrlb1", "svrlb2"], "told": []},
        {"task": "accounts : Write users", "hosts": ["svrsftp1"], "told": []},
    ],
    "accounts": {"users": {"added": ["ann"], "removed": ["bob"]}},
}


def message(told: Any, **fields: Any) -> v03.Announcement:
    body = {"pubTime": "20261128T120000", "baseUrl": "", "relPath": "", "change": told, **fields}
    return v03.decode(json.dumps(body).encode())


def test_a_sentence_has_what_was_run_and_what_it_changed_where() -> None:
    assert change.sentence(change.parse(ENTRY)) == (
        "site.yml --tags accounts,haproxy -e node=svrsftp1:"
        " changed 2 tasks on svrlb1, svrlb2, svrsftp1 (haproxy, accounts);"
        " users added: ann; users removed: bob"
    )
    killed = change.parse({**ENTRY, "ended": None, "failed": ["svrlb1: x"], "accounts": {}})
    assert change.sentence(killed).endswith("; was killed; failed: svrlb1: x")


def test_a_change_is_what_has_no_report() -> None:
    told = change.change_of(message(ENTRY))
    assert told is not None
    assert (told.id, told.who, told.time) == ("7", "ops", 1795000060.5)
    report = {"code": 201, "message": "sent", "timeCompleted": "20261128T120000"}
    assert change.change_of(message(ENTRY, relPath="f", report=report)) is None


@pytest.mark.parametrize("told", [None, 1, "x", [], {}, {**ENTRY, "began": "now"}])
def test_anything_else_is_no_change(told: Any) -> None:
    assert change.change_of(message(told)) is None
    with pytest.raises(MessageError, match="not a change"):
        change.parse(told)


def test_one_that_is_too_large_keeps_who_when_and_where() -> None:
    tasks = [{"task": f"t{n}", "hosts": [f"h{k}" for k in range(50)]} for n in range(300)]
    names = {"users": {"added": [f"u{n}" for n in range(10_000)]}}
    less = change.smaller(change.parse({**ENTRY, "changed": tasks, "accounts": names}))
    assert (len(less.changed), less.more) == (25, 275)
    assert less.accounts["users"]["added"][-1] == "9992 more"
    assert len(json.dumps(change.as_json(less))) < 8000
    assert "changed 300 tasks" in change.sentence(less)

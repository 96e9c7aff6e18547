"""Of the definitions of a broker, those come back that site.yml does not make."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pytest

from playbooks.scope_backup import broker
from tests.lab.rabbitmq import Rabbit

if TYPE_CHECKING:
    from collections.abc import Iterator

PREFIX: Final = "xac_"


def user(name: str, *tags: str) -> dict[str, Any]:
    return {"name": name, "password_hash": "c2VjcmV0", "tags": list(tags), "limits": {}}


def may(name: str) -> dict[str, Any]:
    return {"user": name, "vhost": "/", "configure": "", "write": "", "read": ".*"}


def queue(name: str) -> dict[str, Any]:
    arguments = {"x-queue-type": "quorum"}
    return {
        "name": name,
        "vhost": "/",
        "durable": True,
        "auto_delete": False,
        "arguments": arguments,
    }


def exchange(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "vhost": "/",
        "type": "topic",
        "durable": True,
        "auto_delete": False,
        "internal": False,
        "arguments": {},
    }


def binding(source: str, destination: str) -> dict[str, Any]:
    names = {"source": source, "destination": destination, "destination_type": "queue"}
    return {**names, "vhost": "/", "routing_key": "#", "arguments": {}}


THEN: Final[broker.Definitions] = {
    "vhosts": [{"name": "/"}],
    "users": [user("uearnest", "scope"), user("ugone", "scope"), user("byhand"), user("guest")],
    "permissions": [may("uearnest"), may("ugone"), may("byhand")],
    "exchanges": [exchange("xac_earnest"), exchange("xac_gone"), exchange("xhand")],
    "queues": [queue("q_uearnest_archive"), queue("q_src2log"), queue("q_ugone_default")],
    "bindings": [
        binding("xac_earnest", "q_uearnest_archive"),
        binding("xac_earnest", "q_src2log"),
        binding("xac_gone", "q_src2log"),
        binding("xac_gone", "q_ugone_default"),
    ],
    "policies": [],
}
NOW: Final[broker.Definitions] = {
    "vhosts": [{"name": "/"}],
    "users": [user("uearnest", "scope") | {"password_hash": "b3RoZXI="}],
    "permissions": [may("uearnest")],
    "exchanges": [exchange("xac_earnest")],
    "queues": [queue("q_src2log")],
    "bindings": [binding("xac_earnest", "q_src2log")],
    "policies": [],
}


def test_what_others_have_made_comes_back_and_no_account_that_was_removed() -> None:
    assert broker.lacking(THEN, NOW, PREFIX) == {
        "users": [user("byhand")],
        "permissions": [may("byhand")],
        "exchanges": [exchange("xhand")],
        "queues": [queue("q_uearnest_archive"), queue("q_ugone_default")],
        "bindings": [binding("xac_earnest", "q_uearnest_archive")],
    }


def test_a_broker_that_has_all_gets_nothing() -> None:
    assert broker.lacking(THEN, THEN, PREFIX) == {}
    assert list(broker.differences(THEN, THEN, PREFIX)) == []


def test_differences_say_what_becomes_of_them_and_no_hash() -> None:
    lines = list(broker.differences(THEN, NOW, PREFIX))
    assert "broker: queue / q_uearnest_archive: is missing, will be made" in lines
    assert "broker: user ugone: is missing, is left to site.yml" in lines
    assert not any("uearnest:" in line for line in lines)
    assert "c2VjcmV0" not in "".join(lines)


@pytest.fixture(scope="module")
def rabbit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rabbit]:
    with Rabbit(tmp_path_factory.mktemp("backup")) as node:
        yield node


def test_a_broker_takes_what_it_lacks(rabbit: Rabbit) -> None:
    """With the commands of both playbooks, on a real broker."""

    def exported() -> broker.Definitions:
        text = rabbit.ctl("--timeout", "60", "export_definitions", "-")
        found: broker.Definitions = json.loads(text)
        return found

    then = THEN | {"bindings": [*THEN["bindings"], binding("xhand", "q_uearnest_archive")]}
    back = broker.lacking(then, exported(), PREFIX)
    rabbit.feed_ctl(json.dumps(back), "--timeout", "300", "import_definitions")
    assert "q_uearnest_archive" in rabbit.ctl("list_queues", "name")
    # The exchanges of accounts are left to site.yml, and so are their bindings.
    assert broker.lacking(then, exported(), PREFIX) == {}

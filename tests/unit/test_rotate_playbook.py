"""What playbooks/rotate.yml finds wrong with certificates that are served."""

from __future__ import annotations

from typing import Any

import pytest

from tests.lab.plugins import load

ROTATE = load("playbooks/filter_plugins/rotate.py")
WANTED = {"own": {"lb1": "0A1", "b1": "B1"}, "inner": {"lb1": "C1", "b1": "C2"}}


def served(name: str, serial: str) -> dict[str, Any]:
    return {"name": name, "address": "192.0.2.1", "port": 5671, "days": 9, "serial": serial}


@pytest.mark.parametrize(
    ("host", "name", "serial"),
    [
        ("b1", "amqps of the broker", "B1"),
        ("b1", "members of RabbitMQ", "00C2"),
        ("lb1", "amqps", "b1"),  # behind the virtual address
        ("lb1", "the page", "A1"),
        ("lb1", "connections between load balancers", "C1"),
    ],
)
def test_a_port_that_serves_the_wanted_certificate_is_not_told(
    host: str, name: str, serial: str
) -> None:
    assert ROTATE.certificates_others([served(name, serial)], WANTED, host) == []


@pytest.mark.parametrize(
    ("name", "serial"),
    [("amqps of the broker", "A1"), ("members of RabbitMQ", "B1"), ("amqps", "FF")],
)
def test_a_port_that_serves_another_one_is_told(name: str, serial: str) -> None:
    (line,) = ROTATE.certificates_others([served(name, serial)], WANTED, "b1")
    assert line.startswith(f"b1: {name} (192.0.2.1:5671): serves another certificate")


def test_a_port_that_does_not_answer_is_told() -> None:
    silent = {"name": "amqps", "address": "192.0.2.1", "port": 5671, "problem": "refused"}
    assert ROTATE.certificates_others([silent], WANTED, "lb1") == [
        "lb1: amqps (192.0.2.1:5671): refused"
    ]


def test_certificates_that_were_not_replaced_are_named() -> None:
    made = [{"of": "own", "host": "b1"}, {"of": "inner", "host": "b1"}, {"of": "own", "host": "b2"}]
    before = {"own": {"b1": "B1"}, "inner": {"b1": "C1"}}
    assert ROTATE.certificates_kept(made, WANTED, before) == ["own of b1", "own of b2"]


def test_numbers_are_read_by_authority_and_host() -> None:
    read = [
        {"item": {"of": "own", "host": "b1"}, "serial_number": 177},
        {"item": {"of": "inner", "host": "b1"}, "skipped": True},
    ]
    assert ROTATE.certificates_serials(read) == {"own": {"b1": "B1"}, "inner": {}}

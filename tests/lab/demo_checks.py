"""What the demo waits for at the broker, and what it promises of the reports in xlog."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import pika.exceptions

from tests.lab import LabError

if TYPE_CHECKING:
    from tests.lab.rabbitmq import Rabbit

Reports = list[dict[str, Any]]


class QueueState(NamedTuple):
    """How many consumers a queue has, and messages that nobody has taken."""

    consumers: int
    ready: int


def queue_state(rabbit: Rabbit, queue: str) -> QueueState:
    """Ask the broker, which answers at once, while its statistics are seconds old."""
    with suppress(pika.exceptions.ChannelClosedByBroker), rabbit.channel() as channel:
        method = channel.queue_declare(queue, passive=True).method
        return QueueState(method.consumer_count, method.message_count)
    return QueueState(0, 0)  # not declared yet


def read(lines: str) -> Reports:
    """Return the reports that ``sr_log --json`` has printed."""
    return [json.loads(line) for line in lines.splitlines()]


def blocks(reports: Reports) -> tuple[int, Counter[str]]:
    """Return how many blocks there are, and how many each sender's instance has sent.

    LabError when not each block was sent exactly once.
    """
    sent = [report for report in reports if report["code"] == 206]
    count = next((report["blocks"] for report in reports if "blocks" in report), 0)
    if not count or sorted(report["block"] for report in sent) != list(range(count)):
        raise LabError(f"not each of {count} blocks was sent once: {sent}")
    return count, Counter(report["instance"] for report in sent)


def one_success_each(reports: Reports, names: int) -> None:
    """Raise LabError unless each name has one final report, code 201, and there is no other."""
    wrong = [report for report in reports if report["code"] not in (201, 206)]
    arrived = Counter(report["relPath"] for report in reports if report["code"] == 201)
    if wrong or len(arrived) != names or set(arrived.values()) != {1}:
        raise LabError(f"not one report 201 for each of {names} names: {arrived}; {wrong}")


def one_failure(reports: Reports, name: str, code: int) -> None:
    """Raise LabError unless the only report on a failure has this code."""
    if [(report["relPath"], report["code"]) for report in reports] != [(name, code)]:
        raise LabError(f"not one report {code} on {name}: {reports}")

"""The state of a queue, and the checks of the demo on the reports in xlog."""

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
    """The number of consumers of a queue, and of messages that are ready in it."""

    consumers: int
    ready: int


def queue_state(rabbit: Rabbit, queue: str) -> QueueState:
    """Return the current state; the statistics of the management API would be seconds old."""
    with suppress(pika.exceptions.ChannelClosedByBroker), rabbit.channel() as channel:
        method = channel.queue_declare(queue, passive=True).method
        return QueueState(method.consumer_count, method.message_count)
    return QueueState(0, 0)  # not declared yet


def read(lines: str) -> Reports:
    """Return the reports from the output of ``sr_log --json``."""
    return [json.loads(line) for line in lines.splitlines()]


def blocks(reports: Reports) -> tuple[int, Counter[str]]:
    """Return the number of blocks, and how many of them each instance has sent.

    Raises LabError unless each block was sent exactly once.
    """
    sent = [report for report in reports if report["code"] == 206]
    count = next((report["blocks"] for report in reports if "blocks" in report), 0)
    if not count or sorted(report["block"] for report in sent) != list(range(count)):
        raise LabError(f"not each of {count} blocks was sent once: {sent}")
    return count, Counter(report["instance"] for report in sent)


def one_success_each(reports: Reports, names: int) -> None:
    """Raise LabError unless each name has one report with code 201, and nothing failed."""
    wrong = [report for report in reports if report["code"] not in (201, 206)]
    arrived = Counter(report["relPath"] for report in reports if report["code"] == 201)
    if wrong or len(arrived) != names or set(arrived.values()) != {1}:
        raise LabError(f"not one report 201 for each of {names} names: {arrived}; {wrong}")


def one_failure(reports: Reports, name: str, code: int) -> None:
    """Raise LabError unless there is one report, with this name and code."""
    if [(report["relPath"], report["code"]) for report in reports] != [(name, code)]:
        raise LabError(f"not one report {code} on {name}: {reports}")

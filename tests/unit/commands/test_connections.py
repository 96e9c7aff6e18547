"""keep_connected: which errors of the broker are survived, for how long, and what ends it."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any, Self

import pytest

from sarra_lite import runtime
from sarra_lite.commands import connections
from sarra_lite.config.commands import LogConfig
from sarra_lite.config.credentials import parse_url
from sarra_lite.errors import BrokerError, BrokerRefused

if TYPE_CHECKING:
    from collections.abc import Callable

CONFIG = LogConfig(broker=parse_url("amqp://u@h/", ["amqp", "amqps"]))


class Connecting:
    """Connections, each of which does what the next of some steps says."""

    def __init__(self, *steps: BrokerError | str) -> None:
        """Begin with the first step."""
        self.steps = list(steps)
        self.entered = 0
        self.declared = 0
        self.stop = asyncio.Event()

    async def __aenter__(self) -> Self:
        """Connect, or raise the error that is the next step."""
        self.entered += 1
        step = self.steps[0]
        if isinstance(step, BrokerError):
            del self.steps[0]
            raise step
        return self

    async def __aexit__(self, *_: object) -> None:
        """Do nothing."""

    async def declare(self, _broker: object, config: object) -> None:
        self.declared += 1
        assert config is CONFIG
        if self.steps[0] == "refuses a queue":
            raise BrokerError(self.steps.pop(0))

    async def work(self, _broker: object) -> None:
        step = self.steps.pop(0)
        if step == "is lost":
            raise BrokerError(step)
        if step == "is lost at the end":
            self.stop.set()
            raise BrokerError(step)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., bool]:
    """Keep connected to a broker that behaves as some steps say, without waiting."""

    def start(connecting: Connecting, *patience: float) -> bool:
        factory: Any = lambda _config: lambda: connecting  # noqa: E731
        monkeypatch.setattr(connections, "broker_factory", factory)
        monkeypatch.setattr(runtime, "backoff", lambda: iter([0.0] * 9))
        declare: Any = connecting.declare
        work: Any = connecting.work
        return asyncio.run(
            connections.keep_connected(CONFIG, declare, work, connecting.stop, *patience)
        )

    return start


def test_a_lost_connection_is_replaced_and_declared_anew(run: Callable[..., bool]) -> None:
    connecting = Connecting(BrokerError("away"), "is lost", "refuses a queue", "works")
    assert run(connecting) is True
    assert (connecting.entered, connecting.declared) == (4, 3)


@pytest.mark.parametrize("patience", [(0.0, math.inf), (0.0, 0.0)])
def test_without_patience_at_the_start_the_first_failure_is_raised(
    run: Callable[..., bool], patience: tuple[float, float]
) -> None:
    with pytest.raises(BrokerError, match="away"):
        run(Connecting(BrokerError("away"), "works"), *patience)


def test_with_patience_later_a_loss_is_survived_and_without_it_is_raised(
    run: Callable[..., bool],
) -> None:
    assert run(Connecting("is lost", BrokerError("away"), "works"), 0.0, math.inf) is True
    with pytest.raises(BrokerError, match="is lost"):
        run(Connecting("is lost", "works"), 0.0, 0.0)


def test_a_broker_that_refuses_is_not_tried_again(run: Callable[..., bool]) -> None:
    with pytest.raises(BrokerRefused):
        run(Connecting(BrokerRefused("no such vhost"), "works"))


def test_a_stop_ends_it_while_there_is_no_connection(
    run: Callable[..., bool], capsys: pytest.CaptureFixture[str]
) -> None:
    runtime.log_to_stderr("warning")
    assert run(Connecting("is lost", "is lost at the end", "works")) is False
    said = [line.rpartition(": ")[2] for line in capsys.readouterr().err.splitlines()]
    assert said == ["is lost; trying again", "is lost at the end"]

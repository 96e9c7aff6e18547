"""Asks a Prometheus, over its HTTP API: for alerts, and for what expressions give now."""

from __future__ import annotations

import asyncio
import math
import ssl
from datetime import datetime  # noqa: TC003  msgspec evaluates the annotation
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import httpx
import msgspec

from sarra_lite.errors import SarraError

if TYPE_CHECKING:
    from collections.abc import Mapping

_TIMEOUT: Final = 4.0  # seconds for all answers together
_MAX_ANSWER: Final = 4 << 20  # bytes


class Unanswered(SarraError):
    """Prometheus is away, too slow, or answers with something else."""


# What is told of, if an answer has no other trouble.
_NO_ANSWER: Final = (httpx.HTTPError, msgspec.DecodeError, ValueError, SarraError)


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """An alert of Prometheus; ``state`` is firing or pending."""

    labels: dict[str, str]
    annotations: dict[str, str] = {}
    state: str
    activeAt: datetime

    @property
    def name(self) -> str:
        """Name of its rule."""
        return self.labels.get("alertname", "")

    @property
    def severity(self) -> str:
        """The severity that its rule gives."""
        return self.labels.get("severity", "none")


class Sample(NamedTuple):
    """One series of an answer; what is no number or infinite is left out."""

    labels: dict[str, str]
    value: float


class Seen(NamedTuple):
    """What Prometheus has said: alerts, and for each name the samples of its expression."""

    alerts: list[Alert]
    samples: dict[str, list[Sample]]


class _Alerts(msgspec.Struct):
    alerts: list[Alert]


class _Series(msgspec.Struct):
    metric: dict[str, str]
    value: tuple[float, str]


class _Vector(msgspec.Struct):
    result: list[_Series]


class _AlertsAnswer(msgspec.Struct):
    data: _Alerts


class _VectorAnswer(msgspec.Struct):
    data: _Vector


class Prometheus:
    """One Prometheus, which is asked anew each time."""

    def __init__(self, url: str, ca_file: str | None) -> None:
        """``ca_file``: certificates to trust for https; None: those of the host."""
        self.url = url.rstrip("/")
        self._tls = ssl.create_default_context(cafile=ca_file)

    async def ask(self, expressions: Mapping[str, str], *, alerts: bool = True) -> Seen:
        """Return alerts, unless they are not wanted, and what the expressions give now.

        Raise Unanswered when not all answers come in time, and as they should be.
        """
        try:
            async with asyncio.timeout(_TIMEOUT):
                return await self._answers(expressions, alerts=alerts)
        except TimeoutError:
            raise Unanswered(f"does not answer within {_TIMEOUT:.0f} s") from None

    async def _answers(self, expressions: Mapping[str, str], *, alerts: bool) -> Seen:
        try:
            async with (
                # No proxy of the environment: nothing leaves the scope.
                httpx.AsyncClient(verify=self._tls, trust_env=False, timeout=_TIMEOUT) as client,
                asyncio.TaskGroup() as group,
            ):
                answer = group.create_task(self._alerts(client, wanted=alerts))
                asked = {
                    name: group.create_task(self._samples(client, text))
                    for name, text in expressions.items()
                }
        except ExceptionGroup as errors:
            # Not except*: Python before 3.11.4 makes a group of what is raised there.
            if errors.split(_NO_ANSWER)[1] is not None:
                raise
            raise Unanswered(_reason(errors.exceptions[0])) from None
        return Seen(answer.result(), {name: task.result() for name, task in asked.items()})

    async def _alerts(self, client: httpx.AsyncClient, *, wanted: bool) -> list[Alert]:
        if not wanted:
            return []
        answer: _AlertsAnswer = await self._get(client, _AlertsAnswer, "/api/v1/alerts", {})
        return answer.data.alerts

    async def _samples(self, client: httpx.AsyncClient, expression: str) -> list[Sample]:
        params = {"query": expression}
        vector = (await self._get(client, _VectorAnswer, "/api/v1/query", params)).data.result
        samples = [Sample(series.metric, float(series.value[1])) for series in vector]
        return [sample for sample in samples if math.isfinite(sample.value)]

    async def _get(
        self, client: httpx.AsyncClient, kind: type[Any], path: str, params: dict[str, str]
    ) -> Any:
        body = b""
        async with client.stream("GET", self.url + path, params=params) as answer:
            answer.raise_for_status()
            async for part in answer.aiter_bytes():
                body += part
                if len(body) > _MAX_ANSWER:
                    raise Unanswered(f"answers with more than {_MAX_ANSWER} bytes")
        return msgspec.json.decode(body, type=kind)


def _reason(error: BaseException) -> str:
    match error:
        case Unanswered():
            return str(error)
        case httpx.HTTPStatusError():
            return f"answers with status {error.response.status_code}"
        case httpx.TransportError():
            return f"cannot be reached: {error}"
        case _:
            return f"answers with what is not an answer of Prometheus: {error}"

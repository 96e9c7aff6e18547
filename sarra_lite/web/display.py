"""How values are shown: names of strangers, times, sizes, links; and the bars of a plot."""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from sarra_lite import units
from sarra_lite.monitor import anomalies

_HEIGHT: Final = 100.0  # of a plot, in its own units
_STEP: Final = 10


def moment(seconds: float) -> str:
    """Return a time in UTC, as people and HTML write it."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}"


def rate(value: float | None) -> str:
    """Return bytes a second."""
    return "-" if value is None else f"{units.show_size(value)}/s"


def left(size: int, done: int, begun: int | None, now: float) -> str:
    """Return how long a file needs if it goes on as fast as since ``begun`` (milliseconds)."""
    if begun is None or not done or now * 1000 <= begun:
        return "-"
    return units.show_duration((size - done) * (now - begun / 1000) / done)


def link(page: str, **values: object) -> str:
    """Return a link with a query; what is None is left out, names may be any bytes."""
    pairs = [
        f"{key}={quote(str(value).encode(errors='surrogateescape'), safe='')}"
        for key, value in values.items()
        if value is not None
    ]
    return "?".join([page, "&".join(pairs)] if pairs else [page])


def row_id(*values: object) -> str:
    """Return the id of a table's row, by which an open page knows it again."""
    text = "\0".join(map(str, values)).encode(errors="surrogateescape")
    return f"r{blake2b(text, digest_size=8).hexdigest()}"


class Bar(NamedTuple):
    """A bar of a plot: its position and size, and its text."""

    x: int
    y: float
    height: float
    text: str


class Plot(NamedTuple):
    """Bars of the volume by hour; ``summary`` says the same in words.

    ``first`` and ``last`` are the seconds since 1970 at which it begins and ends.
    """

    bars: list[Bar]
    width: int
    summary: str
    first: int
    last: int


def volume_plot(first: int, count: int, hours: dict[int, tuple[int, int]]) -> Plot:
    """Return a plot of ``count`` hours from ``first`` on (since 1970), with bytes and files."""
    values = [hours.get(hour, (0, 0)) for hour in range(first, first + count)]
    most = max(size for size, _ in values)
    bars = []
    for position, (size, number) in enumerate(values):
        height = _HEIGHT * size / most if most > 0 else 0.0
        text = f"{moment((first + position) * 3600)[:16]}: {units.show_size(size)}, {number} files"
        bars.append(Bar(position * _STEP, round(_HEIGHT - height, 2), round(height, 2), text))
    total = units.show_size(sum(size for size, _ in values))
    summary = f"{total} in {count} hours, at most {units.show_size(most)} in one"
    return Plot(bars, count * _STEP, summary, first * 3600, (first + count) * 3600)


FILTERS: Final[dict[str, Any]] = {
    "told": anomalies.told,
    "shown": lambda name: units.printable(name or ""),
    "moment": moment,
    "ago": units.show_duration,
    "size": units.show_size,
    "rate": rate,
}
GLOBALS: Final[dict[str, Any]] = {"link": link, "left": left, "row_id": row_id}

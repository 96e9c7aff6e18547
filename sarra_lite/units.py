"""Times, sizes and durations as Sarracenia writes them, and as people read them."""

from __future__ import annotations

import functools
import re
from datetime import UTC, datetime
from typing import Final

# sr3 writes a fraction below 0.0001 s with exponent, and loses its first digit: .00271606e-05
_TIME: Final = re.compile(r"([0-9]{8})T?([0-9]{6})(?:\.([0-9]{1,18})|\.?[0-9]*e-[0-9]+)?Z?")
_NUMBER: Final = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*")
_SIZES: Final = {
    "": 1,
    "b": 1,
    **{unit: 10 ** (3 * power) for power, unit in enumerate("kmgtp", start=1)},
    **{f"{unit}i": 2 ** (10 * power) for power, unit in enumerate("kmgtp", start=1)},
}
_SECONDS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_BINARY: Final = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def time_string(nanoseconds: int) -> str:
    """``YYYYMMDDTHHMMSS.fffffffff`` in UTC, from nanoseconds since 1970 (sr_post(7), pubTime)."""
    seconds, fraction = divmod(nanoseconds, 10**9)
    return f"{_whole_second(seconds)}.{fraction:09d}"


@functools.lru_cache(4096)  # files of one tree, and the present, share many
def _whole_second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y%m%dT%H%M%S")


def nanoseconds(text: str) -> int:
    """Nanoseconds since 1970 from a Sarracenia time string; ValueError when it is none.

    What sr3 writes with an exponent, as in ``20261130T005320.00271606e-05``, is less than 100 µs
    above the whole second, which is returned.
    """
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError(f"not a time like 20261123T222859.5: {text[:40]!r}")
    day, clock, fraction = match.groups()
    # int(), since strptime takes a time zone and locale into account and is ten times slower.
    moment = datetime(
        int(day[:4]), int(day[4:6]), int(day[6:]),
        int(clock[:2]), int(clock[2:4]), min(int(clock[4:]), 59),
        tzinfo=UTC,
    )  # fmt: skip
    return int(moment.timestamp()) * 10**9 + int((fraction or "0")[:9].ljust(9, "0"))


def parse_size(value: str | int) -> int:
    """Bytes from ``10Mi``, ``64MiB``, ``5k``, ``1024``: with ``i`` powers of 1024, else of 1000."""
    number, unit = _split(value, "a size like 64Mi")
    factor = _SIZES.get(unit.lower().removesuffix("b") if len(unit) > 1 else unit.lower())
    if factor is None:
        raise ValueError(f"not a size like 64Mi: {value!r}")
    return int(number * factor)


def parse_duration(value: str | float) -> float:
    """Seconds from ``300``, ``5m``, ``1.5h``, ``2d``, ``1w`` (units as in sr3_options(7))."""
    number, unit = _split(value, "a duration like 5m")
    if unit.lower() not in _SECONDS:
        raise ValueError(f"not a duration like 5m: {value!r}")
    return number * _SECONDS[unit.lower()]


def plain_size(count: int) -> str | int:
    """Bytes as ``parse_size`` reads them: ``64Mi``; a number where no unit fits."""
    for power, unit in ((5, "Pi"), (4, "Ti"), (3, "Gi"), (2, "Mi"), (1, "Ki")):
        if count and count % 1024**power == 0:
            return f"{count // 1024**power}{unit}"
    return count


def plain_duration(seconds: float) -> str:
    """Seconds as ``parse_duration`` reads them: ``5m``, ``0.5s``."""
    for unit in "dhm":
        if seconds and seconds % _SECONDS[unit] == 0:
            return f"{seconds / _SECONDS[unit]:.0f}{unit}"
    return f"{int(seconds) if seconds == int(seconds) else seconds}s"


def _split(value: str | float, want: str) -> tuple[float, str]:
    match = _NUMBER.fullmatch(str(value))
    if match is None:
        raise ValueError(f"not {want}: {value!r}")
    return float(match[1]), match[2]


def show_size(count: float) -> str:
    """``1.5 GiB``: a number of bytes for people."""
    unit = 0
    while count >= 1024 and unit < len(_BINARY) - 1:  # noqa: PLR2004  the step of binary units
        count, unit = count / 1024, unit + 1
    return f"{count:.0f} {_BINARY[unit]}" if unit == 0 else f"{count:.1f} {_BINARY[unit]}"


def show_duration(seconds: float) -> str:
    """``0.12 s``, ``75 s`` or ``2 h 05 min``: a span of time for people."""
    if seconds < 10:  # noqa: PLR2004  below, hundredths tell something
        return f"{seconds:.2f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def printable(name: str) -> str:
    r"""Return a name as one line safe for a terminal: controls and stray bytes as ``\xNN``."""
    raw = name.encode(errors="surrogateescape").decode(errors="backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in raw)

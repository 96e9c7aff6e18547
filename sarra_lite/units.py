"""Conversion of times, sizes and durations: Sarracenia's notation, and text for people."""

from __future__ import annotations

import functools
import re
from datetime import UTC, datetime
from typing import Final

# sr3 writes a fraction below 0.0001 s with an exponent and without its first digit: .00271606e-05
_TIME: Final = re.compile(r"([0-9]{8})T?([0-9]{6})(?:\.([0-9]{1,18})|\.?[0-9]*e-[0-9]+)?Z?")
_NUMBER: Final = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*")
_RATE: Final = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kMGT]?)(bit|B)/s\s*")
_PREFIXES: Final = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_MODE: Final = re.compile(r"[0-7]{3,4}")
_SIZES: Final = {"": 1, "b": 1} | {
    f"{prefix}{suffix}": base**power
    for power, unit in enumerate("kmgtp", start=1)
    for prefix, base in ((unit, 1000), (f"{unit}i", 1024))
    for suffix in ("", "b")
}
_SECONDS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_BINARY: Final = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def time_string(nanoseconds: int) -> str:
    """Return ``YYYYMMDDTHHMMSS.fffffffff`` in UTC for a time in nanoseconds since 1970.

    This is the format of sr_post(7), pubTime.  Raises ValueError outside the years 1 to 9999, which
    it has no digits for.
    """
    seconds, fraction = divmod(nanoseconds, 10**9)
    return f"{_whole_second(seconds)}.{fraction:09d}"


@functools.lru_cache(4096)  # many files of one tree have the same second
def _whole_second(seconds: int) -> str:
    try:
        moment = datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        raise ValueError("not in the years 1 to 9999") from None
    # The C library writes years before 1000 with fewer than four digits.
    return f"{moment.year:04}{moment:%m%dT%H%M%S}"


def nanoseconds(text: str) -> int:
    """Return the nanoseconds since 1970 of a Sarracenia time string; raise ValueError if invalid.

    A fraction with an exponent, as sr3 writes in ``20261130T005320.00271606e-05``, is less than
    100 µs and is dropped.
    """
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError(f"not a time like 20261123T222859.5: {text[:40]!r}")
    day, clock, fraction = match.groups()
    # The C library's strptime, which considers time zone and locale, takes ten times as long.
    moment = datetime.fromisoformat(f"{day}T{clock[:4]}{min(clock[4:], '59')}+0000")
    return int(moment.timestamp()) * 10**9 + int((fraction or "0")[:9].ljust(9, "0"))


def parse_size(value: str | float) -> int:
    """Return bytes for ``10Mi``, ``64MiB``, ``5k``, ``1024``; units with ``i`` are powers of 1024.

    Raises ValueError for any other text, as ``parse_duration`` does.
    """
    if isinstance(value, float):
        raise ValueError(f"not a size like 64Mi: {value!r}")  # noqa: TRY004  callers catch it
    return int(_quantity(value, _SIZES, "a size like 64Mi"))


def parse_duration(value: str | float) -> float:
    """Return seconds for ``300``, ``5m``, ``1.5h``, ``2d``, ``1w`` (units of sr3_options(7))."""
    return _quantity(value, _SECONDS, "a duration like 5m")


def parse_rate(value: object) -> int:
    """Return bytes per second for ``100 Mbit/s`` or ``12.5 MB/s``; units are powers of 1000."""
    match = _RATE.fullmatch(str(value))
    if match is None:
        raise ValueError(f"not a rate like 100 Mbit/s: {value!r}")
    return int(float(match[1]) * _PREFIXES[match[2]] / (8 if match[3] == "bit" else 1))


def parse_mode(value: object) -> int:
    """Return the file mode for the octal digits ``644`` or ``0644``."""
    if isinstance(value, str) and _MODE.fullmatch(value):
        return int(value, 8)
    raise ValueError(f'not a mode like "644" (in quotes): {value!r}')


def _quantity(value: str | float, units: dict[str, int], expected: str) -> float:
    match = _NUMBER.fullmatch(str(value))
    if match is None or match[2].lower() not in units:
        raise ValueError(f"not {expected}: {value!r}")
    return float(match[1]) * units[match[2].lower()]


def plain_size(count: int) -> str | int:
    """Return a number of bytes as ``parse_size`` reads it: ``64Mi``, or the number itself."""
    for power, unit in ((5, "Pi"), (4, "Ti"), (3, "Gi"), (2, "Mi"), (1, "Ki")):
        if count and count % 1024**power == 0:
            return f"{count // 1024**power}{unit}"
    return count


def plain_duration(seconds: float) -> str:
    """Return seconds as ``parse_duration`` reads them: ``5m``, ``0.5s``."""
    for unit in "dhm":
        if seconds and seconds % _SECONDS[unit] == 0:
            return f"{seconds / _SECONDS[unit]:.0f}{unit}"
    return f"{int(seconds) if seconds == int(seconds) else seconds}s"


def show_size(count: float) -> str:
    """Return a number of bytes for people: ``1.5 GiB``."""
    unit = 0
    while count >= 1024 and unit < len(_BINARY) - 1:  # noqa: PLR2004  the step of binary units
        count, unit = count / 1024, unit + 1
    return f"{count:.0f} {_BINARY[unit]}" if unit == 0 else f"{count:.1f} {_BINARY[unit]}"


def show_share(used: int, limit: int | None) -> str:
    """Return a number of bytes, and of which limit, for people: ``1.5 GiB of 2.0 GiB (75 %)``."""
    if not limit:
        return show_size(used)
    return f"{show_size(used)} of {show_size(limit)} ({100 * used / limit:.0f} %)"


def show_duration(seconds: float) -> str:
    """Return a duration for people: ``59 s``, ``5 min``, ``1 h 20 min``, ``2 d 7 h``."""
    days, rest = divmod(max(0, int(seconds)), _SECONDS["d"])
    hours, minutes = divmod(rest // 60, 60)
    if days or hours:
        counts = ((days, "d"), (hours, "h")) if days else ((hours, "h"), (minutes, "min"))
        return " ".join(f"{count} {unit}" for count, unit in counts if count)
    return f"{minutes} min" if minutes else f"{rest} s"


def show_time(text: str) -> str:
    """Return a Sarracenia time string for people: ``2026-11-23 22:28:59``."""
    text = time_string(nanoseconds(text))
    return f"{text[:4]}-{text[4:6]}-{text[6:8]} {text[9:11]}:{text[11:13]}:{text[13:15]}"


def printable(name: str) -> str:
    r"""Return a name as one line that is safe for a terminal, with ``\xNN`` for unsafe bytes."""
    if name.isprintable():
        return name
    raw = name.encode(errors="surrogateescape").decode(errors="backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in raw)

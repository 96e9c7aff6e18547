"""Times, sizes and durations as Sarracenia writes them and people read them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarra_lite import units


@given(st.integers(0, 4 * 10**18))
def test_a_time_is_read_as_it_was_written(moment: int) -> None:
    assert units.nanoseconds(units.time_string(moment)) == moment


@pytest.mark.parametrize("text", ["", "yesterday", "20261301T000000", "2026", "20260101T000000Zx"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  any line will do
        units.nanoseconds(text)


@pytest.mark.parametrize(
    ("text", "count"),
    [("0", 0), (1024, 1024), ("5k", 5000), ("5Ki", 5120), ("10Mi", 10 * 1024**2), ("64MiB", 2**26),
     ("1.5G", 1_500_000_000), ("3 b", 3)],
)  # fmt: skip
def test_sizes(text: str | int, count: int) -> None:
    assert units.parse_size(text) == count


@pytest.mark.parametrize(
    ("text", "seconds"), [("300", 300), ("5m", 300), ("1.5h", 5400), ("2d", 172800), ("1w", 604800)]
)
def test_durations(text: str, seconds: float) -> None:
    assert units.parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "many", "5x", "-1", "1e9"])
def test_what_is_neither_is_refused(text: str) -> None:
    for parse in (units.parse_size, units.parse_duration):
        with pytest.raises(ValueError):  # noqa: PT011  any line will do
            parse(text)


@given(st.binary(max_size=40))
def test_any_name_is_one_harmless_line(raw: bytes) -> None:
    shown = units.printable(raw.decode(errors="surrogateescape"))
    assert shown.isprintable() or not shown
    shown.encode()


def test_people_read_sizes_and_times() -> None:
    assert units.show_size(0) == "0 B"
    assert units.show_size(1.5 * 1024**3) == "1.5 GiB"
    assert units.show_duration(0.123) == "0.12 s"
    assert units.show_duration(75) == "1 min 15 s"
    assert units.show_duration(7500) == "2 h 05 min"

"""Options are checked all at once; each error names its place and says what to do."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarra_lite import units
from sarra_lite.config.commands import COMMANDS, PostConfig, SenderConfig
from sarra_lite.config.schema import Option, build, options, shown
from sarra_lite.errors import ConfigError

if TYPE_CHECKING:
    from sarra_lite.config.shared import BrokerConfig

BROKER = "amqps://uearnest@broker.example/"
NEEDED = {"broker": BROKER, "sendTo": "sftp://ear001@host.example/"}
EVERY = [(config, option) for config in COMMANDS.values() for option in options(config)]


def ids(value: object) -> str:
    return value.key if isinstance(value, Option) else getattr(value, "component", "")


def wrong(config: type[BrokerConfig], **values: Any) -> list[str]:
    """Lines that a configuration is refused with; none when it is right."""
    try:
        build(config, values, {key: f"F: {key}" for key in values} | {"": "F"})
    except ConfigError as error:
        return str(error).splitlines()
    return []


def test_what_is_needed_is_enough() -> None:
    assert wrong(SenderConfig, **NEEDED) == []


def test_an_unknown_key_is_refused_and_one_that_is_spelt_like_it_offered() -> None:
    assert wrong(SenderConfig, **NEEDED, blokSize=3) == [
        "F: blokSize: unknown key; did you mean blockSize?"
    ]
    assert wrong(SenderConfig, **NEEDED, zzz=3) == ["F: zzz: unknown key"]


def test_fields_that_are_no_options_are_unknown_keys() -> None:
    assert wrong(SenderConfig, **NEEDED, name="x")[0].startswith("F: name: unknown key")


def test_what_is_missing_is_told_with_what_it_is_for() -> None:
    assert wrong(SenderConfig) == [
        "F: broker is missing; Broker to connect to",
        "F: sendTo is missing; SFTP host to send to",
    ]


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("broker", 5, "expected a text, got a whole number"),
        ("tlsCaFile", 5, "expected a text, got a whole number"),
        ("connections", "4", "expected a whole number, got a text"),
        ("connections", True, "expected a whole number, got true or false"),
        ("permCopy", "yes", "expected true or false, got a text"),
        ("subtopic", "#", "expected a list, got a text"),
        ("subtopic", ["#", 1], "expected a text, got a whole number - at item 2"),
        ("permDefault", 644, 'not a mode like "644" (in quotes): 644'),
        ("permDefault", "689", "not a mode like \"644\" (in quotes): '689'"),
        ("stream", "telnet", "not one of auto, ssh, paramiko"),
        ("blockSize", "64 apples", "not a size like 64Mi: '64 apples'"),
        ("blockSize", True, "not a text or whole number: True"),
        ("timeout", "soon", "not a duration like 5m: 'soon'"),
        ("timeout", [], "not a text or whole number: []"),
        ("rules", "accept", "not a list of tables"),
        ("rules", [".*"], "rule 1: not a table"),
    ],
)
def test_a_value_of_a_wrong_type_is_refused(key: str, value: object, text: str) -> None:
    assert wrong(SenderConfig, **{**NEEDED, key: value}) == [f"F: {key}: {text}"]


def test_errors_of_type_and_of_meaning_are_told_together() -> None:
    assert wrong(SenderConfig, broker=5, flatten="", connections=-1, permCopy="x") == [
        "F: broker: expected a text, got a whole number",
        "F: permCopy: expected true or false, got a text",
        "F: sendTo is missing; SFTP host to send to",
        "F: flatten: is empty",
        "F: connections: must be between 0 and 64",
    ]


def test_each_error_of_each_rule_is_told() -> None:
    rules = [{"accpt": ".*", "directory": 3}, {"accept": "a", "strip": -1}, {"accept": "a"}]
    assert wrong(SenderConfig, **NEEDED, rules=rules) == [
        "F: rules: rule 1: accpt: unknown key; did you mean accept?",
        "F: rules: rule 1: directory: expected a text, got a whole number",
        "F: rules: rule 2: strip: expected a whole number >= 0",
    ]


def test_values_of_a_table_are_checked() -> None:
    assert wrong(PostConfig, broker=BROKER, header={"project": 1}) == [
        "F: header: expected a text, got a whole number - at a value"
    ]


def test_durations_may_be_numbers_with_a_fraction() -> None:
    made = build(PostConfig, {"broker": BROKER, "settle": 0.5}, {})
    assert made.settle == 0.5


@pytest.mark.parametrize(("config", "option"), EVERY, ids=ids)
def test_the_example_of_every_option_is_right(config: type[BrokerConfig], option: Option) -> None:
    assert option.text.endswith(".")
    value = tomllib.loads(f"it = {option.example}")["it"]
    assert option.plain(option.convert(value)) in (value, option.plain(option.standin()))
    assert config.component


@pytest.mark.parametrize(("config", "option"), EVERY, ids=ids)
def test_a_default_is_shown_as_it_would_be_written(
    config: type[BrokerConfig], option: Option
) -> None:
    assert config.component
    if option.default not in (None, "", [], {}):
        plain = option.plain(option.default)
        assert option.convert(plain) == option.default
        assert shown(option) in (str(plain), "yes", "no", "#")


@given(st.integers(min_value=0, max_value=2**60))
def test_a_size_is_written_so_that_it_reads_the_same(count: int) -> None:
    # Above 2**53 sizes are read to 15 digits, as floating point has it.
    assert units.parse_size(units.plain_size(count)) == pytest.approx(count, rel=1e-15)


@given(st.floats(min_value=0.001, max_value=1e9))
def test_a_duration_is_written_so_that_it_reads_the_same(seconds: float) -> None:
    assert units.parse_duration(units.plain_duration(seconds)) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("seconds", "text"), [(86400, "1d"), (300, "5m"), (7200, "2h"), (0.5, "0.5s"), (0, "0s")]
)
def test_durations_are_written_in_the_largest_unit_that_fits(seconds: float, text: str) -> None:
    assert units.plain_duration(seconds) == text

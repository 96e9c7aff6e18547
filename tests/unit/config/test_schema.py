"""All errors of a configuration are reported together, each with file and key."""

from __future__ import annotations

import inspect
import re
import tomllib
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarra_lite import units
from sarra_lite.config.commands import COMMANDS, PostConfig, SenderConfig
from sarra_lite.config.schema import Option, build, options
from sarra_lite.errors import ConfigError

if TYPE_CHECKING:
    from sarra_lite.config.shared import BrokerConfig

BROKER = "amqps://uearnest@broker.example/"
NEEDED = {"broker": BROKER, "sendTo": "sftp://ear001@host.example/"}
ALL_OPTIONS = {
    f"{component}-{option.key}": option
    for component, config in COMMANDS.items()
    for option in options(config)
}


def errors(config: type[BrokerConfig], **values: Any) -> list[str]:
    """Return the errors of a configuration that was read from the file F."""
    try:
        build(config, values, "F")
    except ConfigError as error:
        return str(error).splitlines()
    return []


def test_required_options_are_sufficient() -> None:
    assert errors(SenderConfig, **NEEDED) == []


def test_an_unknown_key_is_refused_and_a_similar_one_suggested() -> None:
    assert errors(SenderConfig, **NEEDED, blokSize=3) == [
        "F: blokSize: unknown key; did you mean blockSize?"
    ]
    assert errors(SenderConfig, **NEEDED, zzz=3) == ["F: zzz: unknown key"]


def test_fields_that_are_not_options_are_unknown_keys() -> None:
    assert errors(SenderConfig, **NEEDED, name="x")[0].startswith("F: name: unknown key")


def test_a_missing_option_is_reported_with_its_meaning() -> None:
    assert errors(SenderConfig) == [
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
        ("blockSize", True, "not a size like 64Mi: True"),
        ("blockSize", 1.5, "not a size like 64Mi: 1.5"),
        ("blockSize", -1, "not a size like 64Mi: -1"),
        ("limit", "-1Mi", "not a size like 64Mi: '-1Mi'"),
        ("timeout", "soon", "not a duration like 5m: 'soon'"),
        ("timeout", [], "not a duration like 5m: []"),
        ("timeout", 0, "expected a number > 0.0"),
        ("connections", 65, "expected a whole number <= 64"),
        ("connections", -1, "expected a whole number >= 0"),
        ("prefetch", 65536, "expected a whole number <= 65535"),
        ("strip", -1, "expected a whole number >= 0"),
        ("rules", "accept", "expected a list, got a text"),
        ("rules", [".*"], "rule 1: not a table"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused(key: str, value: object, text: str) -> None:
    assert errors(SenderConfig, **{**NEEDED, key: value}) == [f"F: {key}: {text}"]


def test_wrong_types_and_wrong_values_are_reported_together() -> None:
    assert errors(SenderConfig, broker=5, flatten="", connections=-1, permCopy="x") == [
        "F: broker: expected a text, got a whole number",
        "F: connections: expected a whole number >= 0",
        "F: permCopy: expected true or false, got a text",
        "F: sendTo is missing; SFTP host to send to",
        "F: flatten: is empty",
    ]


def test_each_error_of_each_rule_is_reported() -> None:
    rules = [{"accpt": ".*", "directory": 3}, {"accept": "a", "strip": -1}, {"accept": "a"}]
    assert errors(SenderConfig, **NEEDED, rules=rules) == [
        "F: rules: rule 1: accpt: unknown key; did you mean accept?",
        "F: rules: rule 1: directory: expected a text, got a whole number",
        "F: rules: rule 2: strip: expected a whole number >= 0",
    ]


def test_values_of_a_table_are_checked() -> None:
    assert errors(PostConfig, broker=BROKER, header={"project": 1}) == [
        "F: header: expected a text, got a whole number - at a value"
    ]


def test_durations_may_be_numbers_with_a_fraction() -> None:
    config = build(PostConfig, {"broker": BROKER, "settle": 0.5}, "F")
    assert config.settle == 0.5


@pytest.mark.parametrize("option", ALL_OPTIONS.values(), ids=ALL_OPTIONS)
def test_the_example_of_every_option_is_valid(option: Option) -> None:
    assert option.text.endswith(".")
    value = tomllib.loads(f"value = {option.example}")["value"]
    converted = option.convert(value)
    assert option.convert(option.to_toml(converted)) == converted


@pytest.mark.parametrize("option", ALL_OPTIONS.values(), ids=ALL_OPTIONS)
def test_a_default_is_shown_as_the_user_would_write_it(option: Option) -> None:
    if option.default not in (None, "", [], {}):
        value = option.to_toml(option.default)
        assert option.convert(value) == option.default
        written = " ".join(value) if option.kind == "list" else str(value)
        assert option.default_text in (written, "yes", "no")


@pytest.mark.parametrize("config", COMMANDS.values(), ids=COMMANDS)
def test_the_docstring_of_a_configuration_has_no_text_without_an_option(
    config: type[BrokerConfig],
) -> None:
    docs = "\n".join(inspect.getdoc(parent) or "" for parent in config.__mro__)
    keys = re.findall(r"^(\w+): ", docs, re.MULTILINE)
    assert sorted(keys) == sorted(option.key for option in options(config))


@given(st.integers(min_value=0, max_value=2**60))
def test_parsing_a_written_size_returns_the_same_size(count: int) -> None:
    # Above 2**53 the parser keeps 15 digits, the precision of floating point.
    assert units.parse_size(units.plain_size(count)) == pytest.approx(count, rel=1e-15)


@given(st.floats(min_value=0.001, max_value=1e9))
def test_parsing_a_written_duration_returns_the_same_duration(seconds: float) -> None:
    assert units.parse_duration(units.plain_duration(seconds)) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("seconds", "text"), [(86400, "1d"), (300, "5m"), (7200, "2h"), (0.5, "0.5s"), (0, "0s")]
)
def test_durations_are_written_in_the_largest_unit_that_fits(seconds: float, text: str) -> None:
    assert units.plain_duration(seconds) == text

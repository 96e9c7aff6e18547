"""Conversion of TOML values to Python types, with errors in the terms of TOML.

msgspec alone reports only the first error, and names Python's types.
"""

from __future__ import annotations

import difflib
import re
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_TOML_TERMS: Final = {
    "str": "a text",
    "int": "a whole number",
    "bool": "true or false",
    "array": "a list",
    "object": "a table",
    "float": "a number",
}


def text_or_integer(value: Any) -> str | int:
    """Return the value; raise ValueError unless it is text or a whole number."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError(f"not a text or whole number: {value!r}")  # noqa: TRY004  callers catch it
    return value


def convert(value: Any, wanted: Any) -> Any:
    """Return a value converted to the type ``wanted``; raise ValueError when it has another."""
    try:
        return msgspec.convert(value, wanted)
    except msgspec.ValidationError as error:
        text = re.sub(r"`([^`]*)`", _toml_term, str(error))
        raise ValueError(text[:1].lower() + text[1:]) from None


def convert_table(
    table: Mapping[str, Any], converters: Mapping[str, Callable[[Any], Any]]
) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """Return the converted values of a table, and key and message of each error."""
    values: dict[str, Any] = {}
    errors: list[tuple[str, str]] = []
    for key, value in table.items():
        if key not in converters:
            similar = difflib.get_close_matches(key, converters, 1, 0.6)
            hint = f"; did you mean {similar[0]}?" if similar else ""
            errors.append((key, f"unknown key{hint}"))
            continue
        try:
            values[key] = converters[key](value)
        except ValueError as error:
            errors += [(key, line) for line in str(error).splitlines()]
    return values, errors


def rules(value: Any, rule: type[msgspec.Struct]) -> list[Any]:
    """Return a ``rule`` for each table of a list; raise ValueError with one line for each error."""
    if not isinstance(value, list):
        raise ValueError("not a list of tables")  # noqa: TRY004  callers catch it
    fields = msgspec.structs.fields(rule)
    converters = {field.name: partial(convert, wanted=field.type) for field in fields}
    converted, errors = [], []
    for number, table in enumerate(value, start=1):
        if not isinstance(table, dict):
            errors.append(f"rule {number}: not a table")
            continue
        values, wrong = convert_table(table, converters)
        converted.append(rule(**values))
        errors += [f"rule {number}: {key}: {text}" for key, text in wrong]
    if errors:
        raise ValueError("\n".join(errors))
    return converted


def _toml_term(quoted: re.Match[str]) -> str:
    """Return TOML's term for a type, or a place such as ``$[1]``, in a message of msgspec."""
    name = quoted[1]
    if name.startswith("$"):
        number = name[2:-1]
        return f"item {int(number) + 1}" if number.isdecimal() else "a value"
    return " or ".join(_TOML_TERMS.get(part, part) for part in name.split(" | ") if part != "null")

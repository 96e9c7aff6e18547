"""What an option is: declared once, as a field of a configuration struct.

The check of a file, the command line, the example and the manual page are made from the same
declaration.
"""

from __future__ import annotations

import difflib
import re
import tomllib
import typing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

import msgspec

from sarra_lite import units
from sarra_lite.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


class BaseConfig(msgspec.Struct, frozen=True, kw_only=True):
    """A configuration: each annotated field is an option."""

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield key and reason for each value that cannot be used as it stands."""
        yield from ()


Config = TypeVar("Config", bound=BaseConfig)
Kind = Literal["text", "size", "duration", "mode", "count", "flag", "list", "table", "rules"]
_OCTAL: Final = re.compile(r"[0-7]{3,4}")
_TYPES: Final = {
    "str": "a text",
    "int": "a whole number",
    "bool": "true or false",
    "array": "a list",
    "object": "a table",
    "float": "a number",
}


def option(text: str, kind: Kind = "text", *, example: str = "", metavar: str = "") -> msgspec.Meta:
    """Annotate a field: ``text`` explains it to the user, ``example`` is TOML that sets it."""
    return msgspec.Meta(
        description=text, extra={"kind": kind, "example": example, "metavar": metavar}
    )


@dataclass(frozen=True)
class Option:
    """One option of a command.  ``type`` is what msgspec converts its value to."""

    key: str
    type: Any
    kind: Kind
    text: str
    example: str
    metavar: str
    default: Any
    required: bool

    @property
    def flag(self) -> str:
        """How it is spelt on the command line: ``--base-url`` for baseUrl."""
        if self.kind == "rules":
            return "--accept/--reject"
        return "--" + re.sub(r"(?<=[a-z])(?=[A-Z])|_", "-", self.key).lower()

    @property
    def choices(self) -> tuple[str, ...] | None:
        """Values it can have, where they are few."""
        if typing.get_origin(self.type) is Literal:
            return typing.get_args(self.type)
        return None

    def convert(self, value: Any, *, strict: bool = True) -> Any:
        """Return the value as the program uses it; ValueError has a line for each thing wrong.

        Not ``strict``: numbers may be written as text, as on a command line.
        """
        match self.kind:
            case "size":
                return units.parse_size(_plain(value))
            case "duration":
                return units.parse_duration(value if isinstance(value, float) else _plain(value))
            case "mode":
                if not isinstance(value, str) or not _OCTAL.fullmatch(value):
                    raise ValueError(f'not a mode like "644" (in quotes): {value!r}')
                return int(value, 8)
            case "rules":
                return _tables(value, typing.get_args(self.type)[0])
            case _:
                try:
                    return msgspec.convert(value, self.type, strict=strict)
                except msgspec.ValidationError as error:
                    text = f"not one of {', '.join(self.choices)}" if self.choices else ""
                    raise ValueError(text or _readable(error)) from None

    def plain(self, value: Any) -> Any:
        """Return a value of the program as a file has it: the contrary of ``convert``."""
        match self.kind:
            case "size":
                return units.plain_size(value)
            case "duration":
                return units.plain_duration(value)
            case "mode":
                return f"{value:o}"
            case "rules":
                tables = msgspec.to_builtins(value)
                return [{k: v for k, v in table.items() if v is not None} for table in tables]
            case _:
                return value

    def standin(self) -> Any:
        """Return a value that is right, to go on with the check of others."""
        return self.convert(tomllib.loads(f"it = {self.example}")["it"])


def options(config: type[msgspec.Struct]) -> tuple[Option, ...]:
    """Return all options of a configuration, in the order of their declaration."""
    hints = typing.get_type_hints(config, include_extras=True)
    return tuple(
        _option(field, hints[field.name], field.name)
        for field in msgspec.structs.fields(config)
        if field.name in hints and typing.get_origin(hints[field.name]) is typing.Annotated
    )


def _option(field: msgspec.structs.FieldInfo, hint: Any, key: str) -> Option:
    plain, meta = typing.get_args(hint)[:2]
    default = field.default
    if field.default_factory is not msgspec.NODEFAULT:
        default = field.default_factory()
    return Option(
        key,
        plain,
        meta.extra["kind"],
        meta.description,
        meta.extra["example"],
        meta.extra["metavar"],
        None if default is msgspec.NODEFAULT else default,
        field.required,
    )


def build(
    config: type[Config], values: Mapping[str, Any], where: Mapping[str, str], **fixed: object
) -> Config:
    """Return the checked configuration; ConfigError has a line for each thing that is wrong.

    ``where`` names, for each key of ``values``, the place that its line begins with; the key
    ``""`` is the place where what is missing should be.  ``fixed`` are fields that are no options.
    """
    known = {option.key: option for option in options(config)}
    converted: dict[str, Any] = {}
    errors = []
    for key, value in values.items():
        if key not in known:
            errors.append(f"{where[key]}: {_unknown(key, known)}")
            continue
        try:
            converted[key] = known[key].convert(value)
        except ValueError as error:
            errors += [f"{where[key]}: {line}" for line in str(error).splitlines()]
    lacking = {key: option for key, option in known.items() if option.required}
    errors += [
        f"{where['']}: {key} is missing; {option.text.partition('.')[0]}"
        for key, option in lacking.items()
        if key not in values
    ]
    standins = {k: option.standin() for k, option in lacking.items() if k not in converted}
    made = config(**standins, **converted, **fixed)
    errors += [f"{where.get(key, where[''])}: {text}" for key, text in made.problems()]
    if errors:
        raise ConfigError("\n".join(errors))
    return made


def shown(option: Option) -> str:
    """Return the default as it would be written in TOML or on a command line; empty for none."""
    default = option.default
    if default in (None, "", [], {}):
        return ""
    match option.kind:
        case "flag":
            return "yes" if default else "no"
        case "list":
            return " ".join(default)
        case _:
            return str(option.plain(default))


def _unknown(key: str, known: Iterable[str]) -> str:
    """Say of a key that no option has."""
    near = difflib.get_close_matches(key, known, 1, 0.6)
    return f"unknown key; did you mean {near[0]}?" if near else "unknown key"


def _plain(value: Any) -> str | int:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError(f"not a text or whole number: {value!r}")  # noqa: TRY004  one kind of error
    return value


def _tables(value: Any, made: type[msgspec.Struct]) -> list[Any]:
    """Structs from a list of tables, of which each error of each is told."""
    if not isinstance(value, list):
        raise ValueError("not a list of tables")  # noqa: TRY004  one kind of error
    types = {field.name: field.type for field in msgspec.structs.fields(made)}
    errors = [
        f"rule {number}: {text}"
        for number, table in enumerate(value, start=1)
        for text in _wrong(table, types)
    ]
    if errors:
        raise ValueError("\n".join(errors))
    return [msgspec.convert(table, made) for table in value]


def _wrong(table: Any, types: Mapping[str, Any]) -> Iterator[str]:
    if not isinstance(table, dict):
        yield "not a table"
        return
    for key, value in table.items():
        if key not in types:
            yield f"{key}: {_unknown(key, types)}"
            continue
        try:
            msgspec.convert(value, types[key])
        except msgspec.ValidationError as error:
            yield f"{key}: {_readable(error)}"


def _readable(error: msgspec.ValidationError) -> str:
    """Msgspec's line in words that fit a TOML file."""

    def plainly(quoted: re.Match[str]) -> str:
        name = quoted[1]
        if name.startswith("$"):
            number = name[2:-1]
            return f"item {int(number) + 1}" if number.isdecimal() else "a value"
        return " or ".join(_TYPES.get(word, word) for word in name.split(" | ") if word != "null")

    text = re.sub(r"`([^`]*)`", plainly, str(error))
    return text[:1].lower() + text[1:]

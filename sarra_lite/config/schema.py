"""The declaration of options: each annotated field of a configuration struct is one option.

The check of a configuration file, the command line, the example and the reference pages are all
generated from this declaration.  Keys have the spelling of sr3 (sr3_options(7)) if sr3 has the
option.
"""

from __future__ import annotations

import re
import tomllib
import typing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

import msgspec

from sarra_lite import units
from sarra_lite.config import toml_values
from sarra_lite.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class BaseConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all configurations.  Fields annotated with ``option`` are options."""

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield key and reason for each value that has the right type but cannot be used."""
        yield from ()


Config = TypeVar("Config", bound=BaseConfig)
_KINDS: Final = {bool: "flag", int: "count", float: "duration", list[str]: "list"}
_OCTAL: Final = re.compile(r"[0-7]{3,4}")


def option(text: str, *, example: str = "", kind: str = "") -> msgspec.Meta:
    """Annotate a field: ``text`` explains the option to the user, ``example`` is its TOML value.

    ``kind`` says what a text or number means: text, URL, file, directory, age, size, mode, table or
    rules.  Other kinds follow from the type: flag, count, duration, list.  The example of a flag is
    the opposite of its default.
    """
    return msgspec.Meta(description=text, extra={"example": example, "kind": kind})


@dataclass(frozen=True)
class Option:
    """One option of a command.  ``type`` is the type that msgspec converts its value to."""

    key: str
    type: Any
    kind: str
    text: str
    example: str
    default: Any
    required: bool

    @property
    def flag(self) -> str:
        """The command-line flag: ``--base-url`` for the key baseUrl."""
        if self.kind == "rules":
            return "--accept/--reject"
        return "--" + re.sub(r"(?<=[a-z])(?=[A-Z])|_", "-", self.key).lower()

    @property
    def choices(self) -> tuple[str, ...] | None:
        """The permitted values of an enumeration, None for any other option."""
        return typing.get_args(self.type) if typing.get_origin(self.type) is Literal else None

    @property
    def default_text(self) -> str:
        """The default as the user would write it; empty where there is none."""
        if self.default in (None, "", [], {}):
            return ""
        match self.kind:
            case "flag":
                return "yes" if self.default else "no"
            case "list":
                return " ".join(self.default)
            case _:
                return str(self.to_toml(self.default))

    @property
    def example_value(self) -> Any:
        """The value that the example sets, as the program uses it."""
        return self.convert(tomllib.loads(f"value = {self.example}")["value"])

    def convert(self, value: Any) -> Any:
        """Return a value of a file or command line in the form that the program uses.

        Raises ValueError with one line for each error.
        """
        match self.kind:
            case "size":
                return units.parse_size(toml_values.text_or_integer(value))
            case "duration":
                number = value if isinstance(value, float) else toml_values.text_or_integer(value)
                return units.parse_duration(number)
            case "mode":
                if not isinstance(value, str) or not _OCTAL.fullmatch(value):
                    raise ValueError(f'not a mode like "644" (in quotes): {value!r}')
                return int(value, 8)
            case "rules":
                return toml_values.rules(value, typing.get_args(self.type)[0])
            case _ if self.choices and value not in self.choices:
                raise ValueError(f"not one of {', '.join(self.choices)}")
            case _:
                return toml_values.convert(value, self.type)

    def to_toml(self, value: Any) -> Any:
        """Return a value of the program in the form that a file has: the inverse of ``convert``."""
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


def options(config: type[msgspec.Struct]) -> tuple[Option, ...]:
    """Return all options of a configuration, in the order of their declaration."""
    return tuple(
        _option(field, *typing.get_args(field.type)[:2])
        for field in msgspec.structs.fields(config)
        if typing.get_origin(field.type) is typing.Annotated
    )


def _option(field: msgspec.structs.FieldInfo, field_type: Any, meta: Any) -> Option:
    default = None if field.default is msgspec.NODEFAULT else field.default
    if field.default_factory is not msgspec.NODEFAULT:
        default = field.default_factory()
    return Option(
        key=field.name,
        type=field_type,
        kind=meta.extra["kind"] or _KINDS.get(field_type, "text"),
        text=meta.description,
        example=meta.extra["example"] or ("false" if default else "true"),
        default=default,
        required=field.required,
    )


def build(
    config: type[Config],
    values: Mapping[str, Any],
    source: str,
    flags: Mapping[str, str] | None = None,
    **fixed: object,
) -> Config:
    """Return the checked configuration; raise ConfigError with one line for each error.

    A line begins with ``source``, the file, and the key, or with the key's entry in ``flags`` when
    the value is from the command line.  ``fixed`` are fields that are not options.
    """
    known = {option.key: option for option in options(config)}
    places = {key: f"{source}: {key}" for key in values} | dict(flags or {})
    converters = {key: option.convert for key, option in known.items()}
    converted, wrong = toml_values.convert_table(values, converters)
    errors = [f"{places[key]}: {text}" for key, text in wrong]
    required = {key: option for key, option in known.items() if option.required}
    errors += [
        f"{source}: {key} is missing; {option.text.partition('.')[0]}"
        for key, option in required.items()
        if key not in values
    ]
    # With the example in place of a required value that is wrong, the other values can be checked.
    placeholders = {k: option.example_value for k, option in required.items() if k not in converted}
    instance = config(**placeholders, **converted, **fixed)
    errors += [f"{places.get(key, source)}: {text}" for key, text in instance.problems()]
    if errors:
        raise ConfigError("\n".join(errors))
    return instance

"""The declaration of options and their check.

An option is a field of a configuration that is made by ``option``, and a line ``key: text`` in the
docstring of the class.  The command line, the example and the reference pages are generated from
both.  Keys have the spelling of sr3 (sr3_options(7)) if sr3 has the option.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import inspect
import re
import tomllib
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING
from types import MappingProxyType
from typing import Any, ClassVar, Final, Literal, TypeVar

import msgspec

from sarra_lite import units
from sarra_lite.config import credentials
from sarra_lite.errors import ConfigError

Table = Mapping[str, Any]
Errors = list[tuple[str, str]]  # key and message of each

_NONE: Final[Table] = MappingProxyType({})
# An option in a docstring: its key at the beginning of a line, further lines are indented.
_TEXT: Final = re.compile(r"^(\w+): (.*(?:\n +.*)*)", re.MULTILINE)
_KINDS: Final = {bool: "flag", int: "count", float: "duration", list: "list", dict: "table"}
# How a value of these kinds is read from a file, and how it is written.
_NOTATIONS: Final[dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]]] = {
    "size": (units.parse_size, units.plain_size),
    "duration": (units.parse_duration, units.plain_duration),
    "mode": (units.parse_mode, "{:o}".format),
}
_TOML_TERMS: Final = {
    "str": "a text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "a table",
    "$[...]": "a value",
}


def option(
    *, default: Any = MISSING, example: str = "", kind: str = "", schemes: Sequence[str] = ()
) -> Any:
    """Declare a field as an option; its text for users is in the docstring of the class.

    ``example`` is its TOML value; that of a flag is by default the opposite of its default.
    ``kind`` says what a text or number means: text, URL, file, directory, age, size, mode or rules.
    Other kinds follow from the type: flag, count, duration, list, table.  A URL with ``schemes`` is
    one of a host and user, an Endpoint.  An option without a default must be set.
    """
    required = default is MISSING
    metadata = {
        "example": example or ("false" if default is True else "true"),
        "kind": kind,
        "schemes": schemes,
        "default": None if required else default,
        "required": required,
    }
    # A configuration is never changed, so all may have the same list.
    factory: Any = MISSING if required else lambda: default
    return dataclasses.field(default_factory=factory, metadata=metadata)


@typing.dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(option,))
class BaseConfig:
    """Base of all configurations.  Its subclasses become frozen dataclasses."""

    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]

    def __init_subclass__(cls) -> None:
        """Make the subclass a dataclass, without methods that nothing calls: imports are faster."""
        dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)(cls)

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield key and reason for each value that has the right type but cannot be used."""
        yield from ()


Config = TypeVar("Config", bound=BaseConfig)


@dataclasses.dataclass(frozen=True)
class Option:
    """One option of a command.  ``type`` is the type that msgspec converts its value to."""

    key: str
    type: Any
    text: str
    example: str
    kind: str
    schemes: Sequence[str]
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
        if self.kind == "flag":
            return "yes" if self.default else "no"
        return " ".join(self.default) if self.kind == "list" else str(self.to_toml(self.default))

    def convert(self, value: Any) -> Any:
        """Return a value of a file or command line in the form that the program uses.

        Raises ValueError with one line for each error.
        """
        if self.kind == "rules":
            return structs(value, typing.get_args(self.type)[0])
        if self.choices and value not in self.choices:
            raise ValueError(f"not one of {', '.join(self.choices)}")
        if self.schemes:
            return credentials.parse_public_url(_convert(value, str), self.schemes)
        if self.kind in _NOTATIONS:
            value = _NOTATIONS[self.kind][0](value)
        if self.kind in ("directory", "file") and str(value).startswith("~"):
            raise ValueError("only shells expand ~; write the directory that it stands for")
        return _convert(value, self.type)

    def to_toml(self, value: Any) -> Any:
        """Return a value of the program in the form that a file has: the inverse of ``convert``."""
        if self.kind in _NOTATIONS:
            return _NOTATIONS[self.kind][1](value)
        return str(value) if self.schemes else msgspec.to_builtins(value)


def options(config: type[BaseConfig]) -> tuple[Option, ...]:
    """Return all options of a configuration, in the order of their declaration."""
    types = typing.get_type_hints(config, include_extras=True)
    docs = "\n".join(inspect.getdoc(parent) or "" for parent in config.__mro__)
    texts = {key: " ".join(text.split()) for key, text in _TEXT.findall(docs)}
    declared = []
    for field in dataclasses.fields(config):
        if field.metadata:
            key, value_type = field.name, types[field.name]
            # list[str] and Annotated[int, ...] are named by their origin.
            implied = _KINDS.get(getattr(value_type, "__origin__", value_type), "text")
            details: dict[str, Any] = {**field.metadata, "kind": field.metadata["kind"] or implied}
            declared.append(Option(key, value_type, texts[key], **details))
    return tuple(declared)


def build(
    config: type[Config], values: Table, source: str, overrides: Table = _NONE, **fixed: object
) -> Config:
    """Return what ``check`` returns; raise ConfigError with one line for each error."""
    instance, errors = check(config, values, source, overrides, **fixed)
    if errors:
        raise ConfigError("\n".join(text for _, text in errors))
    return instance


def check(
    config: type[Config], values: Table, source: str, overrides: Table = _NONE, **fixed: object
) -> tuple[Config, Errors]:
    """Return a configuration, and key and message of each error.

    ``values`` are those of ``source``, a file; ``overrides`` are those of the command line.  A
    message begins with file and key, or with the flag.  ``fixed`` are fields that are not options.
    In place of a value of the wrong type there is the default, or the example if it must be set.
    """
    known = {option.key: option for option in options(config)}
    places = {key: f"{source}: {key}" for key in values} | {k: known[k].flag for k in overrides}
    converters = {key: option.convert for key, option in known.items()}
    converted, wrong = _convert_table({**values, **overrides}, converters)
    errors = [(key, f"{places[key]}: {text}") for key, text in wrong]
    for key, option in known.items():
        if option.required and key not in places:
            errors.append((key, f"{source}: {key} is missing; {option.text.partition('.')[0]}"))
        if option.required and key not in converted:
            converted[key] = option.convert(tomllib.loads(f"value = {option.example}")["value"])
    instance = config(**converted, **fixed)
    for key, text in instance.problems():
        errors.append((key, f"{places.get(key) or f'{source}: {key}'}: {text}"))
    return instance, errors


def _convert_table(
    table: Table, converters: Mapping[str, Callable[[Any], Any]]
) -> tuple[dict[str, Any], Errors]:
    """Return the converted values of a table, and key and message of each error."""
    values: dict[str, Any] = {}
    errors: Errors = []
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


def structs(value: Any, rule: type[msgspec.Struct], word: str = "rule") -> list[Any]:
    """Return a ``rule`` for each table of a list; ValueError has a line ``word 1: …`` an error."""
    types = {field.name: field.type for field in msgspec.structs.fields(rule)}
    converters = {key: functools.partial(_convert, wanted=wanted) for key, wanted in types.items()}
    converted, errors = [], []
    for number, table in enumerate(_convert(value, list[Any]), start=1):
        if not isinstance(table, dict):
            errors.append(f"{word} {number}: not a table")
            continue
        values, wrong = _convert_table(table, converters)
        converted.append(rule(**values))
        errors += [f"{word} {number}: {key}: {text}" for key, text in wrong]
    if errors:
        raise ValueError("\n".join(errors))
    return converted


def _convert(value: Any, wanted: Any) -> Any:
    """Return a value converted to the type ``wanted``.

    Raises ValueError in the terms of TOML, where msgspec names Python's types.
    """
    try:
        return msgspec.convert(value, wanted)
    except msgspec.ValidationError as error:
        text = str(error).replace(" | null", "")
        for name, term in _TOML_TERMS.items():
            text = text.replace(f"`{name}`", term)
        text = re.sub(r"`\$\[(\d+)\]`", lambda place: f"item {int(place[1]) + 1}", text)
        raise ValueError(text[:1].lower() + text[1:]) from None

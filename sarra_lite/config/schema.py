"""The declaration of options: fields of a configuration that are made by ``option``.

The check of a configuration file, the command line, the example and the reference pages are all
generated from this declaration.  Keys have the spelling of sr3 (sr3_options(7)) if sr3 has the
option.
"""

from __future__ import annotations

import dataclasses
import re
import tomllib
import typing
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, TypeVar

import msgspec

from sarra_lite import units
from sarra_lite.config import toml_values
from sarra_lite.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


_KINDS: Final = {bool: "flag", int: "count", float: "duration", list: "list", dict: "table"}
_OCTAL: Final = re.compile(r"[0-7]{3,4}")


def option(
    text: str,
    *,
    default: Any = dataclasses.MISSING,
    default_factory: Any = dataclasses.MISSING,
    example: str = "",
    kind: str = "",
) -> Any:
    """Declare a field: ``text`` explains the option to the user, ``example`` is its TOML value.

    ``kind`` says what a text or number means: text, URL, file, directory, age, size, mode or rules.
    Other kinds follow from the type: flag, count, duration, list, table.  The example of a flag is
    the opposite of its default.  An option without a default must be set.
    """
    metadata = {"text": text, "example": example, "kind": kind}
    return dataclasses.field(default=default, default_factory=default_factory, metadata=metadata)


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
                return msgspec.to_builtins(value)
            case _:
                return value


def options(config: type[BaseConfig]) -> tuple[Option, ...]:
    """Return all options of a configuration, in the order of their declaration."""
    types = typing.get_type_hints(config)
    declarations = [field for field in dataclasses.fields(config) if field.metadata]
    return tuple(_option(types[field.name], field) for field in declarations)


def _option(value_type: Any, field: dataclasses.Field[Any]) -> Option:
    required = field.default is field.default_factory is dataclasses.MISSING
    default = None if required else field.default
    if field.default_factory is not dataclasses.MISSING:
        default = field.default_factory()
    kind, example = field.metadata["kind"], field.metadata["example"]
    return Option(
        key=field.name,
        type=value_type,
        kind=kind or _KINDS.get(typing.get_origin(value_type) or value_type, "text"),
        text=field.metadata["text"],
        example=example or ("false" if default else "true"),
        default=default,
        required=required,
    )


def build(
    config: type[Config],
    values: Mapping[str, Any],
    source: str,
    overrides: Mapping[str, Any] = MappingProxyType({}),
    **fixed: object,
) -> Config:
    """Return the checked configuration; raise ConfigError with one line for each error.

    ``values`` are those of ``source``, a file; ``overrides`` are those of the command line.  A line
    begins with file and key, or with the flag.  ``fixed`` are fields that are not options.
    """
    known = {option.key: option for option in options(config)}
    places = {key: f"{source}: {key}" for key in values} | {k: known[k].flag for k in overrides}
    converters = {key: option.convert for key, option in known.items()}
    converted, wrong = toml_values.convert_table({**values, **overrides}, converters)
    errors = [f"{places[key]}: {text}" for key, text in wrong]
    required = {key: option for key, option in known.items() if option.required}
    errors += [
        f"{source}: {key} is missing; {option.text.partition('.')[0]}"
        for key, option in required.items()
        if key not in places
    ]
    # With the example in place of a required value that is wrong, the other values can be checked.
    placeholders = {k: option.example_value for k, option in required.items() if k not in converted}
    instance = config(**placeholders, **converted, **fixed)
    errors += [f"{places.get(key, source)}: {text}" for key, text in instance.problems()]
    if errors:
        raise ConfigError("\n".join(errors))
    return instance

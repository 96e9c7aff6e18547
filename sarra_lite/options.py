"""What an option is: declared once, as a field of a configuration struct.

The check of a file, the command line, the example and the manual page are made from the same
declaration.
"""

from __future__ import annotations

import difflib
import re
import typing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

import msgspec

from sarra_lite import units
from sarra_lite.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """A configuration: each annotated field is an option."""

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield key and reason for each value that cannot be used as it stands."""
        yield from ()


Config = TypeVar("Config", bound=Checked)
Kind = Literal["text", "size", "duration", "mode", "count", "flag", "list", "table", "rules"]
_OCTAL: Final = re.compile(r"[0-7]{3,4}")


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
        return "--" + re.sub(r"(?<=[a-z])(?=[A-Z])|_", "-", self.key).lower()

    @property
    def choices(self) -> tuple[str, ...] | None:
        """Values it can have, where they are few."""
        if typing.get_origin(self.type) is Literal:
            return typing.get_args(self.type)
        return None

    def convert(self, value: Any, *, strict: bool = True) -> Any:
        """Return the value as the program uses it; ValueError says, in one line, what is wrong.

        Not ``strict``: numbers may be written as text, as on a command line.
        """
        match self.kind:
            case "size":
                return units.parse_size(_plain(value))
            case "duration":
                return units.parse_duration(_plain(value))
            case "mode":
                if not isinstance(value, str) or not _OCTAL.fullmatch(value):
                    raise ValueError(f'not a mode like "644" (in quotes): {value!r}')
                return int(value, 8)
            case _:
                try:
                    return msgspec.convert(value, self.type, strict=strict)
                except msgspec.ValidationError as error:
                    raise ValueError(_readable(error)) from None


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
            errors.append(f"{where[key]}: {error}")
    errors += [
        f"{where['']}: {key} is missing; {option.text.partition('.')[0]}"
        for key, option in known.items()
        if option.required and key not in values
    ]
    if not errors:
        made = config(**converted, **fixed)
        errors = [f"{where.get(key, where[''])}: {text}" for key, text in made.problems()]
        if not errors:
            return made
    raise ConfigError("\n".join(errors))


def shown(option: Option) -> str:
    """Return the default as it would be written in TOML or on a command line; empty for none."""
    default = option.default
    if default in (None, "", [], {}):
        return ""
    match option.kind:
        case "mode":
            return f"{default:o}"
        case "duration":
            return f"{default:g}s"
        case "flag":
            return "yes" if default else "no"
        case "list":
            return " ".join(default)
        case _:
            return str(default)


def _unknown(key: str, known: Iterable[str]) -> str:
    """Say of a key that no option has."""
    near = difflib.get_close_matches(key, known, 1, 0.6)
    return f"unknown key; did you mean {near[0]}?" if near else "unknown key"


def _plain(value: Any) -> str | int:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError(f"not a text or whole number: {value!r}")  # noqa: TRY004  one kind of error
    return value


def _readable(error: msgspec.ValidationError) -> str:
    """Msgspec's line in words that fit a TOML file."""
    text = str(error)
    for name, plain in {
        "`str`": "a text",
        "`int`": "a whole number",
        "`bool`": "true or false",
        "`array`": "a list",
        "`object`": "a table",
        "`float`": "a number",
    }.items():
        text = text.replace(name, plain)
    return text[:1].lower() + text[1:]

"""Command lines: the options of a configuration, and what all commands have in common."""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

from sarra_lite import __version__
from sarra_lite.config import files, schema
from sarra_lite.config.shared import BrokerConfig
from sarra_lite.errors import EXIT_STATUSES

if TYPE_CHECKING:
    from sarra_lite.config.schema import Option

Config = TypeVar("Config", bound=BrokerConfig)
Examples = Sequence[tuple[str, str]]

_SHELLS: Final = ("bash", "zsh", "tcsh", "fish", "powershell")  # that shtab knows
_FILES: Final = """\
~/.config/sarra_lite/{component}/NAME.toml, /etc/sarra_lite/{component}/NAME.toml
    configurations; "sr_config example {component}" shows one with all that can be set
~/.config/sarra_lite/credentials.conf
    passwords and keys, mode 0600; one line each: amqps://user:password@host/
"""


def make_parser(
    program: str, doc: str | None, config: type[BrokerConfig], examples: Examples
) -> argparse.ArgumentParser:
    """Return the command line of a program: ``doc`` explains it, ``config`` has its options.

    ``examples``: what one may want to do, and the command that does it.
    """
    files = _FILES.format(component=config.component)
    parser = bare_parser(program, doc, examples, files=files)
    parser.add_argument(
        "-c",
        "--config",
        metavar="CONFIG",
        help="configuration: a name, or a file (default: default)",
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="show no progress")
    parser.add_argument("-v", "--verbose", action="store_true", help="same as --log-level debug")
    group = parser.add_argument_group(
        "configuration", "Each may stand in the configuration, too; what is given here wins."
    )
    for option in schema.options(config):
        _add(group, option)
    return parser


def bare_parser(
    program: str, doc: str | None, examples: Examples, *, files: str = ""
) -> argparse.ArgumentParser:
    """Return a command line with nothing in it but help, version and shell completion."""
    sections = {
        "examples": "\n".join(f"{text}\n    {command}" for text, command in examples),
        "exit status": "\n".join(f"{code:>2}  {text}" for code, text in EXIT_STATUSES.items()),
        "files": files,
    }
    parser = argparse.ArgumentParser(
        program,
        description=doc,
        epilog="\n\n".join(
            f"{title}:\n{textwrap.indent(text.rstrip(), '  ')}"
            for title, text in sections.items()
            if text
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"{program} {__version__}")
    parser.add_argument(
        "--print-completion",
        action=_Completion,
        choices=_SHELLS,
        help="print the completion script for a shell",
    )
    return parser


def configured(
    parser: argparse.ArgumentParser, argv: Sequence[str] | None, config: type[Config]
) -> tuple[argparse.Namespace, Config]:
    """Read the command line, and the configuration that it names.

    Raises ConfigError, with a line for each thing that is wrong.
    """
    args = parser.parse_args(argv)
    given: dict[str, Any] = {
        key.removeprefix("set_"): value
        for key, value in vars(args).items()
        if key.startswith("set_")
    }
    if args.verbose:
        given.setdefault("logLevel", "debug")
    return args, load(config, args.config, given)


def load(config: type[Config], name: str | None, given: dict[str, Any]) -> Config:
    """Read a configuration; what is ``given`` on the command line wins.

    Without a name, the one called "default" is read where there is one.
    """
    file = files.find(config.component, name or "default")
    told = name is not None or file.exists()
    values = files.read(file) if told else _borrowed(config)
    where = {key: f"{file}: {key}" for key in values}
    where |= {option.key: option.flag for option in schema.options(config) if option.key in given}
    where[""] = str(file) if told else "neither -c CONFIG nor all that is needed is given"
    return schema.build(config, {**values, **given}, where, name=file.stem)


def _borrowed(config: type[Config]) -> dict[str, Any]:
    """Values for a command that has no configuration, from one that shares its broker."""
    candidates = (files.find(component, "default") for component in config.borrows)
    file = next((file for file in candidates if file.exists()), None)
    if file is None:
        return {}
    shared = {option.key for option in schema.options(BrokerConfig)}
    return {key: value for key, value in files.read(file).items() if key in shared}


def _add(group: argparse._ArgumentGroup, option: Option) -> None:
    """Add an option of the configuration to a command line."""
    text = _help(option)
    common: dict[str, Any] = {"dest": f"set_{option.key}", "default": argparse.SUPPRESS}
    metavar = option.metavar or {
        "size": "SIZE",
        "duration": "TIME",
        "count": "N",
        "mode": "MODE",
    }.get(option.kind, "TEXT")
    match option.kind:
        case "flag":
            action = argparse.BooleanOptionalAction
            group.add_argument(option.flag, action=action, help=text, **common)
        case "count":
            group.add_argument(option.flag, type=int, metavar=metavar, help=text, **common)
        case "list":
            group.add_argument(option.flag, action="append", metavar=metavar, help=text, **common)
        case "table":
            group.add_argument(option.flag, action=_Pair, metavar="KEY=VALUE", help=text, **common)
        case "rules":
            for flag in ("--accept", "--reject"):
                said = f"{flag[2:]} what matches; rules are tried in order, the first one decides"
                group.add_argument(flag, action=_AddRule, metavar="REGEX", help=said, **common)
        case _ if option.choices:
            group.add_argument(option.flag, choices=option.choices, help=text, **common)
        case _:
            group.add_argument(option.flag, metavar=metavar, help=text, **common)


def _help(option: Option) -> str:
    text = option.text[:1].lower() + option.text[1:].removesuffix(".")
    default = schema.shown(option)
    return (f"{text} (default: {default})" if default else text).replace("%", "%%")


class _Completion(argparse.Action):
    """Prints the completion script of a shell, and ends the program."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,  # noqa: ARG002  argparse gives it
        values: Any,
        option_string: str | None = None,  # noqa: ARG002
    ) -> None:
        """Print it: files and directories are completed where such are meant."""
        import shtab  # noqa: PLC0415  it takes longer to import than all else here

        known = {"CONFIG": shtab.FILE, "FILE": shtab.FILE, "DIR": shtab.DIRECTORY}
        for action in parser._actions:  # noqa: SLF001  argparse has no public list of them
            if isinstance(action.metavar, str) and action.metavar in known:
                completed: Any = action
                completed.complete = known[action.metavar]
        sys.stdout.write(shtab.complete(parser, values))
        parser.exit()


class _Pair(argparse.Action):
    """Collects ``KEY=VALUE`` in a dictionary."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Take one more."""
        key, equals, value = str(values).partition("=")
        if not equals:
            parser.error(f"{option_string}: not KEY=VALUE: {values}")
        setattr(namespace, self.dest, {**getattr(namespace, self.dest, {}), key: value})


class _AddRule(argparse.Action):
    """Collects rules in the order in which they are given."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,  # noqa: ARG002  argparse gives it
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Take one more."""
        rule = {str(option_string).removeprefix("--"): str(values)}
        setattr(namespace, self.dest, [*getattr(namespace, self.dest, []), rule])

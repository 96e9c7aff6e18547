"""Command lines: the flags of a configuration's options, and what all commands have in common."""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NoReturn

from sarra_lite import __version__, process, runtime, units
from sarra_lite.config import files, schema
from sarra_lite.config.shared import BrokerConfig, Config
from sarra_lite.errors import EXIT_STATUSES, ConfigError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from sarra_lite.config.schema import Option

Examples = Sequence[tuple[str, str]]

_SHELLS: Final = ("bash", "zsh", "tcsh", "fish", "powershell")  # those that shtab supports
_FILES: Final = """\
~/.config/sarra_lite/{component}/NAME.toml, /etc/sarra_lite/{component}/NAME.toml
    configurations; "sr_config example {component}" prints one with all options
~/.config/sarra_lite/credentials.conf
    passwords and keys, mode 0600; one line for each host: amqps://user:password@host/
"""


def _pair(text: str) -> tuple[str, str]:
    """Return key and value of ``KEY=VALUE``."""
    key, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"not KEY=VALUE: {text}")
    return key, value


def parse_since(text: str, now: datetime) -> datetime:
    """Return the moment of an age before ``now``, or of a date and time in UTC.

    Raise UsageError for any other text.
    """
    try:
        return now - timedelta(seconds=units.parse_duration(text))
    except OverflowError:
        return datetime.min.replace(tzinfo=UTC)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"--since: neither 5m, 2h, 7d nor 2026-11-23T22:00: {text!r}") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def duration(text: str) -> float:
    """Return the seconds of a text like ``5m``, for an argument of argparse."""
    try:
        return units.parse_duration(text)
    except ValueError as error:  # of which argparse shows no text
        raise argparse.ArgumentTypeError(str(error)) from None


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, also that the help cannot be written."""

    def error(self, message: str) -> NoReturn:
        """Raise UsageError."""
        raise UsageError(f"{message}; see {self.prog} --help")

    def _print_message(self, message: str, file: Any = None) -> None:
        if file is sys.stdout:
            process.write(message)
        else:
            super()._print_message(message, file)


def _rule(action: str, regex: str) -> dict[str, str]:
    return {action: regex}


# Settings of argparse for kinds of options that need more than a metavar.
_SETTINGS: Final[dict[str, dict[str, Any]]] = {
    "flag": {"action": argparse.BooleanOptionalAction},
    "count": {"metavar": "N", "type": int},
    "list": {"metavar": "TEXT", "action": "append"},
    "table": {"metavar": "KEY=VALUE", "action": "append", "type": _pair},
}


def make_parser(
    program: str, doc: str | None, config: type[BrokerConfig], examples: Examples
) -> argparse.ArgumentParser:
    """Return the parser of a command with the options of ``config``, and ``doc`` as its help.

    ``examples`` are pairs of a purpose and a command line.
    """
    parser = bare_parser(program, doc, examples, config.component)
    parser.add_argument(
        "-c", "--config", metavar="CONFIG", help="configuration name or file (default: default)"
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="show no progress")
    parser.add_argument("-v", "--verbose", action="store_true", help="same as --log-level debug")
    group = parser.add_argument_group(
        "configuration", "Options of the configuration. The command line overrides the file."
    )
    for option in schema.options(config):
        _add_option(group, option)
    return parser


def bare_parser(
    program: str, doc: str | None, examples: Examples, component: str
) -> argparse.ArgumentParser:
    """Return a parser with help, version and shell completion only."""
    sections = {
        "examples": "\n".join(f"{purpose}\n    {line}" for purpose, line in examples),
        "exit status": "\n".join(f"{code:>2}  {text}" for code, text in EXIT_STATUSES.items()),
        "files": _FILES.format(component=component),
    }
    parser = _Parser(
        program,
        description=doc,
        epilog="\n\n".join(
            f"{title}:\n{textwrap.indent(text.rstrip(), '  ')}" for title, text in sections.items()
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"{program} {__version__}")
    parser.add_argument(
        "--print-completion",
        action=_PrintCompletion,
        choices=_SHELLS,
        help="print a completion script for a shell",
    )
    return parser


def configured(
    parser: argparse.ArgumentParser,
    argv: Sequence[str] | None,
    config: type[Config],
    check: Callable[[argparse.Namespace], None] = lambda _: None,
) -> tuple[argparse.Namespace, Config]:
    """Parse the command line, read the configuration that it names, and set the log level.

    ``check`` is called in between.  Raises UsageError for a wrong command line, ConfigError with
    one line for each error of the configuration.
    """
    args = parser.parse_args(argv)
    check(args)
    overrides: dict[str, Any] = {}
    for option in schema.options(config):
        if (value := vars(args).get(f"set_{option.key}")) is not None:
            overrides[option.key] = dict(value) if option.kind == "table" else value
    if args.verbose:
        overrides.setdefault("logLevel", "debug")
    effective = _load(config, args.config, overrides)
    runtime.log_to_stderr(effective.logLevel)
    return args, effective


def _load(config: type[Config], name: str | None, overrides: dict[str, Any]) -> Config:
    """Return the configuration of a file and the command line.

    Without a name, the configuration ``default`` is read if it exists.  Where the command has none
    of this name, it may borrow the options for the broker from that of another command.
    """
    components = (config.component, *config.borrows)
    candidates = [files.find(component, name or "default") for component in components]
    file = next((file for file in candidates if file.exists()), candidates[0])
    source, values = str(file), {}
    if name is None and not file.exists():
        _check_required(config, file, overrides)
    else:
        values = files.read(file)
    if file is not candidates[0]:
        shared = {option.key for option in schema.options(BrokerConfig)} | {*config.borrowed}
        values = {key: value for key, value in values.items() if key in shared}
    return schema.build(config, values, source, overrides, name=file.stem)


def _check_required(config: type[Config], file: Path, overrides: Mapping[str, Any]) -> None:
    """Raise ConfigError when a command line without a configuration lacks what is needed."""
    required = [option for option in schema.options(config) if option.required]
    if missing := [option.flag for option in required if option.key not in overrides]:
        raise ConfigError(
            f"{file}: no such configuration, and no {' and '.join(missing)} given; begin with:"
            f" mkdir -p {file.parent} && sr_config example {config.component} > {file}"
        )


def _add_option(group: argparse._ArgumentGroup, option: Option) -> None:
    """Add the flags of an option; their value is stored as ``set_<key>``."""
    dest = f"set_{option.key}"
    if option.kind == "rules":
        for action in ("accept", "reject"):
            group.add_argument(
                f"--{action}",
                dest=dest,
                metavar="REGEX",
                action="append",
                type=partial(_rule, action),
                help=f"{action} what matches; rules are tried in order, the first one decides",
            )
        return
    settings = _SETTINGS.get(option.kind, {"metavar": option.kind.upper()})
    if option.choices:
        settings = {"choices": option.choices}
    group.add_argument(option.flag, dest=dest, help=_help(option), **settings)


def _help(option: Option) -> str:
    text, default = option.text.removesuffix("."), option.default_text
    if text[1].islower():  # not an abbreviation such as SFTP
        text = text[0].lower() + text[1:]
    return (f"{text} (default: {default})" if default else text).replace("%", "%%")


class _PrintCompletion(argparse.Action):
    """Prints the completion script of a shell, and ends the program."""

    def __call__(
        self, parser: argparse.ArgumentParser, _namespace: object, values: Any, _flag: object = None
    ) -> None:
        """Print the script; it completes files and directories where an argument is one."""
        import shtab  # noqa: PLC0415  its import takes longer than all others here

        files = {"CONFIG": shtab.FILE, "FILE": shtab.FILE, "DIRECTORY": shtab.DIRECTORY}
        _complete_files(parser, files)
        process.write(shtab.complete(parser, values))
        parser.exit()


def _complete_files(parser: argparse.ArgumentParser, files: Mapping[Any, object]) -> None:
    """Set what shtab completes where an argument is one of ``files``, also of subparsers."""
    for action in parser._actions:  # noqa: SLF001  argparse does not publish them
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            for subparser in action.choices.values():
                _complete_files(subparser, files)
        elif action.metavar in files:
            action.complete = files[action.metavar]  # type: ignore[attr-defined]

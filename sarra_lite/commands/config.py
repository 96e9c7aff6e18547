"""Check configurations, show the values in effect, print an example, convert those of sr3.

The check reports all errors at once, each with file and key, of a configuration and of the
passwords and keys that it needs.  It makes no connection.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sarra_lite import runtime
from sarra_lite.commands import arguments, connections
from sarra_lite.config import credentials, files, schema
from sarra_lite.config.commands import COMMANDS, SenderConfig
from sarra_lite.config.shared import BrokerConfig
from sarra_lite.errors import EX_FAILED, EX_OK, ConfigError, SarraError, UsageError
from sarra_lite.sr3 import convert

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

log = logging.getLogger("sarra_lite")

EXAMPLES: Final = (
    ("Begin a configuration from an example with all options:", "sr_config example sender"),
    ("Check all configurations of a command:", "sr_config check sender"),
    ("Convert a configuration of sr3:", "sr_config convert ~/.config/sr3/sender/science.conf"),
)


def make_parser() -> argparse.ArgumentParser:
    """Return the command line of sr_config."""
    parser = arguments.bare_parser("sr_config", __doc__, EXAMPLES, "COMMAND")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    check = actions.add_parser(
        "check", help="report all errors of a configuration, or that it is ok"
    )
    show = actions.add_parser("show", help="print the values in effect, without passwords")
    example = actions.add_parser("example", help="print a configuration that explains all options")
    for subparser in (check, show, example):
        subparser.add_argument(
            "command",
            metavar="COMMAND",
            type=lambda name: name.removeprefix("sr_"),
            choices=tuple(COMMANDS),
            help=f"one of {', '.join(COMMANDS)}",
        )
    for subparser, default in ((check, "all configurations of COMMAND"), (show, "default")):
        subparser.add_argument(
            "config",
            metavar="CONFIG",
            help=f"configuration name or file (default: {default})",
            nargs="?",
        )
    _add_convert_parser(actions)
    return parser


def _add_convert_parser(actions: Any) -> None:
    parser = actions.add_parser(
        "convert", help="convert a file of sr3; list the lines that have no equivalent"
    )
    parser.add_argument("file", metavar="FILE", help="for example ~/.config/sr3/sender/NAME.conf")
    parser.add_argument(
        "--output",
        metavar="DIRECTORY",
        help="write it below DIRECTORY, for example ~/.config/sarra_lite, instead of printing it",
    )
    parser.add_argument(
        "--component",
        choices=tuple(convert.COMPONENTS),
        help="sr3 component that FILE is for (default: the name of its directory)",
    )


@runtime.command
def main(argv: list[str] | None = None) -> int:
    """Run sr_config; return its exit status."""
    args = make_parser().parse_args(argv)
    match args.action:
        case "check":
            return _check(COMMANDS[args.command], args.config)
        case "show":
            return _show(COMMANDS[args.command], args.config)
        case "example":
            sys.stdout.write(files.example(COMMANDS[args.command]))
            return EX_OK
        case _:
            return _convert(Path(args.file), args.component, args.output)


def _check(config: type[BrokerConfig], name: str | None) -> int:
    checked = _all_files(config.component) if name is None else []
    problems: list[str] = []
    for file in checked or [files.find(config.component, name or "default")]:
        problems_of_file = _problems(config, file)
        problems += problems_of_file
        if not problems_of_file:
            sys.stdout.write(f"{file}: ok\n")
    if problems:
        raise ConfigError("\n".join(dict.fromkeys(problems)))
    return EX_OK


def _all_files(component: str) -> list[Path]:
    """Return the file of each configuration of a command."""
    names = {
        file.stem
        for directory in files.directories()
        for file in (directory / component).glob("*.toml")
    }
    return [files.find(component, name) for name in sorted(names)]


def _problems(config: type[BrokerConfig], file: Path) -> list[str]:
    """Return a line for each error of a configuration and of its credentials.

    Credentials are checked even if the configuration has errors, as far as it names the hosts.
    An error in the URL of a host appears twice; ``_check`` removes duplicates.
    """
    try:
        values = files.read(file)
    except ConfigError as error:
        return [str(error)]
    problems = _errors(lambda: schema.build(config, values, str(file)))
    file_problems = list(credentials.file_problems(credentials.find_file(files.directories())))
    if file_problems:
        return problems + file_problems

    def part(kind: type[schema.Config], *keys: str, **placeholder: str) -> schema.Config:
        known = {key: values[key] for key in keys if key in values}
        return schema.build(kind, placeholder | known, str(file))

    problems += _errors(
        lambda: connections.broker_factory(part(BrokerConfig, "broker", "tlsCaFile"))
    )
    if config is SenderConfig:
        problems += _errors(
            lambda: connections.sftp_factory(
                part(SenderConfig, "sendTo", "stream", "knownHosts", broker="amqp://user@host/")
            )
        )
    return problems


def _errors(check: Callable[[], object]) -> list[str]:
    """Return the lines of the ConfigError that a check raises, none if it raises no error."""
    try:
        check()
    except ConfigError as error:
        return str(error).splitlines()
    return []


def _show(config: type[BrokerConfig], name: str | None) -> int:
    file = files.find(config.component, name or "default")
    values = files.read(file)
    effective = schema.build(config, values, str(file), name=file.stem)
    sys.stdout.write(files.effective(effective, values, file))
    return EX_OK


def _convert(file: Path, component: str | None, output: str | None) -> int:
    converted = convert.convert(file, component)
    text = files.document(converted.values, converted.remarks)
    for note in converted.notes:
        log.warning("%s", note)
    file_name = f"{converted.name}.toml"
    if output is None:
        sys.stdout.write(text)
    else:
        _save(Path(output) / converted.component / file_name, text)
    config = COMMANDS[converted.component]
    errors = _errors(lambda: schema.build(config, converted.values, file_name))
    for line in errors:
        log.error("%s", line)
    return EX_FAILED if errors else EX_OK


def _save(file: Path, text: str) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("x", encoding="utf-8") as opened:
            opened.write(text)
    except FileExistsError:
        raise UsageError(f"{file}: exists already") from None
    except OSError as error:
        raise SarraError(f"{file}: {error.strerror}") from None
    log.info("%s: written", file)


if __name__ == "__main__":
    sys.exit(main())

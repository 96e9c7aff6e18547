"""Check configurations, show the values in effect, print an example, convert those of sr3.

The check reports all errors at once, each with file and key, of a configuration and of the
passwords and keys that it needs.  It makes no connection.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sarra_lite import process, runtime
from sarra_lite.commands import arguments, connections
from sarra_lite.config import credentials, files, schema
from sarra_lite.config.commands import COMMANDS, PostConfig, SenderConfig
from sarra_lite.errors import EX_FAILED, EX_OK, ConfigError, SarraError, UsageError
from sarra_lite.runtime import log
from sarra_lite.sr3 import convert

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from sarra_lite.config.shared import BrokerConfig

EXAMPLES: Final = (
    ("Begin a configuration from an example with all options:", "sr_config example sender"),
    ("Check all configurations of a command:", "sr_config check sender"),
    ("Convert a configuration of sr3:", "sr_config convert ~/.config/sr3/sender/science.conf"),
)


def make_parser() -> argparse.ArgumentParser:
    """Return the command line of sr_config."""
    parser = arguments.bare_parser("sr_config", __doc__, EXAMPLES, "COMMAND")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    all_of_them = "all configurations of COMMAND"
    for action, text, default in (
        ("check", "report all errors of a configuration, or that it is ok", all_of_them),
        ("show", "print the values in effect, without passwords", "default"),
        ("example", "print a configuration that explains all options", None),
    ):
        subparser = actions.add_parser(action, help=text)
        subparser.add_argument(
            "command",
            metavar="COMMAND",
            type=lambda name: name.removeprefix("sr_"),
            choices=tuple(COMMANDS),
            help=f"one of {', '.join(COMMANDS)}",
        )
        if default is not None:
            config_help = f"configuration name or file (default: {default})"
            subparser.add_argument("config", metavar="CONFIG", nargs="?", help=config_help)
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
            process.write(files.example(COMMANDS[args.command]))
            return EX_OK
        case _:
            return _convert(Path(args.file), args.component, args.output)


def _check(config: type[BrokerConfig], name: str | None) -> int:
    """Check one configuration of a command, without a name all of them."""
    pattern = f"{config.component}/*.toml"
    all_names = {file.stem for place in files.directories() for file in place.glob(pattern)}
    problems: list[str] = []
    for each in [name] if name else sorted(all_names) or ["default"]:
        file = files.find(config.component, each)
        if found := _problems(config, file):
            problems += found
        else:
            process.write(f"{file}: ok\n")
    if problems:
        raise ConfigError("\n".join(dict.fromkeys(problems)))
    return EX_OK


def _problems(config: type[BrokerConfig], file: Path) -> list[str]:
    """Return a line for each error of a configuration and of the credentials that it needs.

    Credentials are checked even if the configuration has errors, as far as it names the hosts.
    """
    try:
        values = files.read(file)
    except ConfigError as error:
        return [str(error)]
    effective, errors = schema.check(config, values, str(file))
    problems = [text for _, text in errors]
    if file_problems := credentials.file_problems(files.credentials_file()):
        return problems + file_problems
    wrong = {key for key, _ in errors}
    checks: list[Callable[[Any], object]] = []
    if not wrong & {"broker", "tlsCaFile"}:
        checks.append(connections.broker_factory)
    if isinstance(effective, SenderConfig) and "sendTo" not in wrong:
        checks.append(connections.sftp_factory)
    for check in checks:
        try:
            check(effective)
        except ConfigError as error:
            problems += str(error).splitlines()
    return problems + _missing(effective, file, wrong)


def _missing(effective: BrokerConfig, file: Path, wrong: set[str]) -> list[str]:
    """Return a line for each file and directory of this host that is configured and not there."""
    missing = []
    if isinstance(effective, PostConfig | SenderConfig) and not wrong & {"baseDir", "baseUrl"}:
        post = isinstance(effective, PostConfig) and effective.baseDir is None
        place = effective.base_dir if isinstance(effective, PostConfig) else effective.baseDir
        if place is not None and not Path(place).is_dir():
            missing.append(f"{file}: {'baseUrl' if post else 'baseDir'}: no directory: {place}")
    hosts = effective.knownHosts if isinstance(effective, SenderConfig) else None
    if hosts is not None and "knownHosts" not in wrong and not Path(hosts).is_file():
        missing.append(f"{file}: knownHosts: no such file: {hosts}")
    return missing


def _show(config: type[BrokerConfig], name: str | None) -> int:
    file = files.find(config.component, name or "default")
    values = files.read(file)
    effective = schema.build(config, values, str(file), name=file.stem)
    process.write(files.effective(effective, values, file))
    return EX_OK


def _convert(file: Path, component: str | None, output: str | None) -> int:
    if not file.exists():
        raise UsageError(f"{file}: no such file")
    converted = convert.convert(file, component)
    text = files.document(converted.values, converted.remarks)
    for note in converted.notes:
        log.log(logging.ERROR if note in converted.lossy else logging.WARNING, "%s", note)
    file_name = f"{converted.name}.toml"
    for warning in converted.events.warnings:
        log.warning("%s: %s", file, warning)
    if output is None:
        process.write(text)
    else:
        _save(Path(output) / converted.component / file_name, text)
    _, errors = schema.check(COMMANDS[converted.component], converted.values, file_name)
    for _, line in errors:
        log.error("%s", line)
    if converted.lossy:
        log.error("what is sent may differ: see each line above that is marked error")
    return EX_FAILED if errors or converted.lossy else EX_OK


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

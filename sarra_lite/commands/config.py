"""Check configurations, show what is in effect, print an example, convert those of sr3.

check says every error at once, each with file and key, of the configuration and of the passwords
and keys that it needs.  No connection is made.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import shtab

from sarra_lite import runtime
from sarra_lite.commands import arguments, connections
from sarra_lite.config import credentials, files, schema
from sarra_lite.config.commands import COMMANDS, SenderConfig
from sarra_lite.config.shared import BrokerConfig
from sarra_lite.errors import EX_FAILED, EX_OK, ConfigError, SarraError, UsageError
from sarra_lite.sr3 import convert

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping

log = logging.getLogger("sarra_lite")

_FILES: Final = """\
~/.config/sarra_lite/COMMAND/NAME.toml, /etc/sarra_lite/COMMAND/NAME.toml
    configurations
~/.config/sarra_lite/credentials.conf
    passwords and keys, mode 0600; one line each: amqps://user:password@host/
"""
# Stands for what another check complains of.
_ANY_BROKER: Final = "amqp://user@localhost/"
EXAMPLES: Final = (
    ("Begin a configuration with all that can be in it:", "sr_config example sender"),
    ("Is everything right, before a unit is started?", "sr_config check sender"),
    (
        "Turn a configuration of sr3 into one of ours:",
        "sr_config convert ~/.config/sr3/sender/science.conf",
    ),
)


def make_parser() -> argparse.ArgumentParser:
    """Return the command line of sr_config."""
    parser = arguments.bare_parser("sr_config", __doc__, EXAMPLES, files=_FILES)
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    check = actions.add_parser(
        "check", help="say all that is wrong with a configuration, or that it is ok"
    )
    show = actions.add_parser("show", help="print what is in effect, without passwords")
    example = actions.add_parser("example", help="print all that can be set, explained")
    for sub, text in (
        (check, "a name, or a file (default: all there are of COMMAND)"),
        (show, "a name, or a file (default: default)"),
        (example, ""),
    ):
        sub.add_argument(
            "command",
            metavar="COMMAND",
            type=lambda name: name.removeprefix("sr_"),
            choices=tuple(COMMANDS),
            help=f"one of {', '.join(COMMANDS)}",
        )
        if text:
            _file(sub, "config", "CONFIG", text, nargs="?")
    _convert_parser(actions)
    return parser


def _convert_parser(actions: Any) -> None:
    parser = actions.add_parser(
        "convert",
        help="turn a file of sr3 into one of ours; say which lines have no equivalent",
    )
    _file(parser, "file", "FILE", "as in ~/.config/sr3/sender/NAME.conf")
    output = parser.add_argument(
        "--output",
        metavar="DIR",
        help="write it below DIR, as in ~/.config/sarra_lite, instead of printing it",
    )
    output.complete = shtab.DIRECTORY
    parser.add_argument(
        "--component",
        choices=tuple(convert.COMPONENTS),
        help="what FILE is for, if its directory does not tell",
    )


def _file(parser: argparse.ArgumentParser, dest: str, metavar: str, text: str, **more: Any) -> None:
    added: Any = parser.add_argument(dest, metavar=metavar, help=text, **more)
    added.complete = shtab.FILE


def main(argv: list[str] | None = None) -> int:
    """Run sr_config; return its exit status."""
    return runtime.run(lambda: _main(argv))


def _main(argv: list[str] | None) -> int:
    args = make_parser().parse_args(argv)
    match args.action:
        case "check":
            return _check(COMMANDS[args.command], args.config)
        case "show":
            return _show(COMMANDS[args.command], args.config)
        case "example":
            print(files.example(COMMANDS[args.command]), end="")  # noqa: T201  what is asked for
            return EX_OK
        case _:
            return _convert(Path(args.file), args.component, args.output)


def _check(config: type[BrokerConfig], name: str | None) -> int:
    found = _all(config.component) if name is None else []
    wrong: list[str] = []
    for file in found or [files.find(config.component, name or "default")]:
        problems = list(errors(config, file))
        wrong += problems
        if not problems:
            print(f"{file}: ok")  # noqa: T201  what is asked for
    if wrong:
        raise ConfigError("\n".join(dict.fromkeys(wrong)))
    return EX_OK


def _all(component: str) -> list[Path]:
    """Every configuration of a command that can be named, which its first place decides."""
    names = {
        file.stem
        for directory in files.directories()
        for file in (directory / component).glob("*.toml")
    }
    return [files.find(component, name) for name in sorted(names)]


def errors(config: type[BrokerConfig], file: Path) -> Iterator[str]:
    """Yield a line for each thing that is wrong with a configuration or with its credentials."""
    try:
        values = files.read(file)
    except ConfigError as error:
        yield str(error)
        return
    try:
        schema.build(config, values, _where(file, values))
    except ConfigError as error:
        yield from str(error).splitlines()
    yield from _credentials(config, file, values)


def _where(file: Path, values: Mapping[str, Any]) -> dict[str, str]:
    return {key: f"{file}: {key}" for key in values} | {"": str(file)}


def _credentials(config: type[BrokerConfig], file: Path, values: dict[str, Any]) -> Iterator[str]:
    """What is wrong with passwords and keys, as far as it is known where to connect."""
    wrong = list(credentials.file_problems(credentials.find_file(files.directories())))
    yield from wrong
    if wrong:
        return
    try:
        part = _part(BrokerConfig, file, values)
        if part is not None:
            connections.broker_factory(part, f"sr_{config.component}")
    except ConfigError as error:
        yield str(error)
    if config is SenderConfig:
        try:
            sender = _part(SenderConfig, file, {**values, "broker": _ANY_BROKER})
            if sender is not None:
                connections.sftp_factory(sender)
        except ConfigError as error:
            yield str(error)


def _part(
    config: type[schema.Config], file: Path, values: Mapping[str, Any]
) -> schema.Config | None:
    """Return a configuration of what is said about where to connect, None when that is wrong."""
    keys = ("broker", "tlsCaFile", "sendTo", "stream", "knownHosts")
    known = {option.key for option in schema.options(config)}
    chosen = {key: values[key] for key in keys if key in values and key in known}
    try:
        return schema.build(config, chosen, _where(file, chosen), name=file.stem)
    except ConfigError:
        return None


def _show(config: type[BrokerConfig], name: str | None) -> int:
    file = files.find(config.component, name or "default")
    told = files.read(file)
    secrets = credentials.find_file(files.directories())
    text = files.effective(arguments.load(config, str(file), {}), told, file, secrets)
    print(text, end="")  # noqa: T201  what is asked for
    return EX_OK


def _convert(file: Path, component: str | None, output: str | None) -> int:
    made = convert.convert(file, component)
    text = files.document(made.values, made.remarks)
    for note in made.notes:
        log.warning("%s", note)
    if output is None:
        print(text, end="")  # noqa: T201  what is asked for
    else:
        _save(Path(output) / made.component / f"{made.name}.toml", text)
    try:
        where = {key: f"{made.name}.toml: {key}" for key in made.values}
        schema.build(
            COMMANDS[made.component], made.values, where | {"": f"{made.name}.toml"}, name=made.name
        )
    except ConfigError as error:
        for line in str(error).splitlines():
            log.error("%s", line)  # noqa: TRY400  for users, so without a trace
        return EX_FAILED
    return EX_OK


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

"""Generates manual pages and reference pages from the code; ``--check`` reports differences.

``docs/man`` and the generated files of ``docs/reference`` must not be edited.  ``reports.md`` is
written by hand; this program checks that it has every report code with its modules.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sarra_lite import errors
from sarra_lite.config import schema
from sarra_lite.config.commands import COMMANDS
from tests.lab.reference_codes import report_problems
from tests.lab.reference_man import manual_page

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sarra_lite.config.shared import BrokerConfig

ROOT: Final = Path(__file__).parents[2]
MAN: Final = "docs/man"
REFERENCE: Final = "docs/reference"
PROGRAMS: Final = (
    "sr_post",
    "sr_sender",
    "sr_src2log",
    "sr_quota",
    "sr_monitor",
    "sr_web",
    "sr_status",
    "sr_log",
    "sr_config",
)
NOTICE: Final = "<!-- made from the code by `make docs`; do not edit -->"


def main(argv: list[str] | None = None) -> int:
    """Write the files, or compare them; return the exit status."""
    parser = argparse.ArgumentParser("reference", description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing, name stale files")
    args = parser.parse_args(argv)
    os.environ["COLUMNS"] = "80"  # otherwise argparse wraps at the width of the terminal
    generated = dict(generate())
    problems = list(report_problems(ROOT))
    if args.check:
        problems += [f"{name}: not what the code says; do: make docs" for name in stale(generated)]
    else:
        for name in surplus(generated):
            (ROOT / name).unlink()
        for name, text in generated.items():
            (ROOT / name).parent.mkdir(parents=True, exist_ok=True)
            (ROOT / name).write_text(text, encoding="utf-8")
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


def generate() -> Iterator[tuple[str, str]]:
    """Yield name and content of each generated file."""
    for program in PROGRAMS:
        module = importlib.import_module(f"sarra_lite.commands.{program.removeprefix('sr_')}")
        yield f"{MAN}/{program}.1", manual_page(program, module, PROGRAMS)
    for component, config in COMMANDS.items():
        yield f"{REFERENCE}/options-{component}.md", option_table(component, config)
    yield f"{REFERENCE}/exit-statuses.md", exit_statuses()


def stale(generated: Mapping[str, str]) -> Iterator[str]:
    """Yield names of files that are absent, different, or no longer generated."""
    for name, text in generated.items():
        path = ROOT / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            yield name
    yield from surplus(generated)


def surplus(generated: Mapping[str, str]) -> Iterator[str]:
    """Yield names of existing files that are no longer generated."""
    for pattern in (f"{MAN}/*", f"{REFERENCE}/options-*"):
        names = [str(path.relative_to(ROOT)) for path in sorted(ROOT.glob(pattern))]
        yield from (name for name in names if name not in generated)


def option_table(component: str, config: type[BrokerConfig]) -> str:
    """Return a page with every option of a command's configuration."""
    program = f"sr_{component}"
    rows = [
        f"| `{option.key}` | {_flags(option)} | {_type(option)} | {_default(option)} |"
        f" `{_cell(option.key)} = {_cell(option.example)}` | {_cell(option.text)} |"
        for option in schema.options(config)
    ]
    table = "\n".join(rows)
    return f"""\
{NOTICE}

# Options of {program}

Each option is a key of `~/.config/sarra_lite/{component}/NAME.toml`.
A value on the command line overrides the one in the file.
Flags that are not options of the configuration are in [{program}(1)](../man/{program}.1).

| key | command line | type | default | example | meaning |
|---|---|---|---|---|---|
{table}
"""


def _flags(option: schema.Option) -> str:
    if option.kind == "flag":
        return f"`{option.flag}`, `--no-{option.flag[2:]}`"
    return ", ".join(f"`{flag}`" for flag in option.flag.split("/"))


def _type(option: schema.Option) -> str:
    if option.choices:
        return _cell(", ".join(f"`{choice}`" for choice in option.choices))
    names = {"flag": "true or false", "count": "number", "rules": "list of tables"}
    return names.get(option.kind, option.kind)


def _default(option: schema.Option) -> str:
    if option.required:
        return "must be set"
    return f"`{_cell(option.default_text)}`" if option.default_text else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def exit_statuses() -> str:
    """Return the page of exit statuses, with the exceptions that lead to each."""
    names: defaultdict[int, list[str]] = defaultdict(list)
    for name, kind in vars(errors).items():
        # Errors of one message or file become reports and end no command.
        if (
            isinstance(kind, type)
            and issubclass(kind, errors.SarraError)
            and not issubclass(kind, errors.MessageError | errors.TransferError)
        ):
            names[kind.exit_status].append(f"`{name}`")
    rows = [
        f"| {code} | {text} | {', '.join(names[code])} |"
        for code, text in errors.EXIT_STATUSES.items()
    ]
    table = "\n".join(rows)
    return f"""\
{NOTICE}

# Exit statuses

They are the same for all commands; `errors.py` defines them.

| status | meaning | error in the code |
|---|---|---|
{table}
| 130 | stopped by ^C while it was starting | |
"""


if __name__ == "__main__":
    sys.exit(main())

"""Makes manual pages and reference from the code; ``--check`` tells what is out of step.

``docs/man`` and the generated files of ``docs/reference`` are never edited.  ``reports.md`` is
written by hand; that it has every code, with its modules, is checked here.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import sys
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sarra_lite import errors
from sarra_lite.config import commands as config
from sarra_lite.config import schema
from tests.lab.reference_codes import report_problems
from tests.lab.reference_man import manual_page

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sarra_lite.config.shared import BrokerConfig

ROOT: Final = Path(__file__).parents[2]
MAN: Final = "docs/man"
REFERENCE: Final = "docs/reference"
MODULES: Final = {
    "sr_post": "post",
    "sr_sender": "sender",
    "sr_src2log": "src2log",
    "sr_log": "log",
    "sr_config": "config",
}
MADE_BY: Final = "<!-- made from the code by `make docs`; do not edit -->"


def main(argv: list[str] | None = None) -> int:
    """Write the files, or compare them; return the exit status."""
    parser = argparse.ArgumentParser("reference", description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing, name stale files")
    args = parser.parse_args(argv)
    os.environ["COLUMNS"] = "80"  # argparse wraps at the width of whoever looks
    made = dict(files())
    problems = [*report_problems(ROOT)]
    if args.check:
        problems += [f"{name}: not what the code says; do: make docs" for name in stale(made)]
    else:
        for name in surplus(made):
            (ROOT / name).unlink()
        for name, text in made.items():
            (ROOT / name).parent.mkdir(parents=True, exist_ok=True)
            (ROOT / name).write_text(text, encoding="utf-8")
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


def files() -> Iterator[tuple[str, str]]:
    """Yield name and content of every file that is made from the code."""
    programs = {
        program: importlib.import_module(f"sarra_lite.commands.{module}")
        for program, module in MODULES.items()
        if importlib.util.find_spec(f"sarra_lite.commands.{module}")
    }
    for program, module in programs.items():
        yield f"{MAN}/{program}.1", manual_page(program, module, programs)
    for component, struct in config.COMMANDS.items():
        yield f"{REFERENCE}/options-{component}.md", option_table(component, struct)
    yield f"{REFERENCE}/exit-statuses.md", exit_statuses()


def stale(made: Mapping[str, str]) -> Iterator[str]:
    """Yield names of files that are absent, different, or not made any more."""
    for name, text in made.items():
        path = ROOT / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            yield name
    yield from surplus(made)


def surplus(made: Mapping[str, str]) -> Iterator[str]:
    """Yield names of files that look made, but nothing makes them."""
    for pattern in (f"{MAN}/*", f"{REFERENCE}/options-*"):
        names = [str(path.relative_to(ROOT)) for path in sorted(ROOT.glob(pattern))]
        yield from (name for name in names if name not in made)


def option_table(component: str, struct: type[BrokerConfig]) -> str:
    """Return a page with every option of a command's configuration."""
    program = f"sr_{component}"
    rows = [
        f"| `{option.key}` | {_flags(option)} | {_kind(option)} | {_default(option)} |"
        f" `{_cell(option.key)} = {_cell(option.example)}` | {_cell(option.text)} |"
        for option in schema.options(struct)
    ]
    return "\n".join(
        [
            MADE_BY,
            "",
            f"# Options of {program}",
            "",
            f"Each is a key of `~/.config/sarra_lite/{component}/NAME.toml`.",
            "Given on the command line, it wins.",
            f"What is on the command line only is in [{program}(1)](../man/{program}.1).",
            "",
            "| key | command line | type | default | example | meaning |",
            "|---|---|---|---|---|---|",
            *rows,
            "",
        ]
    )


def _flags(option: schema.Option) -> str:
    match option.kind:
        case "flag":
            return f"`{option.flag}`, `--no-{option.flag[2:]}`"
        case _:
            return ", ".join(f"`{flag}`" for flag in option.flag.split("/"))


def _kind(option: schema.Option) -> str:
    if option.choices:
        return _cell(", ".join(f"`{choice}`" for choice in option.choices))
    return {"flag": "true or false", "count": "number", "rules": "list of tables"}.get(
        option.kind, option.kind
    )


def _default(option: schema.Option) -> str:
    if option.required:
        return "must be set"
    text = schema.shown(option)
    return f"`{_cell(text)}`" if text else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def exit_statuses() -> str:
    """Return the page of exit statuses, and of the errors that lead to each."""
    raised: defaultdict[int, list[str]] = defaultdict(list)
    for name, kind in vars(errors).items():
        if isinstance(kind, type) and issubclass(kind, errors.SarraError):
            raised[kind.exit_status].append(f"`{name}`")
    per_file = (errors.MessageError, errors.TransferError)
    hidden = {f"`{kind.__name__}`" for base in per_file for kind in (base, *base.__subclasses__())}
    rows = [
        f"| {code} | {text} | {', '.join(n for n in raised[code] if n not in hidden)} |"
        for code, text in errors.EXIT_STATUSES.items()
    ]
    return "\n".join(
        [
            MADE_BY,
            "",
            "# Exit statuses",
            "",
            "The same for all commands; `errors.py` has them.",
            "",
            "| status | meaning | error in the code |",
            "|---|---|---|",
            *rows,
            "| 130 | stopped by ^C before it had begun | |",
            "",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())

"""Generates a manual page from the parser of a command and its examples."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from argparse_manpage.manpage import Manpage  # type: ignore[import-untyped]

from sarra_lite import errors

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable
    from types import ModuleType


def manual_page(program: str, module: ModuleType, programs: Iterable[str]) -> str:
    """Return the page in the format of man(7)."""
    parser: argparse.ArgumentParser = module.make_parser()
    epilog, parser.epilog = parser.epilog or "", None
    summary = " ".join((module.__doc__ or "").partition("\n\n")[0].split()).removesuffix(".")
    page = Manpage(parser, {"description": summary[:1].lower() + summary[1:]})
    page.date = ""  # so that the page changes only with the code
    page.source = page.manual = "sarra_lite"
    statuses = "\n".join(f".TP\n{code}\n{_roff(t)}" for code, t in errors.EXIT_STATUSES.items())
    page.add_section("exit status", "=", statuses)
    if paths := _files_section(epilog):
        page.add_section("files", "=", paths)
    if module.EXAMPLES:
        examples = [
            f"{_roff(text)}\n.PP\n.nf\n.RS\n{_roff(line)}\n.RE\n.fi\n.PP"
            for text, line in module.EXAMPLES
        ]
        page.add_section("examples", "=", "\n".join(examples))
    others = [f".BR {_roff(name)} (1)" for name in programs if name != program]
    page.add_section("see also", "=", ",\n".join(others))
    # The list of shells depends on the version of shtab; headings are in capitals.
    text = re.sub(r"(\\fI\\,)?\{bash[^}]*\}(\\/\\fR)?", "SHELL", str(page))
    text = re.sub(r"^\.SH (\w+) \\fI\\,'(.*)'\\/\\fR$", r".SH \1 of \2", text, flags=re.MULTILINE)
    text = text.replace(".SH COMMAND of ", ".SH ").replace(".SH\n", ".SH ")
    text = re.sub(r"^\.SH [a-z ]+$", lambda match: match[0].upper(), text, flags=re.MULTILINE)
    return re.sub(r" +$", "", text, flags=re.MULTILINE)


def _files_section(epilog: str) -> str:
    """Return the section FILES from the end of the help."""
    lines = epilog.partition("files:\n")[2].splitlines()
    return "\n".join(
        _roff(line.strip()) if line.startswith("   ") else f".TP\n.I {_roff(line.strip())}"
        for line in lines
        if line.strip()
    )


def _roff(text: str) -> str:
    """Escape a text; a dot or an apostrophe at its beginning would make it a request."""
    escaped = text.replace("\\", "\\\\").replace("-", r"\-")
    return rf"\&{escaped}" if escaped.startswith((".", "'")) else escaped

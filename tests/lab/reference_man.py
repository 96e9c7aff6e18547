"""Makes a manual page from the command line that ``--help`` shows, and examples."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from argparse_manpage.manpage import Manpage  # type: ignore[import-untyped]

from sarra_lite import errors

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Mapping
    from types import ModuleType

EXAMPLES: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {
    "sr_post": (
        ("Announce a directory, and wait until each file is reported:", "sr_post --wait data/"),
        (
            "Announce what find(1) finds, whatever is in the names:",
            "find data -name '*.nc' -print0 | sr_post --null -",
        ),
        ("Cut files larger than 256 MiB into blocks:", "sr_post --block-size 256Mi big.bin"),
        ("Let a file go at the destination, too:", "sr_post --remove data/old.nc"),
        ("Announce whatever is completed in a directory:", "sr_post --watch data/"),
    ),
    "sr_sender": (
        ("Make queue and bindings, before anything is posted:", "sr_sender --declare"),
        ("Send what is in the queue, then end:", "sr_sender --drain"),
        (
            "Serve the configuration science, four connections at once:",
            "sr_sender -c science --connections 4",
        ),
    ),
    "sr_src2log": (
        ("Serve the configuration default, as systemd does it:", "sr_src2log"),
        ("Bind an exchange that nobody has bound yet, and serve:", "sr_src2log --exchanges xac_b"),
    ),
    "sr_log": (
        ("What happened to a file since yesterday:", "sr_log --since 1d big.bin"),
        ("What failed, as it happens:", "sr_log --failed --follow"),
        (
            "All users' reports of the last hour, for a program:",
            "sr_log --queue-name q_xlog --since 1h --json",
        ),
    ),
    "sr_config": (
        ("Begin a configuration with all that can be in it:", "sr_config example sender"),
        ("Is everything right, before a unit is started?", "sr_config check sender"),
        (
            "Turn a configuration of sr3 into one of ours:",
            "sr_config convert ~/.config/sr3/sender/science.conf",
        ),
    ),
}


def manual_page(program: str, module: ModuleType, programs: Iterable[str]) -> str:
    """Return the page in the language of man(7)."""
    parser: argparse.ArgumentParser = module.make_parser()
    epilog, parser.epilog = parser.epilog or "", None
    summary = " ".join((module.__doc__ or "").partition("\n\n")[0].split()).removesuffix(".")
    page = Manpage(parser, {"description": summary[:1].lower() + summary[1:]})
    page.date = ""  # a page that says the same is the same
    page.source = page.manual = "sarra_lite"
    statuses = "\n".join(f".TP\n{code}\n{_roff(t)}" for code, t in errors.EXIT_STATUSES.items())
    page.add_section("exit status", "=", statuses)
    if paths := _files_section(epilog):
        page.add_section("files", "=", paths)
    if EXAMPLES[program]:
        shown = [
            f"{_roff(text)}\n.PP\n.nf\n.RS\n{_roff(line)}\n.RE\n.fi\n.PP"
            for text, line in EXAMPLES[program]
        ]
        page.add_section("examples", "=", "\n".join(shown))
    others = [f".BR {_roff(name)} (1)" for name in programs if name != program]
    page.add_section("see also", "=", ",\n".join(others))
    # The shells that shtab knows grow with its versions; headings are in capitals.
    text = re.sub(r"(\\fI\\,)?\{bash[^}]*\}(\\/\\fR)?", "SHELL", str(page))
    text = re.sub(r"^\.SH (\w+) \\fI\\,'(.*)'\\/\\fR$", r".SH \1 of \2", text, flags=re.MULTILINE)
    text = text.replace(".SH COMMAND of ", ".SH ").replace(".SH\n", ".SH ")
    text = re.sub(r"^\.SH [a-z ]+$", lambda match: match[0].upper(), text, flags=re.MULTILINE)
    return re.sub(r" +$", "", text, flags=re.MULTILINE)


def _files_section(epilog: str) -> str:
    """Return the section FILES out of what ``--help`` says at its end."""
    lines = epilog.partition("files:\n")[2].splitlines()
    return "\n".join(
        _roff(line.strip()) if line.startswith("   ") else f".TP\n.I {_roff(line.strip())}"
        for line in lines
        if line.strip()
    )


def _roff(text: str) -> str:
    """Escape a text; one that begins with a dot or an apostrophe would be a request."""
    escaped = text.replace("\\", "\\\\").replace("-", r"\-")
    return rf"\&{escaped}" if escaped.startswith((".", "'")) else escaped

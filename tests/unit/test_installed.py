"""What an installed wheel has beside the package: manual pages, completion, and how-to for both."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SHARED = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["shared-data"]
PROGRAMS = sorted(PROJECT["project"]["scripts"])
HOW_TO = (ROOT / "docs/how-to/send-your-first-file.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("place", "names"),
    [
        ("share/man/man1", "{}.1"),
        ("share/bash-completion/completions", "{}"),
        ("share/zsh/site-functions", "_{}"),
    ],
)
def test_a_wheel_has_a_file_of_each_program_where_it_is_looked_for(place: str, names: str) -> None:
    [source] = [ROOT / source for source, target in SHARED.items() if target == place]
    assert sorted(path.name for path in source.iterdir()) == [names.format(p) for p in PROGRAMS]


def test_the_how_to_installs_completion_in_an_empty_home(tmp_path: Path) -> None:
    """As far as bash can tell; sr_post is run from the present sources."""
    for source, place in SHARED.items():
        target = tmp_path / "sarra" / place
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(ROOT / source)
    program = tmp_path / "sarra" / "bin" / "sr_post"
    program.parent.mkdir()
    main = "from sarra_lite.commands.post import main; main()"
    program.write_text(f"#!/bin/sh\nexec {sys.executable} -c '{main}' \"$@\"\n")
    program.chmod(0o755)
    section = HOW_TO.partition("Completion and manual pages")[2].partition("\n## ")[0]
    blocks = re.findall(r"```\n(.*?)```", section, re.DOTALL)
    assert len(blocks) == 2
    used = "source ~/.local/share/bash-completion/completions/sr_post; complete -p sr_post"
    done = subprocess.run(
        ["bash", "-euc", "\n".join([*blocks, used])],
        env=os.environ | {"HOME": str(tmp_path), "PATH": f"{program.parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "_shtab_sr_post" in done.stdout
    assert (tmp_path / ".zfunc" / "_sr_post").is_file()
    assert "fpath=" in (tmp_path / ".zshrc").read_text()

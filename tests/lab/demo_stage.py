"""Runs the demo's commands as somebody would type them, each shown before its output."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING, Final, NamedTuple

from rich.console import Console
from rich.text import Text

from tests.lab import LabError
from tests.lab.site import BIN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_GRACE: Final = 10.0  # seconds a command may take to end


class Person(NamedTuple):
    """Who types a command: the name in the prompt, and what the command finds there.

    ``through`` is a command that runs another: a way to be elsewhere.
    """

    prompt: str
    directory: Path
    env: Mapping[str, str]
    through: tuple[str, ...] = ()

    def command(self, argv: Sequence[str]) -> list[str]:
        """Return what to run here for a command; the path of its program, if it is one of ours."""
        program = BIN / argv[0]
        here = not self.through and program.exists()
        return [*self.through, str(program) if here else argv[0], *argv[1:]]


class Background:
    """A command that was started with ``&``."""

    def __init__(self, who: Person, argv: Sequence[str], log: Path) -> None:
        """Start it; its output goes to the log."""
        self._log = log
        with log.open("w") as output:
            self._process = subprocess.Popen(
                who.command(argv),
                env={**who.env, "PYTHONUNBUFFERED": "1"},
                cwd=who.directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # ^C at the terminal is for the demo to handle
            )
        self.pid = self._process.pid

    @property
    def status(self) -> int | None:
        """Exit status; None while it runs."""
        return self._process.poll()

    def stop(self) -> str:
        """Ask it to end, if it has not; return all that it has said."""
        self._process.terminate()
        try:
            self._process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        return self._log.read_text(errors="replace")


class Stage:
    """What the spectator sees."""

    def __init__(self, logs: Path) -> None:
        """``logs`` is the directory for what commands in the background say."""
        self._console = Console(highlight=False, soft_wrap=True)
        self._logs = logs
        self._sections = 0
        self._started = 0

    def section(self, title: str, line: str) -> None:
        """Begin a section: its title, and one line that explains it."""
        self._sections += 1
        self._print(f"\n{self._sections}. {title}", "bold")
        self._print(f"   {line}\n", "dim")

    def say(self, line: str) -> None:
        """Tell something about what was seen."""
        self._print(f"   {line}")

    def good(self, line: str) -> None:
        """Tell what was verified."""
        self._print(f"   ok: {line}", "green")

    def heading(self, title: str) -> None:
        """Begin a part without a number."""
        self._print(f"\n{title}\n", "bold")

    def echo(self, who: Person, text: str) -> None:
        """Show a prompt and what is typed there."""
        line = Text(f"{who.prompt}$ ", "cyan")
        line.append(text, "bold")
        self._console.print(line)

    def output(self, text: str) -> None:
        """Show what a command has said."""
        if text := text.rstrip("\n"):
            self._print(text)

    def run(self, who: Person, *argv: str, status: int = 0) -> None:
        """Run a command on the spectator's terminal; LabError when it ends with another status."""
        self.echo(who, shlex.join(argv))
        # Into a file or pipe goes all of it, in order; at a terminal, progress is to be seen.
        errors = None if self._console.is_terminal else subprocess.STDOUT
        done = subprocess.run(
            who.command(argv), env=who.env, cwd=who.directory, check=False, stderr=errors
        )
        self.ended(argv[0], done.returncode, status)

    def ask(self, who: Person, *argv: str) -> str:
        """Run a command unseen and return its output."""
        done = subprocess.run(
            who.command(argv),
            env=who.env,
            cwd=who.directory,
            check=False,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise LabError(f"{shlex.join(argv)}: {done.stderr.strip()}")
        return done.stdout

    def start(self, who: Person, *argv: str) -> Background:
        """Start a command in the background."""
        self.echo(who, f"{shlex.join(argv)} &")
        self._started += 1
        log = self._logs / f"{self._started}-{argv[0]}.log"
        return Background(who, argv, log)

    def ended(self, name: str, got: int, expected: int) -> None:
        """Show an exit status where it is not 0; LabError when it is not the one expected."""
        if got:
            self._print(f"   exit status of {name}: {got}", "yellow")
        if got != expected:
            raise LabError(f"{name} ended with status {got} instead of {expected}")

    def _print(self, text: str, style: str = "") -> None:
        self._console.print(text, style=style or None, markup=False)


def environment(config: Path, state: Path) -> dict[str, str]:
    """Return an environment in which our commands are found, and their configuration."""
    return os.environ | {
        "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}",
        "XDG_CONFIG_HOME": str(config),
        "XDG_STATE_HOME": str(state),
    }


def complain(line: str, program: str = "demo") -> None:
    """Tell on standard error why the demo failed."""
    sys.stdout.flush()
    sys.stderr.write(f"{program}: {line}\n")

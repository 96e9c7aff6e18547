"""Runs the demo's commands, and shows each as a user would type it, before its output."""

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

_GRACE: Final = 10.0  # seconds for a command to end after SIGTERM


class Person(NamedTuple):
    """A user who types commands: text of the prompt, working directory and environment.

    ``through`` is a command that runs the user's commands on another host.
    """

    prompt: str
    directory: Path
    env: Mapping[str, str]
    through: tuple[str, ...] = ()

    def command(self, argv: Sequence[str]) -> list[str]:
        """Return the command line to run here, with the path of an sr_* program."""
        program = BIN / argv[0]
        local = not self.through and program.exists()
        return [*self.through, str(program) if local else argv[0], *argv[1:]]


class Background:
    """A command that runs in the background, as with ``&`` in a shell."""

    def __init__(self, person: Person, argv: Sequence[str], log: Path) -> None:
        """Start the command; its output goes to the log."""
        self._log = log
        with log.open("w") as output:
            self._process = subprocess.Popen(
                person.command(argv),
                env={**person.env, "PYTHONUNBUFFERED": "1"},
                cwd=person.directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # ^C at the terminal is for the demo only
            )
        self.pid = self._process.pid

    @property
    def status(self) -> int | None:
        """Exit status, None while the command runs."""
        return self._process.poll()

    def stop(self) -> str:
        """End the command if it still runs; return its output."""
        self._process.terminate()
        try:
            self._process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        return self._log.read_text(errors="replace")


class Stage:
    """The terminal of the demo: shows explanations, commands and their output."""

    def __init__(self, logs: Path) -> None:
        """``logs`` is the directory for the output of commands in the background."""
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
        """Show a comment."""
        self._print(f"   {line}")

    def good(self, line: str) -> None:
        """Show the result of a check."""
        self._print(f"   ok: {line}", "green")

    def heading(self, title: str) -> None:
        """Begin a part without a number."""
        self._print(f"\n{title}\n", "bold")

    def echo(self, person: Person, text: str) -> None:
        """Show a prompt and the command typed there."""
        line = Text(f"{person.prompt}$ ", "cyan")
        line.append(text, "bold")
        self._console.print(line)

    def output(self, text: str) -> None:
        """Show the output of a command."""
        if text := text.rstrip("\n"):
            self._print(text)

    def run(self, person: Person, *argv: str, status: int = 0) -> None:
        """Run a command on the terminal; raise LabError when it ends with another status."""
        self.echo(person, shlex.join(argv))
        # A file or pipe gets both outputs in order; a terminal must stay stderr for progress.
        errors = None if self._console.is_terminal else subprocess.STDOUT
        done = subprocess.run(
            person.command(argv), env=person.env, cwd=person.directory, check=False, stderr=errors
        )
        self.ended(argv[0], done.returncode, status)

    def ask(self, person: Person, *argv: str) -> str:
        """Run a command without showing it; return its output."""
        done = subprocess.run(
            person.command(argv),
            env=person.env,
            cwd=person.directory,
            check=False,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise LabError(f"{shlex.join(argv)}: {done.stderr.strip()}")
        return done.stdout

    def start(self, person: Person, *argv: str) -> Background:
        """Start a command in the background."""
        self.echo(person, f"{shlex.join(argv)} &")
        self._started += 1
        log = self._logs / f"{self._started}-{argv[0]}.log"
        return Background(person, argv, log)

    def ended(self, name: str, got: int, expected: int) -> None:
        """Show an exit status other than 0; raise LabError when it is not the expected one."""
        if got:
            self._print(f"   exit status of {name}: {got}", "yellow")
        if got != expected:
            raise LabError(f"{name} ended with status {got} instead of {expected}")

    def _print(self, text: str, style: str = "") -> None:
        self._console.print(text, style=style or None, markup=False)


def environment(config: Path, state: Path) -> dict[str, str]:
    """Return an environment with the sr_* programs in PATH and these directories."""
    return os.environ | {
        "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}",
        "XDG_CONFIG_HOME": str(config),
        "XDG_STATE_HOME": str(state),
    }


def complain(line: str, program: str = "demo") -> None:
    """Write on standard error why the demo failed."""
    sys.stdout.flush()
    sys.stderr.write(f"{program}: {line}\n")

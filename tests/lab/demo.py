"""``make demo``: sends a tree from one directory to another, and shows each command.

Broker, SFTP server, users and files are private to the demo, and removed at its end.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final

from tests.lab import LabError, demo_checks, demo_people, demo_tree
from tests.lab.demo_checks import queue_state
from tests.lab.demo_stage import Background, Person, Stage, complain
from tests.lab.processes import wait_until
from tests.lab.rabbitmq import Rabbit
from tests.lab.site import BIN, Site
from tests.lab.sshd import Sshd

_SENDERS: Final = 2


class Demo:
    """The steps of the demo, with its broker, SFTP server and users."""

    def __init__(self, stage: Stage, directory: Path, stack: ExitStack) -> None:
        """Start broker and SFTP server, and create the two users."""
        self._stage = stage
        self._stack = stack
        self._seconds = 0.0
        self._senders: list[Background] = []
        stage.section(
            "Services",
            "A private RabbitMQ and a private OpenSSH server on loopback are those of Science.",
        )
        self._rabbit = stack.enter_context(Rabbit(directory / "rabbit"))
        self._sshd = stack.enter_context(Sshd(directory / "sshd"))
        stage.say(f"broker  amqp://{self._rabbit.address}:{self._rabbit.port}/")
        stage.say(f"SFTP    {self._sshd.url}")
        self._site = Site(self._rabbit, self._sshd, directory / "earnest", name="earnest")
        self._earnest = demo_people.earnest(self._site)
        self._ops = demo_people.operator(self._rabbit, directory / "ops")

    def run(self) -> None:
        """Show all steps; raise LabError when a check fails."""
        self._show_user()
        self._make_files()
        self._start_programs()
        self._post()
        self._show_reports()
        self._verify()
        self._show_failure()

    def _show_user(self) -> None:
        stage = self._stage
        stage.section(
            "User Earnest",
            "At Science: an account at the broker, an SFTP login. At EC: these three files.",
        )
        for name in ("post", "sender"):
            stage.run(self._earnest, "cat", f"config/sarra_lite/{name}/default.toml")
        hide = "s,:[^:/]*@,:********@,"
        stage.run(self._earnest, "sed", hide, "config/sarra_lite/credentials.conf")

    def _make_files(self) -> None:
        stage = self._stage
        stage.section(
            "Files",
            f"{demo_tree.SMALL_FILES} small ones, an empty one, one of 1 GiB, a link;"
            " names with spaces and UTF-8.",
        )
        demo_tree.make(self._site.source)
        stage.run(self._earnest, "ls", "-l", "source", "source/climate model")

    def _start_programs(self) -> None:
        stage = self._stage
        stage.section(
            "Programs",
            "Two senders share Earnest's queue; sr_src2log copies all users' reports to xlog.",
        )
        stage.run(self._earnest, "sr_sender", "--declare")
        self._start(self._ops, "sr_src2log")
        self._start_senders()
        wait_until(
            lambda: queue_state(self._rabbit, "q_src2log").consumers == 1,
            "sr_src2log reads its queue",
        )

    def _start_senders(self) -> None:
        self._senders = [self._start(self._earnest, "sr_sender") for _ in range(_SENDERS)]
        queue = self._site.queue
        wait_until(
            lambda: queue_state(self._rabbit, queue).consumers == _SENDERS,
            f"both senders read {queue}",
        )

    def _post(self) -> None:
        stage = self._stage
        stage.section(
            "The transfer",
            "sr_post announces everything and waits until each file is reported.",
        )
        started = time.monotonic()
        stage.run(self._earnest, "sr_post", "--wait", "--timeout", "5m", "source")
        self._seconds = time.monotonic() - started
        for sender in self._senders:
            stage.echo(self._earnest, f"kill {sender.pid}")
            stage.output(sender.stop())

    def _show_reports(self) -> None:
        stage = self._stage
        stage.section(
            "The reports, read from xlog",
            "Operators see every user's transfers. Here: all but the small files.",
        )
        names = ("climate model*", "[be]*", demo_tree.LINK)
        stage.run(self._ops, "sr_log", "--queue-name", "q_xlog", *names)

    def _verify(self) -> None:
        """Compare both trees, and check the reports."""
        stage = self._stage
        stage.section("Every byte", "Both trees are read and compared; so are the reports.")
        diff = demo_tree.compare(self._site.source, self._site.dest)
        if diff.differences:
            raise LabError("source and destination differ:\n" + "\n".join(diff.differences))
        stage.good(
            f"{diff.files} files, {diff.directories} directories, {diff.links} link: names, content"
            " (SHA-256), modes, times, link target"
        )
        rate = diff.bytes / self._seconds / 1e6
        stage.good(
            f"{diff.bytes / 1e6:,.0f} MB in {self._seconds:.1f} s = {rate:.0f} MB/s, from the start"
            " of sr_post to the last report"
        )
        reports = self._reports("--blocks")
        count, instances = demo_checks.blocks(reports)
        shares = ", ".join(f"{number} by {name}" for name, number in sorted(instances.items()))
        stage.good(f"{demo_tree.BIG} crossed in {count} blocks, each sent once: {shares}")
        names = diff.files + diff.directories + diff.links
        demo_checks.one_success_each(reports, names)
        stage.good(f"xlog has one final report, code 201, for each of the {names} names")

    def _show_failure(self) -> None:
        """Remove a file between its announcement and its transfer."""
        stage, queue = self._stage, self._site.queue
        stage.section(
            "A failure",
            "A file is removed after its announcement: see the report and the exit statuses.",
        )
        (self._site.source / "gone.txt").write_text("soon gone\n")
        post = self._start(self._earnest, "sr_post", "--wait", "source/gone.txt")
        wait_until(lambda: queue_state(self._rabbit, queue).ready == 1, "gone.txt is announced")
        stage.run(self._earnest, "rm", "source/gone.txt")
        stage.run(self._earnest, "sr_sender", "--drain", status=1)
        wait_until(lambda: post.status is not None, "sr_post --wait gets the report")
        stage.echo(self._earnest, f"wait {post.pid}")
        stage.output(post.stop())
        stage.ended("sr_post", post.status or 0, 1)
        stage.run(self._ops, "sr_log", "--queue-name", "q_xlog", "--failed")
        demo_checks.one_failure(self._reports("--failed"), "gone.txt", 410)

    def keep(self) -> None:
        """Leave everything running until ^C, and show how to use it."""
        stage = self._stage
        stage.heading("All is left running for you")
        self._start_senders()
        for person, example in (
            (self._earnest, "sr_post --wait source"),
            (self._ops, "sr_log --queue-name q_xlog --follow"),
        ):
            stage.heading(
                f"To be {person.prompt} in another terminal; then, for instance: {example}"
            )
            stage.output(demo_people.shell_setup(person))
        stage.say("^C here ends all of it and removes everything.")
        with suppress(KeyboardInterrupt):
            while True:
                signal.pause()

    def _start(self, person: Person, *argv: str) -> Background:
        command = self._stage.start(person, *argv)
        self._stack.callback(command.stop)
        return command

    def _reports(self, *options: str) -> demo_checks.Reports:
        command = ("sr_log", "--queue-name", "q_xlog", "--json", *options)
        return demo_checks.read(self._stage.ask(self._ops, *command))


def _say_what_next(stage: Stage, seconds: float) -> None:
    stage.heading(f"Done in {seconds:.0f} s; everything is removed. What next?")
    program = os.path.relpath(BIN)
    lines = {
        f"{program}/sr_config example sender": "all that can be configured",
        f"{program}/sr_post --help": "what else sr_post can do",
        "man -l docs/man/sr_sender.1": "the manual pages",
        "make demo ARGS=--keep": "the same, left running to play with",
        "make test": "everything that CI runs",
        "README.md": "users, operators, maintainers: a part each",
    }
    for command, text in lines.items():
        stage.say(f"{command:<36} {text}")


def _play(*, keep: bool) -> None:
    started = time.monotonic()
    base = demo_tree.roomy_directory()
    with ExitStack() as stack:
        name = stack.enter_context(tempfile.TemporaryDirectory(prefix="sarra_lite-demo-", dir=base))
        logs = Path(name, "logs")
        logs.mkdir()
        stage = Stage(logs)
        stage.heading("sarra_lite: send files from EC to Science")
        stage.say(f"Takes half a minute, and up to {demo_tree.NEEDED} GiB in {name} while it runs.")
        try:
            demo = Demo(stage, Path(name), stack)
            demo.run()
            if keep:
                demo.keep()
        finally:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second ^C would interrupt the removal
    _say_what_next(stage, time.monotonic() - started)


def main(argv: list[str] | None = None) -> int:
    """Run the demo; return its exit status."""
    parser = argparse.ArgumentParser("demo", description=__doc__.partition("\n")[0])
    parser.add_argument("--keep", action="store_true", help="leave everything running until ^C")
    args = parser.parse_args(argv)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    try:
        _play(keep=args.keep)
    except KeyboardInterrupt:
        complain("stopped; everything is removed")
        return 130
    except LabError as error:
        complain(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

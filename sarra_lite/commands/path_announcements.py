"""The announcements of the paths of sr_post's command line; showing them for --dry-run."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from sarra_lite import process, units
from sarra_lite.errors import EX_FAILED, EX_OK, SarraError, UsageError
from sarra_lite.posting import scan, selection
from sarra_lite.runtime import log

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable, Iterator

    from sarra_lite.config.commands import PostConfig
    from sarra_lite.messages.v03 import Announcement


def show(config: PostConfig, args: argparse.Namespace) -> int:
    """Print a line for each path that would be announced; return the exit status."""
    announcements = PathAnnouncements(config, args)
    count = 0
    for announcement in itertools.chain.from_iterable(announcements):
        if announcement.block is None:
            count += 1
            name = units.printable(announcement.rel_path)
            process.write(f"{name}: {kind(announcement)}\n")
    problems = f", {announcements.problems} not" if announcements.problems else ""
    log.info("%d would be announced%s", count, problems)
    return EX_FAILED if announcements.problems else EX_OK


def kind(announcement: Announcement) -> str:
    """Return what is announced, for people."""
    operation = announcement.file_op or {}
    if "rename" in operation:
        return f"renamed from {units.printable(operation['rename'])}"
    if "remove" in operation:
        return "directory, removed" if "directory" in operation else "removed"
    if "link" in operation:
        return f"link to {units.printable(operation['link'])}"
    if "directory" in operation:
        return "directory"
    blocks = f", {announcement.blocks.count} blocks" if announcement.blocks else ""
    return f"file, {units.show_size(announcement.size or 0)}{blocks}"


class PathAnnouncements:
    """Yields the announcements of the paths of a command line, those of each list by themselves.

    ``problems``: the number of paths so far that could not be announced; each was logged.
    """

    def __init__(self, config: PostConfig, args: argparse.Namespace) -> None:
        """``args``: the paths, and the flags that say what is announced of them."""
        self.problems = 0
        self._config = config
        self._args = args

    def __iter__(self) -> Iterator[Iterable[Announcement]]:
        """Yield the announcements of lists of paths, lazily."""
        return map(self._of_paths, _path_lists(self._args))

    def _of_paths(self, paths: list[str]) -> Iterator[Announcement]:
        """Yield the announcements of paths, as the flags say; in a thread."""
        args, config = self._args, self._config
        if args.renamed_from:
            yield from (scan.renaming(args.renamed_from, path, config) for path in paths)
        elif args.remove:
            yield from (scan.removal(path, config, is_dir=path.endswith("/")) for path in paths)
        else:
            walked = scan.walk(paths, self._report_problem)
            for result in scan.in_order(walked, config):
                yield from self._accepted(result)

    def _accepted(self, result: Callable[[], Iterable[Announcement]]) -> Iterator[Announcement]:
        """Yield the announcements of one path, or log and count the reason why there are none."""
        try:
            yield from selection.permitted(result(), self._config)
        except UsageError:
            raise
        except SarraError as error:
            self._report_problem(str(error))

    def _report_problem(self, line: str) -> None:
        self.problems += 1
        log.error("%s", line)


def _path_lists(args: argparse.Namespace) -> Iterator[list[str]]:
    """Yield the paths of the command line; those from standard input as soon as they are read."""
    for from_stdin, paths in itertools.groupby(args.paths, "-".__eq__):
        if from_stdin:
            yield from scan.read_paths(b"\0" if args.null else b"\n")
        else:
            yield list(paths)

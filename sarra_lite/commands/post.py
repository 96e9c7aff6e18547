"""Announce files and directory trees, so that a sender pushes them to their destination.

Each path is announced on the broker: a small file with its checksum, a file larger than the block
size as blocks.  With --wait the command waits for the reports on all files; its exit status shows
whether all arrived.  With --watch it keeps running and announces files that are completed, changed,
renamed or removed below the given directories.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sarra_lite import runtime
from sarra_lite.commands import arguments, path_announcements, post_paths
from sarra_lite.config.commands import PostConfig
from sarra_lite.errors import UsageError

if TYPE_CHECKING:
    import argparse

EXAMPLES: Final = (
    ("Announce a directory, and wait for the reports on its files:", "sr_post --wait data/"),
    (
        "Announce the files that find(1) finds, whatever their names contain:",
        "find data -name '*.nc' -print0 | sr_post --null -",
    ),
    ("Print what would be announced, and announce nothing:", "sr_post --dry-run data/"),
    ("Split files larger than 256 MiB into blocks:", "sr_post --block-size 256Mi big.bin"),
    ("Remove a file at the destination:", "sr_post --remove data/old.nc"),
    ("Announce each file that is completed in a directory:", "sr_post --watch data/"),
)


def make_parser() -> argparse.ArgumentParser:
    """Return the command line of sr_post."""
    parser = arguments.make_parser("sr_post", __doc__, PostConfig, EXAMPLES)
    parser.add_argument("paths", nargs="*", metavar="PATH", help="file, directory, or - for stdin")
    parser.add_argument("-0", "--null", action="store_true", help="paths from stdin end with NUL")
    parser.add_argument(
        "--dry-run", action="store_true", help="print what would be announced; connect to nothing"
    )
    parser.add_argument("--wait", action="store_true", help="wait for the reports on all files")
    parser.add_argument(
        "--timeout",
        metavar="DURATION",
        type=arguments.duration,
        help="give up when the broker has taken nothing for so long, for example 5m; with --wait"
        " also when not all is reported so long after the last announcement",
    )
    parser.add_argument("--watch", action="store_true", help="keep running and announce changes")
    parser.add_argument(
        "--accept-removals",
        action="store_true",
        help="with --watch: what is missing at the start was removed, however much it is",
    )
    parser.add_argument("--remove", action="store_true", help="announce that the paths are removed")
    parser.add_argument(
        "--renamed-from", metavar="OLD", help="announce that OLD is renamed to PATH"
    )
    return parser


@runtime.command
def main(argv: list[str] | None = None) -> int:
    """Run sr_post; return its exit status."""
    args, config = arguments.configured(make_parser(), argv, PostConfig, _check)
    if args.watch:
        from sarra_lite.commands import post_watch  # noqa: PLC0415  imports inotify and sqlite

        return post_watch.serve(args.paths, config, accept_removals=args.accept_removals)
    if args.dry_run:
        return path_announcements.show(config, args)
    return runtime.run_loop(post_paths.post(config, args))


def _check(args: argparse.Namespace) -> None:
    """Raise UsageError for flags that cannot be combined."""
    if not args.paths:
        raise UsageError("no PATH given; see sr_post --help")
    if "" in args.paths or args.renamed_from == "":
        raise UsageError("a PATH is empty; the working directory is .")
    if args.watch and (args.wait or args.remove or args.renamed_from or "-" in args.paths):
        raise UsageError("--watch takes directories, and none of --wait, --remove, --renamed-from")
    if args.dry_run and (args.watch or args.wait):
        raise UsageError("--dry-run announces nothing: leave out --watch and --wait")
    if args.watch and args.timeout is not None:
        raise UsageError("--watch has no --timeout: it goes on until it is stopped")
    if args.renamed_from and (len(args.paths) != 1 or args.remove):
        raise UsageError("--renamed-from takes exactly one PATH, the new name")

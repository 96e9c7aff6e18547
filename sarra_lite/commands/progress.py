"""Progress for people at a terminal: files, bytes, rate, time left.  Silent anywhere else."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID


class Progress:
    """One line on standard error, redrawn; log lines are printed above it.

    Set ``files``, ``failed``, ``bytes`` (done so far) and ``of_files``, ``of_bytes`` (expected so
    far), then call ``show``.
    """

    def __init__(self, verb: str, *, quiet: bool = False) -> None:
        """``verb`` stands before the bar; ``quiet`` or no terminal: nothing is shown."""
        self._verb = verb
        self._bar: Bar | None = None
        self._task: TaskID | None = None
        self._wanted = not quiet and sys.stderr.isatty()
        self.files = self.failed = self.bytes = self.of_files = self.of_bytes = 0

    def __enter__(self) -> Self:
        """Begin to draw."""
        if self._wanted:
            # Here, since rich takes longer to import than all else together.
            from rich import progress as rich_progress  # noqa: PLC0415
            from rich.console import Console  # noqa: PLC0415

            self._bar = rich_progress.Progress(
                rich_progress.TextColumn("{task.description}"),
                rich_progress.BarColumn(),
                rich_progress.TextColumn("{task.fields[files]}"),
                rich_progress.DownloadColumn(binary_units=True),
                rich_progress.TransferSpeedColumn(),
                rich_progress.TimeRemainingColumn(),
                console=Console(stderr=True),
                refresh_per_second=5,
            )
            self._bar.start()
            self._task = self._bar.add_task(self._verb, total=None, files="")
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the last state on the screen."""
        self.show()
        if self._bar is not None:
            self._bar.stop()

    def show(self) -> None:
        """Draw the present figures."""
        if self._bar is None or self._task is None:
            return
        failed = f", {self.failed} failed" if self.failed else ""
        self._bar.update(
            self._task,
            completed=self.bytes,
            total=max(self.of_bytes, self.bytes) or None,
            files=f"{self.files:,} of {max(self.of_files, self.files):,} files{failed}",
        )

"""Progress on a terminal: files, bytes, rate, time left.  Nothing is shown without a terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rich.progress import Progress as Bar


class Progress:
    """One line on standard error that is redrawn; log lines appear above it.

    Commands set ``files``, ``failed``, ``bytes`` (done so far) and ``of_files``, ``of_bytes``
    (expected so far), then call ``show``.
    """

    def __init__(self, verb: str, *, quiet: bool = False) -> None:
        """``verb`` is shown before the bar; with ``quiet`` nothing is shown."""
        self._verb = verb
        self._bar: Bar | None = None
        self._enabled = not quiet and sys.stderr.isatty()
        self.files = self.failed = self.bytes = self.of_files = self.of_bytes = 0

    def __enter__(self) -> Self:
        """Begin to draw."""
        if self._enabled:
            # Imported here because rich takes longer to import than all other modules together.
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
            self._bar.add_task(self._verb, total=None, files="")
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the final state on the screen."""
        self.show()
        if self._bar is not None:
            self._bar.stop()

    def show(self) -> None:
        """Draw the current figures."""
        if self._bar is None:
            return
        failed = f", {self.failed} failed" if self.failed else ""
        self._bar.update(
            self._bar.task_ids[0],
            completed=self.bytes,
            total=max(self.of_bytes, self.bytes) or None,
            files=f"{self.files:,} of {max(self.of_files, self.files):,} files{failed}",
        )

"""Progress on a terminal: files, bytes, rate, time left.  Nothing is shown without a terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

# Widths of a terminal, in columns, from which on bytes and rate, and then the bar, have room.
_WITH_BYTES: Final = 80
_WITH_BAR: Final = 100


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
            self._bar = _make_bar()
            self._bar.start()
            # rich hides the cursor, and nothing would show it again after a second ^C.
            self._bar.console.show_cursor()
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
        files = f"{self.files}/{max(self.of_files, self.files)}"
        if self._bar.console.width >= _WITH_BYTES:
            files = f"{self.files:,}/{max(self.of_files, self.files):,} files"
        failed = f", {self.failed} failed" if self.failed else ""
        self._bar.update(
            self._bar.task_ids[0],
            completed=self.bytes,
            total=max(self.of_bytes, self.bytes) or None,
            files=files + failed,
        )


def _make_bar() -> Bar:
    """Return what draws the line: the columns for which the terminal has room."""
    # Imported here because rich takes longer to import than all other modules together.
    from rich import progress as rich_progress  # noqa: PLC0415
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Column  # noqa: PLC0415

    console = Console(stderr=True)
    columns: list[rich_progress.ProgressColumn] = [
        rich_progress.TextColumn("{task.fields[files]}"),
        rich_progress.TimeRemainingColumn(compact=True),
    ]
    if console.width < _WITH_BYTES:
        columns.insert(1, rich_progress.TaskProgressColumn())
    else:
        columns.insert(0, rich_progress.TextColumn("{task.description}"))
        columns[2:2] = [
            rich_progress.DownloadColumn(binary_units=True, table_column=Column(no_wrap=True)),
            rich_progress.TransferSpeedColumn(Column(no_wrap=True)),
        ]
    if console.width >= _WITH_BAR:
        columns.insert(1, rich_progress.BarColumn(min(40, console.width - _WITH_BYTES)))
    return rich_progress.Progress(*columns, console=console, refresh_per_second=5)

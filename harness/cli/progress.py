"""How far a long command is, in bars."""

import math
import sys
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as RichProgress

if TYPE_CHECKING:
    from harness.checkpoint import Progress as Noted


class Progress:
    """A bar with time left, on a terminal's stderr; silent elsewhere."""

    def __init__(self, title: str) -> None:
        columns = (TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(), TextColumn("{task.fields[what]}"))
        self._bar = RichProgress(
            SpinnerColumn(),
            TextColumn(title, markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            *columns,
            console=Console(stderr=True),
            transient=True,
            disable=not sys.stderr.isatty(),
        )
        self._task = self._bar.add_task(title, total=None, what="")
        self._parts: dict[str, TaskID] = {}

    def __enter__(self) -> "Progress":
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def total(self, n_jobs: int) -> None:
        self._bar.update(self._task, total=n_jobs)

    def done(self, what: str) -> None:
        self._bar.update(self._task, advance=1, what=what)
        if what in self._parts:
            self._bar.remove_task(self._parts.pop(what))

    def under_way(self, what: str, progress: "Noted") -> None:
        """A bar of its own for something long, with its loss."""
        loss = "" if math.isnan(progress.loss) else f"loss {progress.loss:.4g}"
        if what not in self._parts:
            self._parts[what] = self._bar.add_task(what, total=progress.total, what="")
        self._bar.update(self._parts[what], total=progress.total, completed=progress.done, what=f"{loss}  {what}")

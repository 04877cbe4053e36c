"""What the command line prints beside scores: rows, JSON, progress."""

import json
import math
import os
import sys
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING

import typer
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
from rich.table import Table

from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.checkpoint import Progress as Noted


def settings_from(given: Sequence[str], *, option: str = "--set", example: str = "history_bins=12") -> dict[str, str]:
    """`field=value` texts as a mapping."""
    for text in given:
        if "=" not in text:
            raise UsageError(f"{option} {text!r} has no '='; write {option} field=value, e.g. {option} {example}")
    return dict(text.split("=", 1) for text in given)


def workers_from(wanted: int) -> int:
    """Fits at a time; 0 means one per usable core."""
    return wanted or len(os.sched_getaffinity(0))


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


def show_rows(rows: Sequence[Mapping[str, str]], *, as_json: bool, nothing: str) -> None:
    """Print rows as a table or as JSON."""
    if as_json:
        typer.echo(json.dumps([dict(row) for row in rows], indent=1))
        return
    if not rows:
        typer.echo(nothing)
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in rows[0]:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*row.values())
    console().print(table, markup=False)


def console() -> Console:
    """Standard output; wide where it is no terminal, so that a table in a file is whole."""
    return Console() if sys.stdout.isatty() else Console(width=160)

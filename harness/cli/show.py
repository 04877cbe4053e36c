"""What the command line prints beside scores: rows and JSON."""

import json
import os
import sys
from collections.abc import Mapping, Sequence

import typer
from rich.console import Console
from rich.table import Table

from harness.errors import UsageError


def settings_from(given: Sequence[str], *, option: str = "--set", example: str = "history_bins=12") -> dict[str, str]:
    """`field=value` texts as a mapping."""
    for text in given:
        if "=" not in text:
            raise UsageError(f"{option} {text!r} has no '='; write {option} field=value, e.g. {option} {example}")
    return dict(text.split("=", 1) for text in given)


def workers_from(wanted: int) -> int:
    """Fits at a time; 0 means one per usable core."""
    return wanted or len(os.sched_getaffinity(0))


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

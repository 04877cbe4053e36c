"""What the command line prints: tables, JSON, progress. Rounding happens here and nowhere below."""

import json
import os
import statistics
import sys
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from types import TracebackType

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress
from rich.table import Table

from harness.errors import UsageError
from harness.results.records import Record


def settings_from(given: Sequence[str]) -> dict[str, str]:
    """`field=value` texts as a mapping."""
    for text in given:
        if "=" not in text:
            raise UsageError(f"--set {text!r} has no '='; write --set field=value, e.g. --set history_bins=12")
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
        )
        self._task = self._bar.add_task(title, total=None, what="")

    def __enter__(self) -> "Progress":
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bar.stop()

    def total(self, n_jobs: int) -> None:
        self._bar.update(self._task, total=n_jobs)

    def done(self, what: str) -> None:
        self._bar.update(self._task, advance=1, what=what)


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
    _console().print(table, markup=False)


def show_records(records: Sequence[Record], *, as_json: bool, store: Path) -> None:
    """Print one table per suite, best decoder first, or all records as JSON lines."""
    if as_json:
        for record in records:
            typer.echo(record.model_dump_json(by_alias=True))
        return
    for suite, of_suite in groupby(records, key=lambda r: r.suite):
        _show_suite(suite, list(of_suite))
    typer.echo(f"\nrecords: {store / 'records'}; look at them: harness board --store {store}")


def _show_suite(suite: str, records: Sequence[Record]) -> None:
    first = records[0]
    simulated = "  SIMULATED, never ranked with real recordings" if first.simulated else ""
    noisy = "  NOISY MACHINE: latencies are not comparable" if any(r.profile.noisy for r in records) else ""
    sessions = f"{len(first.sessions)} recordings"
    table = Table(
        title=f"{suite}  tier {first.tier}, {sessions}, {first.profile.name}, {first.isolation}{simulated}{noisy}",
        title_justify="left",
    )
    table.add_column("decoder")
    right = (first.metric, "95 % interval", "seeds", "p50 ms", "p99 ms", "missed", "parameters", "bytes", "fit s")
    for name in right:
        table.add_column(name, justify="right")
    table.add_column("status")
    by_decoder: dict[str, list[Record]] = {}
    for record in records:
        by_decoder.setdefault(record.decoder.name, []).append(record)
    for rows in sorted(by_decoder.values(), key=_rank):
        table.add_row(*_cells(rows))
    for row in _reference_rows(records):
        table.add_row(*row, style="dim")
    _console().print(table)
    for record in records:
        if record.error:
            typer.echo(f"{record.decoder.name}, seed {record.seed}: {record.status}: {record.error}")


def _rank(records: Sequence[Record]) -> float:
    values = _values(records)
    return -statistics.fmean(values) if values else float("inf")


def _values(records: Sequence[Record]) -> list[float]:
    return [r.scores[r.metric].value for r in records if r.scores]


def _cells(records: Sequence[Record]) -> list[str]:
    """One decoder's row: means over its seeds; the interval spans those of the seeds."""
    r, values = records[0], _values(records)
    if not values:
        return [r.decoder.name, "", "", f"{len(records)}", *[""] * 6, r.status]
    spans = [x.scores[x.metric] for x in records if x.scores]
    low, high = (statistics.fmean([getattr(s, side) for s in spans if s.low is not None]) for side in ("low", "high"))
    spread = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
    lat = [x.latency_ms for x in records if x.latency_ms]
    timing = (
        [f"{statistics.median(getattr(t, n) for t in lat):.3f}" for n in ("p50", "p99")]
        + [f"{statistics.fmean(t.deadline_miss_rate for t in lat):.2%}"]
        if lat
        else ["", "", ""]
    )
    cost = [f"{r.cost.parameters:,}", f"{r.cost.artifact_bytes:,}", f"{statistics.fmean(x.cost.fit_s for x in records):.1f}"]
    status = next((x.status for x in records if x.status != "ok"), "ok")
    return [r.decoder.name, f"{statistics.fmean(values):.2f}", f"{low:.2f} to {high:.2f}", f"{len(values)}{spread}", *timing, *cost, status]


def _reference_rows(records: Sequence[Record]) -> list[list[str]]:
    """Floor and, for simulated sessions, best reachable scores: means over sessions."""
    rows = []
    for kind in ("reference", "floor"):
        names = sorted({name for r in records for s in r.sessions for name in getattr(s, kind)})
        for name in names:
            found = {s.session: getattr(s, kind)[name] for r in records for s in r.sessions if name in getattr(s, kind)}
            rows.append([f"({kind}: {name.replace('_', ' ')})", f"{statistics.fmean(found.values()):.2f}", *[""] * 9])
    return rows


def _console() -> Console:
    return Console() if sys.stdout.isatty() else Console(width=160)

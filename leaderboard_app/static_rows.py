"""Tables of the static copy as text: which columns, in which words, and what a row's place is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from leaderboard_app.wording import interval, metric_name, notes, number, other_tracks, short

Cell = Callable[[Any], str]


@dataclass(frozen=True)
class Column:
    """A heading, and how a row of `table.ranking` is written under it; a column without any text is left out."""

    title: str
    cell: Cell
    is_number: bool = True


@dataclass(frozen=True)
class Layout:
    """Rows of these kinds under these columns; the decoder's name is the heading of a row."""

    kinds: Sequence[str]
    columns: Sequence[Column]


@dataclass(frozen=True)
class Cells:
    """A table as text: titles and their alignment; of each row its kind, its name and its cells."""

    titles: Sequence[tuple[str, bool]]
    rows: Sequence[tuple[str, str, Sequence[str]]]


def bound_or_ranked(metric: str, track: str) -> Layout:
    """Ranked decoders, with references and floors at their place."""
    columns = (
        Column("#", _of("rank", str)),
        *_scores(metric),
        Column("Seed sd (seeds)", _seeds),
        *(Column(f"{label} ms", _of(name, _ms)) for label, name in LATENCIES.items()),
        Column("Missed", _of("deadline_miss_rate", lambda rate: f"{number(rate * 100)} %")),
        Column("Parameters", _of("parameters", lambda n: f"{n:,.0f}")),
        Column("Artefact KiB", _of("artifact_bytes", lambda n: f"{n / 1024:,.1f}")),
        Column("Operations/s", _operations),
        Column("Also in", lambda row: other_tracks(row["tracks"], track), is_number=False),
        Column("Notes", notes, is_number=False),
    )
    return Layout(("ranked", "reference", "floor"), columns)


def unranked(metric: str) -> Layout:
    """Decoders without a rank, and why."""
    reason = Column("Reason", _of("reason", str), is_number=False)
    sessions = Column("Sessions", _of("sessions", str))
    return Layout(("unranked",), (reason, *_scores(metric), sessions, Column("Notes", notes, is_number=False)))


def as_cells(table: pd.DataFrame, layout: Layout) -> Cells | None:
    """The rows of a layout's kinds as text; None if there are none of the first kind."""
    if not table["kind"].eq(layout.kinds[0]).any():
        return None
    rows = [row for _, row in table.iterrows() if row["kind"] in layout.kinds]
    texts = [[column.cell(row) for column in layout.columns] for row in rows]
    used = [i for i in range(len(layout.columns)) if any(cells[i] for cells in texts)]
    titles = [(layout.columns[i].title, layout.columns[i].is_number) for i in used]
    named = zip(rows, texts, strict=True)
    return Cells(titles, [(row["kind"], row["decoder"], [cells[i] for i in used]) for row, cells in named])


def published_cells(table: pd.DataFrame) -> Cells | None:
    """Published numbers as text, the method as the heading of a row; None if there are none."""
    if table.empty:
        return None
    titles = [(PUBLISHED[name], name == "value") for name in PUBLISHED]
    rows = [
        ("published", _text(row["method"]), [_published(row, name) for name in PUBLISHED])
        for _, row in table.iterrows()
    ]
    return Cells(titles, rows)


LATENCIES = {"p50": "p50_ms", "p99": "p99_ms", "Paced p99": "paced_p99_ms"}
PUBLISHED = {
    "dataset": "Data",
    "session_or_split": "Session or split",
    "metric": "Metric",
    "value": "Value",
    "causal": "Causal",
    "source_id": "Source",
    "verified": "Read in",
    "where_found": "Where",
}
"""Column of the file of published numbers -> heading."""


def _published(row: pd.Series, name: str) -> str:
    return number(row[name], 3) if name == "value" else _text(row[name])


def _text(value: Any) -> str:
    return "" if pd.isna(value) else str(value)


def _of(name: str, words: Callable[[Any], str]) -> Cell:
    """A cell from one column; empty where nothing is known."""
    return lambda row: "" if pd.isna(row[name]) else words(row[name])


def _ms(value: float) -> str:
    return number(value, 3)


def _scores(metric: str) -> tuple[Column, Column]:
    ends: Cell = lambda row: interval(row["low"], row["high"])  # noqa: E731
    return Column(metric_name(metric), _of("score", number)), Column("95 % interval", ends)


def _seeds(row: pd.Series) -> str:
    return "" if pd.isna(row["seed_sd"]) else f"{number(row['seed_sd'], 3)} ({row['n_seeds']:.0f})"


def _operations(row: pd.Series) -> str:
    if pd.isna(row["operations_per_s"]):
        return ""
    return short(row["operations_per_s"]) + (" declared" if row["operations"] == "declared" else "")

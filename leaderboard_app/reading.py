"""Reading a store for the pages: the index lists all records; those that a page shows are read whole."""

import functools
import importlib.resources
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import BadData
from harness.results import index
from harness.results.published import open_store
from harness.results.reading import read_record
from harness.results.records import Record
from leaderboard_app.runs import Board

Row = dict[str, Any]
"""One record, as `harness.results.index.COLUMNS`."""


@dataclass(frozen=True)
class BadFile:
    """A file in the store that is no record, or was edited."""

    file: str
    problem: str


@dataclass(frozen=True)
class Listing:
    """What a store holds.

    rows: One for each whole record.
    bad_files: The others.
    """

    rows: tuple[Row, ...]
    bad_files: tuple[BadFile, ...]

    @functools.cached_property
    def boards(self) -> dict[str, tuple[Board, list[Row]]]:
        """Key -> board and its rows, in order."""
        found: dict[Board, list[Row]] = defaultdict(list)
        for row in self.rows:
            found[Board.of_row(row)].append(row)
        return {board.key: (board, found[board]) for board in sorted(found)}


def listing(root: Path) -> Listing:
    """List a store by its index, which is brought up to date; a broken file is named and costs the others nothing."""
    rows = index.rows(open_store(root)) if root.is_dir() else []
    whole = [row for row in rows if not row["problem"]]
    bad = [BadFile(r["path"], _short(r["problem"], root)) for r in rows if r["problem"]]
    return Listing(tuple(whole), tuple(bad))


def shipped_records() -> Path:
    """The store that comes with the harness: as installed, or as checked out. It holds records alone."""
    root = Path(str(importlib.resources.files("harness")))
    installed = root / "_published"
    return installed if installed.is_dir() else root.parent / "submissions" / "results"


def records(root: Path, rows: Iterable[Row]) -> tuple[Record, ...]:
    """The records of these rows, whose hashes the index has checked; one that is gone meanwhile is left out."""
    found = []
    for row in rows:
        try:
            found.append(_record(root / row["path"]))
        except (OSError, BadData):
            continue
    return tuple(found)


def _record(path: Path) -> Record:
    """As it is, or if it is of an older schema brought up to date, which takes longer."""
    try:
        return Record.model_validate_json(path.read_bytes())
    except ValueError:
        return read_record(path)


def _short(problem: str, root: Path) -> str:
    return problem.replace(f"{root}/", "")

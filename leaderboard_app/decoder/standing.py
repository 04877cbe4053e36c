"""Where a decoder stands on a board: its row, its rank, and the tracks that it is in or why it is not."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from harness.results.records import Record
from leaderboard_app.runs import Run, newest, runs_of, shared_data
from leaderboard_app.tracks import tracks_of, why_not


@dataclass(frozen=True)
class Standing:
    """One row of a ranking.

    row: As `table.ranking` has it; NaN where nothing was measured.
    n_ranked: How many decoders have a rank on this board and track.
    n_equal: How many of the others have the same rank, since the scores do not tell them apart.
    """

    row: dict[str, Any]
    n_ranked: int
    n_equal: int

    @property
    def rank(self) -> str:
        return f"{self.row['rank']} of {self.n_ranked}" if self.row["kind"] == "ranked" else "none"

    @property
    def shared(self) -> str:
        others = "1 other" if self.n_equal == 1 else f"{self.n_equal} others"
        return f"shared with {others}" if self.n_equal else "in this track"


def runs_named(records: Sequence[Record], name: str) -> dict[str, Run]:
    """The runs of all decoders of one name on a board, newest first, by label.

    Of runs with one label that saw other recordings the one that can be ranked is kept, else the newest.
    """
    runs = runs_of(records)
    data = shared_data(runs)
    own = [run for run in runs if run.records[0].decoder.name == name]
    kept = {run.label: run for run in sorted(own, key=lambda run: (run.data == data, _age(run)))}
    return {run.label: run for run in sorted(kept.values(), key=_age, reverse=True)}


def standing(table: pd.DataFrame, run: Run) -> Standing:
    """Find a run in a ranking.

    Args:
        table: What `table.ranking` returns for the run's board.
        run: One of that board.
    """
    same = table[table["kind"].isin(["ranked", "unranked"]) & (table["decoder"] == run.label)]
    of_its_age = same[same["started_utc"] == newest(run.records).started_utc]
    row = (same if of_its_age.empty else of_its_age).iloc[0]
    ranked = table[table["kind"] == "ranked"]
    n_equal = int(ranked["rank"].eq(row["rank"]).sum()) - 1 if row["kind"] == "ranked" else 0
    return Standing(row.to_dict(), len(ranked), n_equal)


def membership(run: Run, board: Sequence[Record]) -> dict[str, str]:
    """Track as `name@version` -> why the run is not in it; empty if it is."""
    return {f"{name}@{version}": _why_not(run, name, version) for name, version in tracks_of(board).items()}


def _why_not(run: Run, track: str, version: int) -> str:
    """The first seed's reason."""
    for record in run.records:
        if record.status != "ok":
            return f"seed {record.seed} ended as {record.status}"
        if why := why_not(record, track, version):
            why = why.removeprefix(f"not {track}: ")
            return why if len(run.records) == 1 else f"seed {record.seed}: {why}"
    return ""


def _age(run: Run) -> tuple[str, str]:
    latest = newest(run.records)
    return latest.started_utc, latest.id

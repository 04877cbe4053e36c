"""What of a store, and which rows of a table, a visitor wants to see: pure functions."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import pandas as pd

from harness.results.records import Record, Score, SessionResult
from leaderboard_app.runs import Board
from leaderboard_app.suites import modality_of

KINDS = {"real": "Real", "simulated": "Simulated"}
LIMITS = {
    "parameters": ("parameters", (1e3, 1e4, 1e5, 1e6, 1e7)),
    "artefact": ("artifact_bytes", (2.0**10, 2.0**14, 2.0**17, 2.0**20, 2.0**24)),
    "operations": ("operations_per_s", (1e5, 1e6, 5e6, 1e8, 1e9)),
    "p99": ("p99_ms", (0.1, 0.5, 1.0, 5.0, 20.0)),
}
"""Budget -> column of the table, and the limits that can be chosen."""


@dataclass(frozen=True)
class Wanted:
    """Which boards; an empty choice is no restriction."""

    modalities: Sequence[str] = ()
    kinds: Sequence[str] = ()
    tiers: Sequence[str] = ()
    profiles: Sequence[str] = ()

    def __contains__(self, board: Board) -> bool:
        kind = "simulated" if board.simulated else "real"
        pairs = (
            (modality_of(board.suite), self.modalities),
            (kind, self.kinds),
            (board.tier, self.tiers),
            (board.profile, self.profiles),
        )
        return all(value in chosen or not chosen for value, chosen in pairs)


def subjects_of(records: Iterable[Record]) -> list[str]:
    """All subjects of some records, in order of name."""
    return sorted({session.subject for record in records for session in record.sessions})


def of_subject(records: Sequence[Record], subject: str) -> list[Record]:
    """The same records with the scores and the status of one subject's recordings; of one alone the interval is known.

    Latency, cost and tracks stay those of the whole run.
    """
    found = []
    for record in records:
        sessions = [s for s in record.sessions if s.subject == subject]
        scored = [s for s in sessions if record.metric in s.scores]
        if not sessions:
            continue
        bad = next((s for s in sessions if s.status != "ok"), None)
        said = (
            {"status": bad.status, "error": f"{bad.session}: {bad.error}"} if bad else {"status": "ok", "error": None}
        )
        whole = not bad and len(scored) == len(sessions)
        scores = {record.metric: _mean(scored, record.metric)} if whole else {}
        found.append(record.model_copy(update={"sessions": sessions, "scores": scores, **said}))
    return found


def _mean(sessions: Sequence[SessionResult], metric: str) -> Score:
    low, high = sessions[0].interval.get(metric, (None, None)) if len(sessions) == 1 else (None, None)
    return Score(value=fmean(s.scores[metric] for s in sessions), low=low, high=high)


def within(table: pd.DataFrame, limits: Mapping[str, float]) -> pd.DataFrame:
    """Rows that keep all of these limits; what is not known keeps none. References and floors stay.

    Args:
        table: As `table.ranking` returns it.
        limits: Column -> the largest value.
    """
    kept = table["kind"].isin(["reference", "floor"])
    fits = pd.Series(True, index=table.index)
    for column, most in limits.items():
        fits &= table[column].le(most)
    return table[kept | fits]

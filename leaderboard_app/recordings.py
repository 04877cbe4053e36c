"""Decoders on one recording: which recordings a board has, and what each decoder did on one of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from harness.results.records import Record, SessionResult
from harness.score.metrics import metric
from leaderboard_app.runs import Run, newest, shared_data

COLUMNS = ("decoder", "seed", "score", "low", "high", "p99_ms", "status", "error")


@dataclass(frozen=True)
class Answered:
    """What one decoder did on one recording with one seed."""

    label: str
    record: Record
    result: SessionResult


def recordings_of(runs: Sequence[Run]) -> dict[str, str]:
    """Session -> hash of its data. Of a session with several files, the one that most decoders finished on counts."""
    found = {s.session: s.sha256 for run in sorted(runs, key=_age) for r in run.records for s in r.sessions}
    return dict(sorted((found | dict(shared_data(runs))).items()))


def _age(run: Run) -> str:
    return newest(run.records).started_utc


def seeds_of(runs: Sequence[Run]) -> list[int]:
    """All seeds of a board's decoders."""
    return sorted({record.seed for run in runs for record in run.records})


def answered(runs: Sequence[Run], session: str, data: str, seed: int | None = None) -> list[Answered]:
    """All decoders on one recording, best first, failures last.

    Args:
        runs: Of one board.
        session: Which recording.
        data: Hash of its data; what ran on another file of this name is left out.
        seed: Which seed; the newest run of each decoder unless given. A decoder without that seed is left out.
    """
    latest: dict[str, Answered] = {}
    for run in sorted(runs, key=_age):
        wanted = [r for r in run.records if seed is None or r.seed == seed]
        found = [(r, s) for r in wanted for s in r.sessions if (s.session, s.sha256) == (session, data)]
        for record, result in sorted(found, key=lambda pair: pair[0].started_utc):
            latest[run.label] = Answered(run.label, record, result)
    return sorted(latest.values(), key=_rank)


def _rank(one: Answered) -> tuple[bool, float, str]:
    score = one.result.scores.get(one.record.metric)
    sign = -1.0 if metric(one.record.metric).higher_is_better else 1.0
    return score is None or one.result.status != "ok", sign * (score or 0.0), one.label


def table_of(decoders: Sequence[Answered]) -> pd.DataFrame:
    """One row per decoder, `COLUMNS`: unrounded, None where there is no number."""
    return pd.DataFrame([_row(one) for one in decoders], columns=list(COLUMNS))


def _row(one: Answered) -> dict[str, object]:
    primary, result = one.record.metric, one.result
    low, high = result.interval.get(primary, (None, None))
    return {
        "decoder": one.label,
        "seed": one.record.seed,
        "score": result.scores.get(primary),
        "low": low,
        "high": high,
        "p99_ms": result.latency_ms.p99 if result.latency_ms else None,
        "status": result.status,
        "error": result.error or "",
    }


def bounds_of(decoders: Sequence[Answered]) -> dict[str, float]:
    """Floors and references of the recording itself, as the newest record states them: `floor: chance` -> score."""
    if not decoders:
        return {}
    result = max(decoders, key=lambda one: one.record.started_utc).result
    said = (("floor", result.floor), ("reference", result.reference))
    return {f"{kind}: {name.replace('_', ' ')}": value for kind, values in said for name, value in values.items()}

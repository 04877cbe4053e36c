"""How a decoder came to be: what it learned from, and its earlier versions on the same board."""

from collections.abc import Sequence
from statistics import fmean
from typing import Any

import pandas as pd

from harness.results.records import Record
from leaderboard_app.measured import mean
from leaderboard_app.runs import Data, Run, newest, runs_of

FEW = 3


def learned(records: Sequence[Record]) -> pd.DataFrame:
    """Stages of learning of one run, alike ones together; seconds are of one seed, on average.

    Returns:
        `stage`, `decoder`, `sessions` (in words), `labels`, `times` (per seed), `seconds`, `backend`.
    """
    groups: dict[tuple[str, str, bool, str], list[Any]] = {}
    for record in records:
        for stage in record.learning:
            key = (stage.stage, stage.decoder or record.decoder.name, stage.labels, stage.backend)
            groups.setdefault(key, []).append(stage)
    rows = [
        {
            "stage": name,
            "decoder": decoder,
            "sessions": _named([session for stage in stages for session in stage.sessions]),
            "labels": "yes" if labels else "no",
            "times": round(len(stages) / len(records), 1),
            "seconds": sum(stage.seconds for stage in stages) / len(records),
            "backend": backend,
        }
        for (name, decoder, labels, backend), stages in groups.items()
    ]
    return pd.DataFrame(rows, columns=["stage", "decoder", "sessions", "labels", "times", "seconds", "backend"])


def _named(sessions: Sequence[str]) -> str:
    """The first few by name, and how many more."""
    known = list(dict.fromkeys(sessions))
    more = f" and {len(known) - FEW} more" if len(known) > FEW else ""
    return ", ".join(known[:FEW]) + more


def history(records: Sequence[Record], name: str) -> pd.DataFrame:
    """All that ran under one name on one board, newest first.

    Returns:
        `started_utc`, `score`, `low`, `high` and `p99_ms` (means over seeds), `n_seeds`, `version`, `source`, `status`
        and `changed`: what is other than in the next older row.
    """
    own = runs_of([record for record in records if record.decoder.name == name])
    oldest_first = sorted(own, key=lambda run: (newest(run.records).started_utc, newest(run.records).id))
    rows = [_row(run, before) for run, before in zip(oldest_first, [None, *oldest_first[:-1]], strict=True)]
    return pd.DataFrame(rows[::-1])


def _row(run: Run, before: Run | None) -> dict[str, Any]:
    latest = newest(run.records)
    scores = [r.scores[r.metric] for r in run.records if r.metric in r.scores]
    return {
        "started_utc": latest.started_utc[:16].replace("T", " "),
        "score": mean(s.value for s in scores),
        "low": mean(s.low for s in scores),
        "high": mean(s.high for s in scores),
        "p99_ms": mean(r.latency_ms.p99 for r in run.records if r.latency_ms),
        "n_seeds": len(run.records),
        "status": ", ".join(dict.fromkeys(r.status for r in run.records)),
        "version": latest.decoder.version,
        "source": latest.decoder.source_sha256[:7],
        "changed": "first run here" if before is None else "; ".join(_changes(before, run)),
    }


def _changes(before: Run, after: Run) -> list[str]:
    """What is not the same in two runs, in words."""
    old, new = newest(before.records).decoder, newest(after.records).decoder
    changes = [f"version {old.version} to {new.version}"] if old.version != new.version else []
    changes += [f"source {old.source_sha256[:7]} to {new.source_sha256[:7]}"] * (old.source_sha256 != new.source_sha256)
    names = sorted((old.parameters.keys() | new.parameters.keys()) - {"seed"})
    for name in names:
        a, b = (decoder.parameters.get(name, "absent") for decoder in (old, new))
        changes += [f"{name}: {a} to {b}"] * (a != b)
    return changes + _data_changes(before.data, after.data)


def _data_changes(before: Data, after: Data) -> list[str]:
    if before == after:
        return []
    names = {session for session, _ in before}, {session for session, _ in after}
    return ["other files of the same recordings" if names[0] == names[1] else "other recordings"]


def old_cost(records: Sequence[Record]) -> dict[str, float]:
    """Seconds of learning of records that do not list their stages; means over seeds, those of 0 left out."""
    names = {"pretrain": "pretrain_s", "fit": "fit_s", "adapt": "adapt_s"}
    seconds = {stage: fmean(getattr(r.cost, field) for r in records) for stage, field in names.items()}
    return {stage: value for stage, value in seconds.items() if value > 0}

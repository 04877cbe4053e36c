"""From records to the table of a leaderboard: pure functions, unrounded numbers, no Streamlit.

A row is one decoder identity: name, version, hyper-parameters (the seed apart) and source. Its numbers are means
over its seeds; of two runs with one seed the later counts. A row is ranked if all its seeds finished and kept the
rules of the chosen track, and its recordings are those that most rows of the table were run on.
"""

from collections.abc import Iterable, Sequence
from statistics import fmean, stdev
from typing import Any

import pandas as pd

from harness.results.records import Record
from harness.score.metrics import metric
from leaderboard_app import measured
from leaderboard_app.measured import mean
from leaderboard_app.pairs import tie_groups
from leaderboard_app.runs import Data, Run, newest, runs_of, shared_data
from leaderboard_app.tracks import DEFAULT, qualified, tracks_of, why_not
from leaderboard_app.trust import Marks, all_contaminated, lowest

TEXT = ("kind", "decoder", "tracks", "sessions", "isolation", "status", "reason", "started_utc")
TEXT += ("trust", "contaminated", *measured.TEXT)
NUMBERS = ("score", "low", "high", "seed_sd", "n_seeds", *measured.NUMBERS)
NOTHING_KNOWN: Marks = {}
COLUMNS = ("rank", *TEXT, *NUMBERS, "noisy")


def ranking(records: Sequence[Record], track: str = DEFAULT, marks: Marks = NOTHING_KNOWN) -> pd.DataFrame:
    """Rank the decoders of one board.

    Args:
        records: Records of one `Board`; may be none.
        track: Name of the track that decides who is ranked; its newest version among the records counts.
        marks: Of the records.

    Returns:
        One row per decoder, best first, references and floors between them at their score, unranked rows last.
        Decoders share a `rank` if they cannot be told apart from the best of them (`pairs.tie_groups`).
        `kind` is ranked | unranked | reference | floor; the units are in the columns' names, `reason` says why a row
        is unranked, and `tracks` names those that all its seeds are in.
    """
    runs = runs_of(records)
    data = shared_data(runs)
    versions = tracks_of(records)
    reasons = [_unranked_because(run, data, (track, versions.get(track, 1))) for run in runs]
    rows = [_row(run, reason, versions) | _marked(run, marks) for run, reason in zip(runs, reasons, strict=True)]
    rows += _bounds([r for run in runs if run.data == data for r in run.records if r.status == "ok"])
    table = pd.DataFrame(rows, columns=list(COLUMNS)).astype(
        dict.fromkeys(NUMBERS, float) | dict.fromkeys(TEXT, object)
    )
    table = table.fillna(dict.fromkeys(TEXT, "") | {"noisy": False})
    table["unranked"] = table["kind"] == "unranked"
    ascending = [True, not _higher_is_better(records), True]
    table = table.sort_values(["unranked", "score", "decoder"], ascending=ascending, ignore_index=True)
    places = _places([run for run, reason in zip(runs, reasons, strict=True) if not reason], records)
    table["rank"] = table["decoder"].map(places).where(table["kind"] == "ranked").astype("Int64")
    return table[list(COLUMNS)]


def _places(runs: Sequence[Run], records: Sequence[Record]) -> dict[str, int]:
    """Decoder -> 1 + the number of decoders in better groups; who cannot be told from a group's best is in it."""
    places: dict[str, int] = {}
    for group in tie_groups(runs, _higher_is_better(records)):
        places |= dict.fromkeys([run.label for run in group], 1 + len(places))
    return places


def _higher_is_better(records: Sequence[Record]) -> bool:
    return not records or metric(records[0].metric).higher_is_better


def _unranked_because(run: Run, data: Data, track: tuple[str, int]) -> str:
    """Why a row has no rank; empty if it has one."""
    for record in run.records:
        if record.status != "ok":
            return f"seed {record.seed}: {record.error or record.status}"
        if record.metric not in record.scores:
            return f"seed {record.seed}: the record has no {record.metric}"
    for record in run.records:
        if why := why_not(record, *track):
            return why if len(run.records) == 1 else f"seed {record.seed}: {why}"
    if run.data != data:
        return "ran on other recordings than the rest of this table; run it again"
    return ""


def _row(run: Run, reason: str, versions: dict[str, int]) -> dict[str, Any]:
    statuses = [r.status for r in run.records if r.status != "ok"]
    scored = [r.scores[r.metric] for r in run.records if r.metric in r.scores]
    sessions = [s for r in run.records for s in r.sessions]
    return {
        "kind": "unranked" if reason else "ranked",
        "decoder": run.label,
        "tracks": ", ".join(qualified(run.records, versions)),
        "score": mean(s.value for s in scored),
        "low": mean(s.low for s in scored),
        "high": mean(s.high for s in scored),
        "n_seeds": len(run.records),
        "seed_sd": stdev(s.value for s in scored) if len(scored) > 1 else None,
        "sessions": f"{sum(s.status == 'ok' for s in sessions)}/{len(sessions)}",
        "isolation": ", ".join(sorted({r.isolation for r in run.records})),
        "status": ", ".join(dict.fromkeys(statuses)) or "ok",
        "reason": reason,
        "noisy": any(r.profile.noisy for r in run.records),
        "started_utc": newest(run.records).started_utc,
        **measured.measured(run.records),
    }


def _marked(run: Run, marks: Marks) -> dict[str, Any]:
    """The trust of all seeds together, and the test recordings that the decoder learned from by its card."""
    return {"trust": lowest(run.records, marks), "contaminated": ", ".join(all_contaminated(run.records, marks))}


def _bounds(records: Sequence[Record]) -> list[dict[str, Any]]:
    """Ceilings and floors: what the recordings themselves allow, as means over sessions."""
    if not records:
        return []
    sessions = newest(records).sessions
    references = [("reference", f"reference: {k}", v) for k, v in _over(s.reference for s in sessions).items()]
    floors = [("floor", f"floor: {k}", v) for k, v in _over(s.floor for s in sessions).items()]
    return [{"kind": kind, "decoder": label, "score": score} for kind, label, score in references + floors]


def _over(sessions: Iterable[dict[str, float]]) -> dict[str, float]:
    """Means over sessions of what every session states."""
    stated = list(sessions)
    if not stated:
        return {}
    shared = [name for name in stated[0] if all(name in s for s in stated)]
    return {name.replace("_", " "): fmean(s[name] for s in stated) for name in shared}

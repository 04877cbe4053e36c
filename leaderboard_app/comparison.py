"""Two decoders in words and tables: a sentence to quote, recording by recording, and what each costs."""

from collections.abc import Sequence
from math import isnan

import pandas as pd

from harness.score.metrics import metric
from leaderboard_app.measured import mean, measured
from leaderboard_app.pairs import ENOUGH, Difference, told_apart
from leaderboard_app.runs import Run, newest, shared_data
from leaderboard_app.wording import interval, metric_name, number, short

MOST_DIGITS = 4
HOW = {
    "draws": "Paired: bootstrap draws of the same {blocks} for both decoders are subtracted one by one, then "
    "recordings are resampled.",
    "recordings": "Paired: the t interval of the differences of the recordings. The store has not both decoders' "
    "bootstrap draws, by which {blocks} could be paired too.",
    "intervals": "Not paired: made of the two decoders' own intervals on each recording as if these were independent, "
    "for there are fewer than three recordings and the store has not both decoders' bootstrap draws. What is hard for "
    "both makes it wider than need be.",
    "none": "The records hold too little for an interval.",
}
COSTS = {
    "p50_ms": "p50 latency, ms",
    "p99_ms": "p99 latency, ms",
    "paced_p99_ms": "Paced p99, ms",
    "parameters": "Parameters",
    "artifact_bytes": "Artefact, bytes",
    "state_bytes": "State, bytes",
    "operations_per_s": "Operations/s",
    "macs_per_s": "MACs/s",
    "acs_per_s": "ACs/s",
    "training_s": "Training, s",
}
"""Quantity -> how it is written, unit included; less is better in all."""


def comparable(runs: Sequence[Run]) -> dict[str, Run]:
    """Label -> run, best first, for those with a score on a recording.

    Of several runs of one decoder, on different recordings, the one counts whose recordings most others ran on; if
    none does, the newest.

    Args:
        runs: Of one board.
    """
    data = shared_data(runs)
    scored = [run for run in runs if any(s.scores for r in run.records for s in r.sessions)]
    by_use = sorted(scored, key=lambda run: (run.data == data, newest(run.records).started_utc))
    kept = {run.label: run for run in by_use}
    return {run.label: run for run in sorted(kept.values(), key=_order)}


def sentence(d: Difference, where: str) -> str:
    """The comparison in one sentence that stands by itself.

    Args:
        d: Its numbers.
        where: Which board it is from.
    """
    n = len(d.recordings)
    on = f"on {n} {'recording' if n == 1 else 'recordings'} ({where})"
    name, places = metric_name(d.metric), digits(d)
    step = f"{d.a} minus {d.b} is {number(d.mean, places)} in {name}"
    if d.how == "none":
        return f"{step} {on}; there is no interval."
    if not d.better:
        span = f"{number(d.low, places)} to {number(d.high, places)}"
        return f"{d.a} and {d.b} cannot be told apart: {step} (95 % interval {span}) {on}."
    worse = d.b if d.better == d.a else d.a
    by, low, high = (number(abs(x), places) for x in (d.mean, *sorted((d.low, d.high), key=abs)))
    return f"{d.better} beats {worse} by {by} in {name} (95 % interval {low} to {high}) {on}."


def how_found(d: Difference, *, trials: bool) -> str:
    """How the interval was found.

    Args:
        d: The comparison.
        trials: Whether draws are of trials, not of blocks of time.
    """
    return HOW[d.how].format(blocks="trials" if trials else "blocks of 10 s")


def reach(d: Difference) -> str:
    """What the interval speaks of: other recordings only where there are enough of them."""
    if d.how == "none":
        return ""
    many = len(d.recordings) >= ENOUGH and d.how != "intervals"
    beyond = "stretches and recordings of this kind" if many else "stretches of these very recordings"
    return (
        f"It speaks of other {beyond}, not of other seeds, and of this one comparison: whoever looks at many will find "
        "some that differ by chance."
    )


def wins(d: Difference) -> str:
    """On how many recordings each is ahead, and on how many of these an interval leaves 0 out."""
    table = by_recording(d)
    parts = []
    for name, mark in ((d.a, "a"), (d.b, "b")):
        ahead = table["ahead"] == mark
        sure = f" (by an interval that leaves 0 out on {(ahead & table['apart']).sum()})"
        known = ahead.any() and table["low"].notna().any()
        parts.append(f"{name} on {ahead.sum()}{sure if known else ''}")
    equal = (table["ahead"] == "").sum()
    of = "1 recording" if len(table) == 1 else f"{len(table)} recordings"
    return f"Who is ahead, of {of}: {', '.join(parts)}{f', neither on {equal}' if equal else ''}."


def by_recording(d: Difference) -> pd.DataFrame:
    """One row for each recording: scores, a - b with its interval, who is `ahead` (a, b or neither), `apart` or not."""
    rows = [
        {**vars(r), "ahead": _ahead(d.sign * r.difference), "apart": told_apart(r.low, r.high)} for r in d.recordings
    ]
    return pd.DataFrame(rows, columns=["session", "a", "b", "difference", "low", "high", "ahead", "apart"])


def side_by_side(a: Run, b: Run) -> pd.DataFrame:
    """Latency and cost of both with the ratio a / b; quantities that neither has are left out."""
    found = [_costs(run) for run in (a, b)]
    rows = []
    for name, label in COSTS.items():
        one, other = (cost.get(name) for cost in found)
        if one is not None or other is not None:
            rows.append({"quantity": label, "a": _shown(one), "b": _shown(other), "ratio": _ratio(one, other)})
    return pd.DataFrame(rows, columns=["quantity", "a", "b", "ratio"])


def own_score(run: Run) -> str:
    """A run's score over all its recordings with its interval, means over seeds; empty if a seed has none."""
    own = [r.scores[r.metric] for r in run.records if r.metric in r.scores]
    if len(own) < len(run.records):
        return ""
    value, low, high = (mean(getattr(s, name) for s in own) for name in ("value", "low", "high"))
    span = "" if low is None or high is None else f" ({interval(low, high)})"
    return f"{number(value or 0.0)}{span}"


def digits(d: Difference) -> int:
    """Two, or as many as show on which side of 0 the ends of the interval lie."""
    ends = [abs(end) for end in (d.low, d.high) if end and not isnan(end)]
    return next((n for n in range(2, MOST_DIGITS) if all(round(end, n) for end in ends)), MOST_DIGITS)


def _order(run: Run) -> tuple[bool, float, str]:
    """Best score first; runs of which a seed failed last."""
    values = [r.scores[r.metric].value for r in run.records if r.metric in r.scores]
    sign = -1 if metric(run.records[0].metric).higher_is_better else 1
    return (len(values) < len(run.records), sign * (mean(values) or 0.0), run.label)


def _ahead(advantage: float) -> str:
    return "a" if advantage > 0 else "b" if advantage < 0 else ""


def _costs(run: Run) -> dict[str, float | None]:
    cost = measured(run.records)
    stages = [cost.get(name) for name in ("pretrain_s", "fit_s", "adapt_s")]
    return cost | {"training_s": sum(s for s in stages if s) if any(s is not None for s in stages) else None}


def _shown(value: float | None) -> str:
    return "-" if value is None else short(value)


def _ratio(one: float | None, other: float | None) -> str:
    """How many times as much the first is; nothing where one is unknown or 0."""
    return short(one / other) if one and other else ""

"""Two decoders on the same recordings: their difference and its 95 % interval, and who cannot be told apart.

Pure functions on runs, and on bootstrap draws where somebody has read them; no files, no Streamlit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import stdtrit

from harness.errors import UsageError
from harness.results.records import Record, SessionResult
from harness.score.metrics import metric
from harness.score.stats import PROTOCOL, Interval, interval, over_sessions
from leaderboard_app.runs import Run

How = Literal["draws", "recordings", "intervals", "none"]
Draws = Mapping[str, np.ndarray]
"""Session -> (n_draws,) bootstrap draws of the primary metric, means over seeds."""

LEVEL = 0.95
UNKNOWN = Interval(np.nan, np.nan)
ENOUGH = 3
"""Recordings that a t interval needs; two would give one with a single degree of freedom."""


@dataclass(frozen=True)
class OnRecording:
    """One recording: scores as means over seeds, their difference a - b and its interval, NaN where there is none."""

    session: str
    a: float
    b: float
    difference: float
    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """How decoder `a` differs from decoder `b`: a - b, in the unit of the metric.

    recordings: Those that both finished with all their seeds.
    mean: Over these; NaN if there are none.
    low, high: The 95 % interval of the mean; NaN where `how` is "none".
    how: "draws": draws of the same blocks or trials, subtracted one by one, then resampled over recordings.
        "recordings": t interval of the recordings' differences.
        "intervals": from the two decoders' own intervals on these very recordings, as if they were independent; it
            says nothing of other recordings.
    """

    a: str
    b: str
    metric: str
    recordings: tuple[OnRecording, ...]
    mean: float
    low: float
    high: float
    how: How

    @property
    def sign(self) -> int:
        """1 where a higher score is better, else -1: times a difference, that is how much better `a` is."""
        return 1 if metric(self.metric).higher_is_better else -1

    @property
    def better(self) -> str:
        """The decoder that is better; empty if the interval covers 0 or there is none."""
        if not told_apart(self.low, self.high):
            return ""
        return self.a if self.sign * self.mean > 0 else self.b


def told_apart(low: float, high: float) -> bool:
    """Whether an interval leaves 0 out; one that is not known does not."""
    return low > 0 or high < 0


def difference(a: Run, b: Run, draws: tuple[Draws, Draws] | None = None) -> Difference:
    """Compare two decoders, recording by recording.

    The interval speaks of other stretches and other recordings of the kind, not of other seeds.

    Args:
        a: All seeds of one decoder.
        b: Of the other.
        draws: Of `a` and of `b`; used if they hold every recording that the two share.
    """
    table = _Scores.of([a, b])
    shared = [i for i in range(len(table.sessions)) if np.isfinite(table.by_recording[:, i]).all()]
    steps = _steps(draws, [table.sessions[i] for i in shared])
    spans = [interval(step) for step in steps] if steps else [UNKNOWN] * len(shared)
    rows = tuple(_row(table, i, span) for i, span in zip(shared, spans, strict=True))
    found = table.against(0)
    mean, low, high, how = found.mean[1], found.low[1], found.high[1], _how(found, 1)
    if steps:
        drawn = over_sessions(steps, rng=np.random.default_rng(PROTOCOL.seed))
        low, high, how = drawn.low, drawn.high, "draws"
    return Difference(a.label, b.label, a.records[0].metric, rows, float(mean), float(low), float(high), how)


def tie_groups(runs: Sequence[Run], higher_is_better: bool) -> list[list[Run]]:
    """Divide runs, best first, into groups within which nobody can be told from the group's best.

    Walking down from the best run, its head, the group takes all whose difference from the head has a 95 % interval
    that covers 0, or no interval; the first that can be told from the head heads the next group. So scores never
    rise from one group to the next.

    "Cannot be told apart" is not transitive: two members of a group may well differ from each other, and a run with
    few or uneven recordings may be inseparable from the head of an earlier group though one between them is not. The
    level is that of each comparison by itself; nothing corrects for their number. Only records are used, and so an
    interval here is wider than one by paired draws may be.

    Args:
        runs: Finished ones; each record states its score.
        higher_is_better: Of the metric.

    Raises:
        UsageError: If a record has no score.
    """
    if not runs:
        return []
    if lacking := [run.label for run in runs if any(r.metric not in r.scores for r in run.records)]:
        raise UsageError(f"{', '.join(lacking)}: no score of all seeds; give runs that finished, and leave others out")
    table = _Scores.of(runs)
    sign = -1 if higher_is_better else 1
    order = sorted(range(len(runs)), key=lambda i: (sign * table.own[i], runs[i].label))
    groups: list[list[Run]] = []
    while order:
        apart = table.against(order[0]).apart[order]
        size = int(np.argmax(apart)) if apart.any() else len(order)
        groups.append([runs[i] for i in order[:size]])
        order = order[size:]
    return groups


@dataclass(frozen=True)
class _Spans:
    """Differences of one run from each: mean, its interval, whether it is of paired recordings; (n_runs,) each."""

    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    paired: np.ndarray

    @property
    def apart(self) -> np.ndarray:
        return (self.low > 0) | (self.high < 0)


@dataclass(frozen=True)
class _Scores:
    """What records say of several runs.

    sessions: Names of the columns; a name stands twice if two files were called so.
    by_recording: (n_runs, n_recordings) means over seeds, NaN where a seed has none.
    below, above: Alike, how far a recording's own interval reaches from its score.
    own: (n_runs,) score over all recordings, mean over seeds, NaN where missing.
    """

    sessions: tuple[str, ...]
    by_recording: np.ndarray
    below: np.ndarray
    above: np.ndarray
    own: np.ndarray

    @classmethod
    def of(cls, runs: Sequence[Run]) -> "_Scores":
        columns = {key: i for i, key in enumerate(sorted(frozenset().union(*(run.data for run in runs))))}
        table = np.full((3, len(runs), len(columns)), np.nan)
        for i, run in enumerate(runs):
            seeds = np.full((3, len(run.records), len(columns)), np.nan)
            for j, record in enumerate(run.records):
                for s in record.sessions:
                    seeds[:, j, columns[s.session, s.sha256]] = _with_reach(s, record.metric)
            table[:, i] = seeds.mean(axis=1)
        own = np.array([np.mean([_own(r) for r in run.records]) for run in runs])
        return cls(tuple(session for session, _ in columns), *table, own)

    def against(self, i_head: int) -> _Spans:
        """`i_head` minus each run, by the recordings that both have."""
        steps = self.by_recording[i_head] - self.by_recording
        finite = np.isfinite(steps)
        n = finite.sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.where(finite, steps, 0).sum(axis=1) / n
            variance = np.where(finite, (steps - mean[:, None]) ** 2, 0).sum(axis=1) / (n - 1)
            half = stdtrit(n - 1.0, (1 + LEVEL) / 2) * np.sqrt(variance / n)
            below, above = (reach / n for reach in self._if_independent(i_head, finite))
        paired = n >= ENOUGH
        return _Spans(mean, mean - np.where(paired, half, below), mean + np.where(paired, half, above), paired)

    def _if_independent(self, i_head: int, shared: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """How far the interval of the sum over shared recordings, (n_runs, n_recordings), reaches below and above.

        Zou & Donner 2008, doi:10.1002/sim.3095: distances from estimate to limit add as roots of squares do.
        """
        pairs = (self.below[i_head], self.above), (self.above[i_head], self.below)
        below, above = (np.sqrt(np.where(shared, a**2 + b**2, 0).sum(axis=1)) for a, b in pairs)
        return below, above


def _with_reach(session: SessionResult, name: str) -> tuple[float, float, float]:
    """A recording's score, and how far its interval reaches below and above it; NaN where it has none."""
    score = session.scores.get(name, np.nan)
    low, high = session.interval.get(name, (np.nan, np.nan))
    return score, score - low, high - score


def _own(record: Record) -> float:
    score = record.scores.get(record.metric)
    return score.value if score else np.nan


def _row(table: _Scores, i: int, span: Interval) -> OnRecording:
    a, b = (float(value) for value in table.by_recording[:, i])
    return OnRecording(table.sessions[i], a, b, a - b, span.low, span.high)


def _steps(draws: tuple[Draws, Draws] | None, sessions: Sequence[str]) -> list[np.ndarray]:
    """Differences of draws for each session; none where one of them has no draws, or they do not fit."""
    if draws is None or len(set(sessions)) < len(sessions):
        return []
    pairs = [tuple(of.get(session, np.empty(0)) for of in draws) for session in sessions]
    sizes = {len(one) for pair in pairs for one in pair}
    if len(sizes) != 1 or 0 in sizes:
        return []
    steps = [a - b for a, b in pairs]
    return steps if all(np.isfinite(step).any() for step in steps) else []


def _how(found: _Spans, i: int) -> How:
    if not np.isfinite(found.low[i]):
        return "none"
    return "recordings" if found.paired[i] else "intervals"

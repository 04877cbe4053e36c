"""Train, validation and test: parts of a session that share no scored bin, with gaps between them."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from harness.data.align import Aligned, to_ticks
from harness.data.segments import segment_parts
from harness.data.split_rules import ReachSplit, SegmentSplit, Split, TimeSplit, TrialSplit
from harness.errors import BadData, UsageError
from harness.types import Inputs, Recording

PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class Parts:
    """A session, cut up.

    ticks: Part -> (n_bins,) int64, the right edges of its bins on the session's clock of `clock_hz`.
    """

    train: Recording
    validation: Recording
    test: Recording
    ticks: Mapping[str, np.ndarray] = field(default_factory=dict)
    clock_hz: int = 1

    def __getitem__(self, part: str) -> Recording:
        return {"train": self.train, "validation": self.validation, "test": self.test}[part]


def split(aligned: Aligned, trials: Mapping[str, np.ndarray], rule: Split) -> Parts:
    """Cut a session into its parts.

    Raises:
        BadData: If a part has no scored bin, an output never changes in the scored bins of the test, or the trials
            lack what the rule needs.
        UsageError: If the rule needs reaches and the layout names no goals.
    """
    if isinstance(rule, TrialSplit):
        chosen = _by_trials(aligned, trials, rule)
    elif isinstance(rule, SegmentSplit):
        chosen = _by_segments(aligned, rule)
    else:
        chosen = _in_time(aligned, rule)
    recordings = {part: _cut(aligned, bins, scored) for part, (bins, scored) in chosen.items()}
    for part, recording in recordings.items():
        if not recording.scored.any():
            raise BadData(
                f"session {aligned.recording.session.id!r}: its {part} part has no scored bin, of {len(aligned.ticks)} "
                f"bins in all; correct the suite's split, or leave the session out"
            )
    _check_variation(recordings["test"])
    ticks = {part: aligned.ticks[bins] for part, (bins, _) in chosen.items()}
    return Parts(**recordings, ticks=ticks, clock_hz=aligned.clock_hz)


def _check_variation(test: Recording) -> None:
    """Refuse a test in which an output stands still: its R2 would have no value."""
    if test.session.kind != "regression":
        return
    still = np.ptp(test.targets[test.scored], axis=0) == 0
    if still.any():
        names = [name for name, is_still in zip(test.session.outputs, still, strict=True) if is_still]
        raise BadData(
            f"session {test.session.id!r}: {', '.join(names)} {'does' if len(names) == 1 else 'do'} not change in the "
            f"{int(test.scored.sum())} scored bins of the test part, so that R2 has no value; leave the session out, "
            f"or let the suite's split give the test more, or drop the output from the layout's target"
        )


def columns_of(rule: Split) -> tuple[str, ...]:
    """The trial columns that a rule reads."""
    if not isinstance(rule, TrialSplit):
        return ()
    named = (rule.window.start, rule.window.stop, *rule.keep, *((rule.column,) if rule.column else ()))
    return tuple(dict.fromkeys(named))


def find_leaks(parts: Parts, *, gap_s: float = 0.0) -> tuple[str, ...]:
    """What is wrong with the separation of parts, in words; nothing if they are apart.

    No scored bin of a part may lie in an earlier one (train before validation before test), scored or not, nor be
    scored twice, nor be nearer than `gap_s` to a scored bin of another part.
    """
    found = []
    for earlier, later in itertools.combinations(PARTS, 2):
        scored = parts.ticks[later][parts[later].scored]
        n_inside = int(np.count_nonzero(_distance(parts.ticks[earlier], scored) == 0))
        if n_inside:
            found.append(f"{n_inside} scored bins of {later} lie in {earlier}")
        bin_ticks = parts[later].inputs.bin_s * parts.clock_hz
        nearest = _distance(parts.ticks[earlier][parts[earlier].scored], scored) - bin_ticks
        if nearest.size and nearest.min() < gap_s * parts.clock_hz - 1e-6:
            gap = nearest.min() / parts.clock_hz
            found.append(f"{earlier} and {later} are {gap:g} s apart, where {gap_s:g} s belong")
    return tuple(found)


def _in_time(aligned: Aligned, rule: TimeSplit | ReachSplit) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    n = len(aligned.ticks)
    if isinstance(rule, ReachSplit):
        first, second = _between_reaches(aligned, rule)
    else:
        first, second = round(rule.fractions[0] * n), round((1 - rule.fractions[2]) * n)
    edges = {
        "train": (0, _before_gap(aligned, first, rule.gap_s)),
        "validation": (first, _before_gap(aligned, second, rule.gap_s)),
        "test": (second, n),
    }
    scored = aligned.recording.scored
    return {part: (np.arange(a, max(a, b)), scored) for part, (a, b) in edges.items()}


def _by_segments(aligned: Aligned, rule: SegmentSplit) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    recording = aligned.recording
    owner, starts = segment_parts(
        len(recording),
        recording.inputs.bin_s,
        segment_s=rule.segment_s,
        fractions=rule.fractions,
        session_id=recording.session.id,
        seed=rule.seed,
    )
    recording.inputs.starts[starts] = True
    return {part: (np.flatnonzero(owner == i), recording.scored) for i, part in enumerate(PARTS)}


def _between_reaches(aligned: Aligned, rule: ReachSplit) -> tuple[int, int]:
    """The first bins of validation and of test."""
    if aligned.cuts is None:
        raise UsageError(
            f"session {aligned.recording.session.id!r}: the split is by reaches, but its layout does not say where the "
            f"goals are; add `goals` to it, or split by `time`"
        )
    n_reaches = len(aligned.cuts) + 1
    n_train = int(np.floor(rule.train * n_reaches))
    n_validation = int(np.floor((n_reaches - n_train) / 2))
    first_of_reach = np.concatenate([[0], np.searchsorted(aligned.ticks, aligned.cuts), [len(aligned.ticks)]])
    return int(first_of_reach[n_train]), int(first_of_reach[n_train + n_validation])


def _before_gap(aligned: Aligned, boundary: int, gap_s: float) -> int:
    """Where the part before `boundary` ends: the gap is as many bins and, should they lie too close, as much time."""
    n_bins = int(np.ceil(gap_s / aligned.recording.inputs.bin_s - 1e-9))
    if boundary >= len(aligned.ticks):
        return boundary - n_bins
    latest = aligned.ticks[boundary] - aligned.bin_ticks - gap_s * aligned.clock_hz + 1e-6
    return min(boundary - n_bins, int(np.searchsorted(aligned.ticks, latest, side="right")))


def _by_trials(
    aligned: Aligned, trials: Mapping[str, np.ndarray], rule: TrialSplit
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Part -> (the bins of its runs, which of the session's bins it scores)."""
    owner = _owners(aligned, trials, rule)
    scored = {p: (owner == i) & aligned.recording.scored & _apart(aligned, owner, i, rule) for i, p in enumerate(PARTS)}
    n_context = round(rule.context_s / aligned.recording.inputs.bin_s)
    chosen = {}
    for i, part in enumerate(PARTS):
        later = np.any([scored[p] for p in PARTS[i + 1 :]] or [np.zeros(len(owner), bool)], axis=0)
        chosen[part] = (_runs(scored[part], later, aligned.recording.inputs.starts, n_context), scored[part])
    return chosen


def _owners(aligned: Aligned, trials: Mapping[str, np.ndarray], rule: TrialSplit) -> np.ndarray:
    """(n_bins,) which part's window a bin's right edge lies in: an index into PARTS, or -1."""
    window = rule.window
    start_s = first_times(trials[window.start]) + window.start_offset_s
    stop_s = first_times(trials[window.stop]) + window.stop_offset_s
    part = _parts_of_trials(trials, rule, usable=np.isfinite(start_s) & np.isfinite(stop_s), order=start_s)
    owner = np.full(len(aligned.ticks), -1)
    # In this order a bin in the windows of two parts goes to the later one, so that no test bin is ever trained on.
    for i in range(len(PARTS)):
        lows = np.searchsorted(aligned.ticks, to_ticks(start_s[part == i], aligned.clock_hz), side="right")
        highs = np.searchsorted(aligned.ticks, to_ticks(stop_s[part == i], aligned.clock_hz), side="right")
        for low, high in zip(lows, highs, strict=True):
            owner[low:high] = i
    return owner


def _parts_of_trials(
    trials: Mapping[str, np.ndarray], rule: TrialSplit, *, usable: np.ndarray, order: np.ndarray
) -> np.ndarray:
    """(n_trials,) index into PARTS, or -1."""
    for column, allowed in rule.keep.items():
        usable = usable & np.isin(_labels(trials, column), np.array(allowed))
    part = np.full(len(usable), -1)
    if rule.column is None:
        kept = _in_order(usable, order)
        first = round(rule.fractions[0] * len(kept))
        second = round((1 - rule.fractions[2]) * len(kept))
        part[kept] = np.repeat([0, 1, 2], [first, second - first, len(kept) - second])
        return part
    labels = _labels(trials, rule.column)
    part[usable & np.isin(labels, np.array(rule.test))] = 2
    train = _in_order(usable & np.isin(labels, np.array(rule.train)), order)
    n_validation = round(rule.validation_fraction * len(train))
    part[train[: len(train) - n_validation]] = 0
    part[train[len(train) - n_validation :]] = 1
    return part


def _labels(trials: Mapping[str, np.ndarray], column: str) -> np.ndarray:
    """(n_trials,) the one value that each trial has in a column."""
    values = trials[column]
    if values.dtype == object or values.ndim != 1:
        raise BadData(
            f"trial column {column!r} has several values per trial, so it cannot choose trials; name a column with "
            f"one value per trial in `keep` and `column` of the suite's split"
        )
    return values


def _in_order(usable: np.ndarray, order: np.ndarray) -> np.ndarray:
    trials = np.flatnonzero(usable)
    return trials[np.argsort(order[trials], kind="stable")]


def first_times(column: np.ndarray) -> np.ndarray:
    """(n_trials,) float64: the column, or the first of several times per trial; NaN where there is none."""
    ragged = column.dtype == object
    if any(row.dtype.kind not in "fiu" or row.ndim != 1 for row in (column if ragged else ())):
        raise BadData("a ragged trial column gives no times; correct the window in the suite's split")
    if ragged:
        return np.array([float(row[0]) if len(row) else np.nan for row in column])
    if column.dtype.kind not in "fiu" or column.ndim > 2 or 0 in column.shape[1:]:
        what = f"of {column.dtype} and shape {column.shape}"
        raise BadData(f"a trial column {what} gives no times; correct the window in the suite's split")
    return np.asarray(column[:, 0] if column.ndim == 2 else column, np.float64)


def _apart(aligned: Aligned, owner: np.ndarray, part: int, rule: TrialSplit) -> np.ndarray:
    """(n_bins,) whether a bin is at least `gap_s` away from every bin of the other parts."""
    others = aligned.ticks[(owner >= 0) & (owner != part)]
    gap_ticks = rule.gap_s * aligned.clock_hz - 1e-6
    return np.asarray(_distance(others, aligned.ticks) - aligned.bin_ticks >= gap_ticks)


def _distance(these: np.ndarray, ticks: np.ndarray) -> np.ndarray:
    """(n,) float64 distance of each of `ticks` to the nearest of `these`, which go up; infinite if there are none."""
    if not len(these):
        return np.full(len(ticks), np.inf)
    after = np.searchsorted(these, ticks)
    left, right = these[np.maximum(after - 1, 0)], these[np.minimum(after, len(these) - 1)]
    return np.asarray(np.minimum(np.abs(ticks - left), np.abs(right - ticks)), np.float64)


def _runs(scored: np.ndarray, barred: np.ndarray, starts: np.ndarray, n_context: int) -> np.ndarray:
    """The scored bins and up to `n_context` bins before each, not past a break or a barred bin."""
    n = len(scored)
    k = np.arange(n)
    following = np.minimum.accumulate(np.where(scored, k, n)[::-1])[::-1]
    reachable = following < n
    to = np.minimum(following, n - 1)
    piece, n_barred = np.cumsum(starts), np.concatenate([[0], np.cumsum(barred)])
    near = (to - k <= n_context) & (piece[to] == piece) & (n_barred[to] == n_barred[k])
    return np.flatnonzero(reachable & near)


def _cut(aligned: Aligned, bins: np.ndarray, scored: np.ndarray) -> Recording:
    """The recording of some bins, in order; where one does not follow the other, a start."""
    whole = aligned.recording
    chosen = _as_slice(bins)
    starts = whole.inputs.starts[chosen].copy()
    starts |= np.diff(bins, prepend=-2) != 1
    inputs = Inputs({n: v[chosen] for n, v in whole.inputs.streams.items()}, starts, whole.inputs.bin_s)
    kept = scored[chosen]
    targets = np.where(kept[:, None], whole.targets[chosen], np.float32(np.nan))
    privileged = {name: values[chosen] for name, values in whole.privileged.items()}
    return replace(whole, inputs=inputs, targets=targets, scored=kept, privileged=privileged)


def _as_slice(bins: np.ndarray) -> slice | np.ndarray:
    """The bins as a slice where they are one run: a view costs no memory."""
    if len(bins) and bins[-1] - bins[0] == len(bins) - 1:
        return slice(int(bins[0]), int(bins[-1]) + 1)
    return bins

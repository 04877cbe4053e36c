"""Parts made of whole trials: a bin is in the part in whose window its right edge lies."""

from collections.abc import Mapping

import numpy as np

from harness.data.align import Aligned, to_ticks
from harness.data.split_rules import PARTS, TrialSplit
from harness.errors import BadData


def by_trials(
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
    return np.asarray(distance(others, aligned.ticks) - aligned.bin_ticks >= gap_ticks)


def distance(these: np.ndarray, ticks: np.ndarray) -> np.ndarray:
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

"""Bins on a clock of integer ticks: where they lie, and how many spikes each holds."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from harness.data.contents import Series, SpikeTrains, Times
from harness.errors import BadData

BREAK_S = 1.0
"""Behaviour missing for longer than this is a break of the recording; for less, only the targets are NaN."""

GAP_PERIODS = 1.5
"""Samples further apart than this many periods have a gap between them, which is never interpolated across."""

MOST_BINS = 50_000_000
"""Eleven days of 20 ms; a file that claims more is damaged."""


@dataclass(frozen=True)
class Bins:
    """The bins of a session: right edges (n_bins,) int64, starts (n_bins,) bool, counts (n_bins, n_units) float32."""

    ticks: np.ndarray
    starts: np.ndarray
    counts: np.ndarray


def to_ticks(times_s: np.ndarray, clock_hz: int) -> np.ndarray:
    """Seconds -> (n,) int64 ticks, the nearest."""
    ticks: np.ndarray = np.rint(np.asarray(times_s, np.float64) * clock_hz).astype(np.int64)
    return ticks


def bins_of(
    target: Series | None,
    spikes: Series | SpikeTrains | None,
    *,
    bin_ticks: int,
    clock_hz: int,
    covered: Sequence[np.ndarray] = (),
) -> Bins:
    """The bins of a session: of one grid, where units were observed, signals sampled and behaviour recorded.

    Args:
        target: The behaviour; None: what signals cover is the grid's.
        spikes: Counts or spike trains; None: bins without counts.
        bin_ticks: Width of a bin.
        clock_hz: Ticks per second.
        covered: (n, 2) ticks of the stretches that every signal covers.

    Raises:
        BadData: If there is no bin, no unit or far too many bins, or counted bins do not fit.
    """
    if target:
        behaviour = stretches(target.times_s, target.period_s, clock_hz, longest_gap_s=BREAK_S)
    else:
        behaviour, *covered = covered
    if isinstance(spikes, Series):
        bins = _counted_bins(spikes, bin_ticks=bin_ticks, clock_hz=clock_hz)
        covered = [behaviour, *covered]
    else:
        bins = _empty_bins(behaviour, bin_ticks=bin_ticks, clock_hz=clock_hz)
        if spikes and spikes.intervals_s is not None:
            covered = [to_ticks(spikes.intervals_s, clock_hz), *covered]
    for pieces in covered:
        bins = _only_inside(bins, pieces, bin_ticks=bin_ticks)
    if isinstance(spikes, SpikeTrains):
        bins = replace(bins, counts=count_spikes(spikes, bins.ticks, bin_ticks=bin_ticks, clock_hz=clock_hz))
    if not len(bins.ticks):
        raise BadData("what is decoded and behaviour share not one whole bin; take the file that the suite pins")
    if spikes is not None and not bins.counts.shape[1]:
        raise BadData("there is not one unit in its spikes; take the file that the suite pins")
    return bins


def stretches(times_s: Times, period_s: float, clock_hz: int, *, longest_gap_s: float = 0.0) -> np.ndarray:
    """(n, 2) ticks: where samples come without a break, each holding for one period.

    A gap of more than `GAP_PERIODS` periods, and of more than `longest_gap_s`, is a break.
    """
    if not len(times_s):
        raise BadData("the behaviour has no samples; take the file that the suite pins")
    breaks = breaks_after(times_s, max(longest_gap_s, GAP_PERIODS * period_s))
    first = times_s[np.concatenate([[0], breaks + 1])]
    last = times_s[np.concatenate([breaks, [len(times_s) - 1]])]
    return to_ticks(np.column_stack([first, last + period_s]), clock_hz)


def breaks_after(times_s: Times, longest_s: float) -> np.ndarray:
    """(n_breaks,) the samples after which the next one comes later than this; a regular clock has none."""
    return np.flatnonzero(np.diff(times_s) > longest_s) if isinstance(times_s, np.ndarray) else np.empty(0, np.int64)


def _empty_bins(pieces: np.ndarray, *, bin_ticks: int, clock_hz: int) -> Bins:
    """Bins of one grid, which begins with the first stretch, as far as they lie in a stretch."""
    origin = pieces[0, 0]
    n = int(pieces[-1, 1] - origin) // bin_ticks
    if n > MOST_BINS:
        raise BadData(
            f"{n * bin_ticks / clock_hz:g} s of behaviour make {n:g} bins, and no session has more than "
            f"{MOST_BINS:g}; take the file that the suite pins, or a longer bin_s"
        )
    ticks = origin + bin_ticks * np.arange(1, n + 1)
    starts = np.arange(n) == 0
    return _only_inside(Bins(ticks, starts, np.empty((n, 0), np.float32)), pieces, bin_ticks=bin_ticks)


def _counted_bins(counts: Series, *, bin_ticks: int, clock_hz: int) -> Bins:
    """The file's own bins, or sums of several of them."""
    file_ticks = counts.period_s * clock_hz
    per_bin = round(bin_ticks / file_ticks) if file_ticks else 0
    if not per_bin or abs(per_bin * file_ticks - bin_ticks) > 0.01 * file_ticks:
        raise BadData(
            f"its counts are in bins of {counts.period_s * 1e3:g} ms, so bins of {bin_ticks / clock_hz * 1e3:g} ms "
            f"cannot be made of them; set the task's bin_s to a whole multiple"
        )
    lefts = to_ticks(counts.times_s, clock_hz)
    steps = np.diff(lefts)
    if np.any(steps < 0.99 * file_ticks - 1):
        raise BadData(f"its counted bins overlap: they should be {counts.period_s * 1e3:g} ms apart")
    begins = np.concatenate([[0], np.flatnonzero(steps > GAP_PERIODS * file_ticks) + 1, [len(lefts)]])
    rows = [np.arange(a, a + (b - a) // per_bin * per_bin) for a, b in itertools.pairwise(begins)]
    chosen = np.concatenate(rows)
    if not chosen.size:
        raise BadData(
            f"its {len(lefts)} counted bins do not make one bin of {bin_ticks / clock_hz * 1e3:g} ms; take the file "
            f"that the suite pins"
        )
    ticks = lefts[chosen[::per_bin]] + bin_ticks
    values = counts.values[chosen].reshape(len(ticks), per_bin, counts.values.shape[1]).sum(axis=1).astype(np.float32)
    return Bins(ticks, np.isin(chosen[::per_bin], begins), values)


def _only_inside(bins: Bins, pieces: np.ndarray, *, bin_ticks: int) -> Bins:
    """The bins that lie wholly in one of the (n, 2) pieces; what follows a gap is a start."""
    lefts = bins.ticks - bin_ticks
    which = np.searchsorted(pieces[:, 0], lefts, side="right") - 1
    kept = (which >= 0) & (bins.ticks <= pieces[np.maximum(which, 0), 1])
    # A start that is dropped hands its break on: the sum of starts so far tells the pieces of the file apart.
    piece = np.cumsum(bins.starts)[kept]
    moved = (np.diff(which[kept], prepend=-1) != 0) | (np.diff(piece, prepend=-1) != 0)
    return Bins(bins.ticks[kept], moved, bins.counts[kept] if not kept.all() else bins.counts)


def count_spikes(spikes: SpikeTrains, ticks: np.ndarray, *, bin_ticks: int, clock_hz: int) -> np.ndarray:
    """Count spikes in the bins whose right edges are `ticks`, all on one grid.

    Returns:
        (n_bins, n_units) float32; silent units keep their column.
    """
    n_bins, n_units = len(ticks), len(spikes.names)
    counts = np.zeros((n_bins, n_units), np.float32)
    if not n_bins:
        return counts
    grid = (ticks - ticks[0]) // bin_ticks
    row_of = np.full(grid[-1] + 1, -1, np.int64)
    row_of[grid] = np.arange(n_bins)
    k = to_ticks(spikes.times_s, clock_hz)
    k -= ticks[0] - bin_ticks
    k //= bin_ticks
    inside = (k >= 0) & (k < len(row_of))
    rows, units = row_of[k[inside]], spikes.units[inside]
    kept = rows >= 0
    np.add.at(counts.reshape(-1), rows[kept] * n_units + units[kept], np.float32(1))
    return counts


def count_until(spikes: SpikeTrains, ticks: np.ndarray, *, bin_ticks: int, clock_hz: int) -> np.ndarray:
    """Count spikes in the `bin_ticks` before each of `ticks`, which are at least as far apart.

    Returns:
        (n_bins, n_units) float32.
    """
    counts = np.zeros((len(ticks), len(spikes.names)), np.float32)
    k = to_ticks(spikes.times_s, clock_hz)
    rows = np.searchsorted(ticks, k, side="right")
    kept = rows < len(ticks)
    kept[kept] = k[kept] >= ticks[rows[kept]] - bin_ticks
    np.add.at(counts, (rows[kept], spikes.units[kept]), np.float32(1))
    return counts

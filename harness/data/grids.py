"""Where a session's bins lie and what their labels are: our grid, NeuroBench's, and that of the LFP papers."""

from dataclasses import dataclass

import numpy as np

from harness.data.bins import GAP_PERIODS, Bins, bins_of, count_until, stretches, to_ticks
from harness.data.classes import labels_of
from harness.data.contents import Contents, Series, SpikeTrains
from harness.data.peer import PEER_RATE_HZ, peer_velocity
from harness.data.protocol import ClassesAt, Task
from harness.data.sample_grid import count_before, every_bin, gradient
from harness.errors import UsageError

SNAP_PERIODS = 1e-6
"""An instant this near to a sample is that sample: seconds in float64 are not exact."""

Spikes = Series | SpikeTrains | None
"""Counts, spike times, or none where a task reads none."""


@dataclass(frozen=True)
class Grid:
    """The bins of a session and what is known of each.

    targets: (n_bins, n_outputs) float64, NaN where the behaviour was not measured, or outside of trials.
    cuts: (n_cuts,) int64 ticks at which the goal changes or a cue appears; None if there is nothing of the kind.
    scored: (n_bins,) bool, of trials; None: wherever there are targets.
    """

    bins: Bins
    targets: np.ndarray
    cuts: np.ndarray | None
    scored: np.ndarray | None = None


def trial_grid(contents: Contents, spikes: Spikes, *, task: Task, at: ClassesAt, clock_hz: int) -> Grid:
    """The grid of a task of classes: wherever signals were sampled.

    Raises:
        BadData: As `grid_of`, and if no trial lies in the bins.
        UsageError: If the bin is no whole number of ticks, or no signal says where bins are.
    """
    bin_ticks = whole_ticks(task.bin_s, clock_hz)
    covered = _covered(contents, clock_hz)
    if not covered:
        raise UsageError("trials without a signal have no bins; name one in the task's inputs or in `within`")
    bins = bins_of(None, spikes, bin_ticks=bin_ticks, clock_hz=clock_hz, covered=covered)
    labels = labels_of(contents.trials, at, bins, bin_ticks=bin_ticks, clock_hz=clock_hz)
    return Grid(bins, labels.targets, labels.cues, labels.scored)


def grid_of(contents: Contents, spikes: Spikes, *, task: Task, derive: str, clock_hz: int) -> Grid:
    """The grid that a task asks for.

    Args:
        contents: The file's contents.
        spikes: What is counted.
        task: The task.
        derive: How its target is made, as in `TargetAt`.
        clock_hz: Ticks per second.

    Raises:
        BadData: If there is no bin, no unit or far too many bins, or counted bins do not fit the task's.
        UsageError: If the bin is no whole number of ticks, or grid and target do not go together.
    """
    bin_ticks = whole_ticks(task.bin_s, clock_hz)
    _check(task, derive, counted=isinstance(spikes, Series))
    if derive == "peer":
        return _peer(contents, spikes, task=task, clock_hz=clock_hz)
    if isinstance(spikes, SpikeTrains) and task.grid == "samples":
        series, bins, cuts = _bin_per_sample(contents, spikes, task=task, bin_ticks=bin_ticks, clock_hz=clock_hz)
    else:
        series, bins, cuts = _bins_and_cuts(contents, spikes, bin_ticks=bin_ticks, clock_hz=clock_hz)
    return Grid(bins, _labels(series, bins, task=task, derive=derive, clock_hz=clock_hz), cuts)


def target_at(series: Series, times_s: np.ndarray, *, derive: str, bin_s: float) -> np.ndarray:
    """A behaviour as a target: its value, or its backward difference over one bin per second.

    Args:
        series: The behaviour.
        times_s: (n_bins,) seconds, right edges plus lag.
        derive: `as_is` or `difference`, as in `TargetAt`.
        bin_s: Width of a bin.

    Returns:
        (n_bins, n_outputs) float64, NaN where it was not measured.
    """
    now = interpolate(series, times_s)
    return now if derive == "as_is" else (now - interpolate(series, times_s - bin_s)) / bin_s


def interpolate(series: Series, times_s: np.ndarray) -> np.ndarray:
    """A series at any instant, linearly; NaN outside of it, in its gaps and next to its NaNs.

    Returns:
        (n, n_channels) float64.
    """
    n = len(series.times_s)
    snap_s = SNAP_PERIODS * series.period_s
    before = np.searchsorted(series.times_s, times_s + snap_s, side="right") - 1
    first, second = np.clip(before, 0, n - 1), np.clip(before + 1, 0, n - 1)
    step_s = series.times_s[second] - series.times_s[first]
    past_s = times_s - series.times_s[first]
    on_sample = np.abs(past_s) <= snap_s
    between = (before >= 0) & (step_s > 0) & (step_s <= GAP_PERIODS * series.period_s)
    weight = np.where(on_sample | ~between, 0.0, past_s / np.where(step_s > 0, step_s, 1.0))[:, None]
    # Where the weight is 0 the second sample must not matter at all, and 0 * NaN would.
    values = series.values[first]
    values += weight * np.where(weight > 0, series.values[second] - values, 0.0)
    values[~(on_sample | between)] = np.nan
    return values


def _check(task: Task, derive: str, *, counted: bool) -> None:
    """A label that looks ahead must be declared, for records go by what the task says."""
    if task.grid == "samples" and counted:
        raise UsageError("grid `samples` needs spike times, not counts; set grid to `bins`")
    if derive != "gradient":
        return
    if task.grid != "samples" or task.lag_s:
        raise UsageError("`derive: gradient` needs the task's `grid: samples`, and no lag_s")
    if task.label_look_ahead_s < task.bin_s:
        raise UsageError(
            f"labels of target {task.target!r} look {task.bin_s:g} s ahead, but the task's "
            f"label_look_ahead_s is {task.label_look_ahead_s:g}; set it to {task.bin_s:g}"
        )


def _labels(series: Series, bins: Bins, *, task: Task, derive: str, clock_hz: int) -> np.ndarray:
    if derive == "gradient":
        return gradient(series.values).astype(np.float64)
    times_s = series.times_s if task.grid == "samples" else bins.ticks / clock_hz
    return target_at(series, times_s + task.lag_s, derive=derive, bin_s=task.bin_s)


_Cut = tuple[Series, Bins, np.ndarray | None]
"""The behaviour that gives the labels, the bins, the ticks at which reaches change."""


def _peer(contents: Contents, spikes: Spikes, *, task: Task, clock_hz: int) -> Grid:
    """The LFP papers' bins and labels. After FFT resampling, times are a little more than 10 ms apart.

    Spikes are counted in the 10 ms before each label's time.
    """
    if contents.goals is None:
        raise UsageError("`derive: peer` needs the layout's `goals`: it keeps what is between first and last change")
    if isinstance(spikes, Series) or abs(task.bin_s * PEER_RATE_HZ - 1) > 1e-9 or task.lag_s:
        raise UsageError("`derive: peer` needs spike times, bins of 10 ms and no lag, as published")
    target = contents.behaviour
    velocity = peer_velocity(target.values, contents.goals, target.times_s)
    bin_ticks = whole_ticks(task.bin_s, clock_hz)
    ticks = to_ticks(velocity.times_s, clock_hz)
    empty = np.empty((len(ticks), 0), np.float32)
    counts = count_until(spikes, ticks, bin_ticks=bin_ticks, clock_hz=clock_hz) if spikes else empty
    return Grid(Bins(ticks, np.arange(len(ticks)) == 0, counts), velocity.values, None)


def _bin_per_sample(contents: Contents, spikes: SpikeTrains, *, task: Task, bin_ticks: int, clock_hz: int) -> _Cut:
    target = contents.behaviour
    series, step = every_bin(target, task.bin_s)
    k = np.arange(len(series.times_s))
    ticks = to_ticks(series.times_s[:1], clock_hz) + bin_ticks * k
    counts = count_before(spikes, series.times_s, bin_s=task.bin_s)
    rows = _inside(contents.changes, len(target.times_s))
    cuts = None if rows is None else ticks[np.unique(rows // step)]
    return series, Bins(ticks, k == 0, counts), cuts


def _bins_and_cuts(contents: Contents, spikes: Spikes, *, bin_ticks: int, clock_hz: int) -> _Cut:
    series = contents.behaviour
    bins = bins_of(series, spikes, bin_ticks=bin_ticks, clock_hz=clock_hz, covered=_covered(contents, clock_hz))
    rows = _inside(contents.changes, len(series.times_s))
    return series, bins, None if rows is None else to_ticks(series.times_s[rows], clock_hz)


def _covered(contents: Contents, clock_hz: int) -> list[np.ndarray]:
    """Where each signal was sampled."""
    return [stretches(signal.times_s, signal.period_s, clock_hz) for signal in contents.signals.values()]


def _inside(rows: np.ndarray | None, n_rows: int) -> np.ndarray | None:
    return None if rows is None else rows[rows < n_rows]


def whole_ticks(bin_s: float, clock_hz: int) -> int:
    """Ticks of a bin, which must be a whole number."""
    ticks = bin_s * clock_hz
    if round(ticks) < 1 or abs(ticks - round(ticks)) > 1e-6:
        raise UsageError(
            f"a bin of {bin_s} s is {ticks:g} ticks of a {clock_hz} Hz clock, not a whole number; "
            f"change the task's bin_s or the layout's clock_hz"
        )
    return round(ticks)

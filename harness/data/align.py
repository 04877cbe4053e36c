"""One clock for everything: spikes counted in bins, behaviour taken at each bin's right edge.

Time becomes integer ticks once; from there on it is integer arithmetic. Nothing here looks at a sample later than a
bin's right edge to make that bin's input, and no filter, resampling or normalisation is applied at all.
"""

import itertools
from dataclasses import dataclass, replace

import numpy as np

from harness.data.contents import Contents, Series, SpikeTrains
from harness.data.protocol import Layout, TargetAt, Task
from harness.data.suites import Session
from harness.errors import BadData, UsageError
from harness.types import Inputs, Recording, SessionInfo, StreamInfo

BREAK_S = 1.0
"""Behaviour missing for longer than this is a break of the recording; for less, only the targets are NaN."""

GAP_PERIODS = 1.5
"""Samples further apart than this many periods have a gap between them, which is never interpolated across."""

SNAP_PERIODS = 1e-6
"""An instant this near to a sample is that sample: seconds in float64 are not exact."""


MOST_BINS = 50_000_000
"""Eleven days of 20 ms; a file that claims more is damaged."""


@dataclass(frozen=True)
class Aligned:
    """A whole session as one recording.

    ticks: (n_bins,) int64, the right edge of every bin on a clock of `clock_hz`; it goes up.
    bin_ticks: Width of a bin.
    """

    recording: Recording
    ticks: np.ndarray
    clock_hz: int
    bin_ticks: int


@dataclass(frozen=True)
class _Bins:
    """The bins of a session: right edges (n_bins,) int64, starts (n_bins,) bool, counts (n_bins, n_units) float32."""

    ticks: np.ndarray
    starts: np.ndarray
    counts: np.ndarray


def align(contents: Contents, session: Session, *, task: Task, layout: Layout) -> Aligned:
    """Cut a session into bins.

    Bin k covers ticks [left, right) and is known at `right`: a spike on an edge belongs to the later bin. Its target
    is the behaviour at `right` plus the task's lag. Bins exist only inside the stretches in which units were observed
    and behaviour was recorded; the first bin of each stretch is a start.

    Raises:
        BadData: If there is no bin, no unit or far too many bins, counted bins do not fit the task's bins, or a
            behaviour is too large for float32.
        UsageError: If the task wants a stream that is not spikes, the layout has none, or the task's bin is no whole
            number of ticks.
    """
    if task.inputs != ("spikes",) or task.privileged:
        given = ", ".join((*task.inputs, *task.privileged))
        raise UsageError(f"session {session.id!r}: this version aligns the stream 'spikes' alone, not {given}")
    spikes = contents.spikes if contents.counts is None else contents.counts
    if layout.spikes is None or spikes is None:
        raise UsageError(
            f"session {session.id!r}: layout {session.layout!r} does not say where the spikes are; add `spikes` to it, "
            f"with `units` or `counts`"
        )
    clock_hz = layout.spikes.clock_hz
    bin_ticks = _whole_ticks(task.bin_s, clock_hz)
    at = layout.targets[task.target]
    try:
        bins = _bins(contents.target, spikes, bin_ticks=bin_ticks, clock_hz=clock_hz)
        targets = target_at(contents.target, bins.ticks / clock_hz + task.lag_s, derive=at.derive, bin_s=task.bin_s)
        values = _as_float32(targets, at)
    except BadData as error:
        raise BadData(f"session {session.id!r}: {error}") from None
    recording = Recording(
        session=_info(session, task, at, channels=_channels(spikes)),
        inputs=Inputs({"spikes": bins.counts}, bins.starts, task.bin_s),
        targets=values,
        scored=np.isfinite(targets).all(axis=1),
    )
    return Aligned(recording, bins.ticks, clock_hz, bin_ticks)


def to_ticks(times_s: np.ndarray, clock_hz: int) -> np.ndarray:
    """Seconds -> (n,) int64 ticks, the nearest."""
    ticks: np.ndarray = np.rint(np.asarray(times_s, np.float64) * clock_hz).astype(np.int64)
    return ticks


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


def _bins(target: Series, spikes: Series | SpikeTrains, *, bin_ticks: int, clock_hz: int) -> _Bins:
    behaviour = _stretches(target, clock_hz)
    if isinstance(spikes, Series):
        bins = _counted_bins(spikes, bin_ticks=bin_ticks, clock_hz=clock_hz)
        bins = _only_inside(bins, behaviour, bin_ticks=bin_ticks)
    else:
        bins = _empty_bins(behaviour, bin_ticks=bin_ticks, clock_hz=clock_hz)
        if spikes.intervals_s is not None:
            bins = _only_inside(bins, to_ticks(spikes.intervals_s, clock_hz), bin_ticks=bin_ticks)
        bins = replace(bins, counts=count_spikes(spikes, bins.ticks, bin_ticks=bin_ticks, clock_hz=clock_hz))
    if not len(bins.ticks):
        raise BadData("spikes and behaviour share not one whole bin; take the file that the suite pins")
    if not bins.counts.shape[1]:
        raise BadData("there is not one unit in its spikes; take the file that the suite pins")
    return bins


def _stretches(series: Series, clock_hz: int) -> np.ndarray:
    """(n, 2) ticks: where behaviour was sampled without a break, each sample holding for one period."""
    times_s = series.times_s
    if not len(times_s):
        raise BadData("the behaviour has no samples; take the file that the suite pins")
    breaks = np.flatnonzero(np.diff(times_s) > max(BREAK_S, GAP_PERIODS * series.period_s))
    first = times_s[np.concatenate([[0], breaks + 1])]
    last = times_s[np.concatenate([breaks, [len(times_s) - 1]])]
    return to_ticks(np.column_stack([first, last + series.period_s]), clock_hz)


def _empty_bins(stretches: np.ndarray, *, bin_ticks: int, clock_hz: int) -> _Bins:
    """Bins of one grid, which begins with the first stretch, as far as they lie in a stretch."""
    origin = stretches[0, 0]
    n = int(stretches[-1, 1] - origin) // bin_ticks
    if n > MOST_BINS:
        raise BadData(
            f"{n * bin_ticks / clock_hz:g} s of behaviour make {n:g} bins, and no session has more than "
            f"{MOST_BINS:g}; take the file that the suite pins, or a longer bin_s"
        )
    ticks = origin + bin_ticks * np.arange(1, n + 1)
    starts = np.arange(n) == 0
    return _only_inside(_Bins(ticks, starts, np.empty((n, 0), np.float32)), stretches, bin_ticks=bin_ticks)


def _counted_bins(counts: Series, *, bin_ticks: int, clock_hz: int) -> _Bins:
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
    return _Bins(ticks, np.isin(chosen[::per_bin], begins), values)


def _only_inside(bins: _Bins, stretches: np.ndarray, *, bin_ticks: int) -> _Bins:
    """The bins that lie wholly in one of the (n, 2) stretches; what follows a gap is a start."""
    lefts = bins.ticks - bin_ticks
    which = np.searchsorted(stretches[:, 0], lefts, side="right") - 1
    kept = (which >= 0) & (bins.ticks <= stretches[np.maximum(which, 0), 1])
    # A start that is dropped hands its break on: the sum of starts so far tells the stretches of the file apart.
    piece = np.cumsum(bins.starts)[kept]
    moved = (np.diff(which[kept], prepend=-1) != 0) | (np.diff(piece, prepend=-1) != 0)
    return _Bins(bins.ticks[kept], moved, bins.counts[kept] if not kept.all() else bins.counts)


def _whole_ticks(bin_s: float, clock_hz: int) -> int:
    ticks = bin_s * clock_hz
    if round(ticks) < 1 or abs(ticks - round(ticks)) > 1e-6:
        raise UsageError(
            f"a bin of {bin_s} s is {ticks:g} ticks of a {clock_hz} Hz clock, not a whole number; "
            f"change the task's bin_s or the layout's clock_hz"
        )
    return round(ticks)


def _as_float32(targets: np.ndarray, at: TargetAt) -> np.ndarray:
    with np.errstate(over="ignore"):
        values: np.ndarray = targets.astype(np.float32)
    too_large = np.isinf(values) & np.isfinite(targets)
    if too_large.any():
        raise BadData(
            f"{at.path!r} reaches {np.abs(targets[too_large]).max():g}, which float32 cannot hold; its data or its "
            f"`conversion` are damaged: take the file that the suite pins"
        )
    return values


def _channels(spikes: Series | SpikeTrains) -> tuple[str, ...]:
    return spikes.names if isinstance(spikes, SpikeTrains) else tuple(map(str, range(spikes.values.shape[1])))


def _info(session: Session, task: Task, at: TargetAt, *, channels: tuple[str, ...]) -> SessionInfo:
    return SessionInfo(
        id=session.id,
        subject=session.subject,
        streams={"spikes": StreamInfo(len(channels), channels=channels)},
        bin_s=task.bin_s,
        outputs=at.outputs,
        kind=task.kind,
    )

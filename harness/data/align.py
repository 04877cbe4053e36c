"""One clock for everything: spikes counted in bins, signals and behaviour taken at each bin's right edge.

Time becomes integer ticks once; from there on it is integer arithmetic. Nothing here looks at a sample later than a
bin's right edge to make that bin's input, and nothing is filtered but signals, by the task's own rules, in one pass.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from harness.data.bins import GAP_PERIODS, Bins, bins_of, stretches
from harness.data.bins import to_ticks as to_ticks
from harness.data.contents import Contents, Series, SpikeTrains
from harness.data.protocol import SPIKES, Layout, TargetAt, Task
from harness.data.sample_grid import count_before, every_bin, gradient
from harness.data.signals import causal_stream, stream_info
from harness.data.suites import Session
from harness.errors import BadData, UsageError
from harness.types import Inputs, Recording, SessionInfo, StreamInfo

SNAP_PERIODS = 1e-6
"""An instant this near to a sample is that sample: seconds in float64 are not exact."""

CLOCK_HZ = 30_000
"""Ticks per second where no spikes set the clock."""


@dataclass(frozen=True)
class Aligned:
    """A whole session as one recording.

    ticks: (n_bins,) int64, the right edge of every bin on a clock of `clock_hz`; it goes up.
    bin_ticks: Width of a bin.
    cuts: (n_cuts,) int64 ticks, going up: a bin whose right edge is there or later is of the next reach; None if the
        layout names no goals.
    """

    recording: Recording
    ticks: np.ndarray
    clock_hz: int
    bin_ticks: int
    cuts: np.ndarray | None = None


def align(contents: Contents, session: Session, *, task: Task, layout: Layout) -> Aligned:
    """Cut a session into bins.

    Bin k covers ticks [left, right) and is known at `right`: a spike on an edge belongs to the later bin. Its target
    is the behaviour at `right` plus the task's lag. Bins exist only inside the stretches in which units were observed,
    signals sampled and behaviour recorded; the first bin of each stretch is a start. On the grid `samples` there is a
    bin per sample of behaviour, the first one the only start, with spikes as in `sample_grid.count_before`.

    Raises:
        BadData: If there is no bin, no unit or far too many bins, counted bins do not fit the task's bins, or a
            behaviour is too large for float32.
        UsageError: If the layout does not say where a stream is, the task's bin is no whole number of ticks, or a
            stream's filter does not fit its signal.
    """
    spikes = _spikes(contents, session, layout) if SPIKES in task.streams else None
    clock_hz = layout.spikes.clock_hz if layout.spikes else CLOCK_HZ
    bin_ticks = _whole_ticks(task.bin_s, clock_hz)
    at = layout.targets[task.target]
    _check_task(session, task, at, counted=isinstance(spikes, Series))
    try:
        if isinstance(spikes, SpikeTrains) and task.grid == "samples":
            series, bins, cuts = _bin_per_sample(contents, spikes, task=task, bin_ticks=bin_ticks, clock_hz=clock_hz)
        else:
            series, bins, cuts = _bins_and_cuts(contents, spikes, bin_ticks=bin_ticks, clock_hz=clock_hz)
        targets = _labels(series, bins, task=task, derive=at.derive, clock_hz=clock_hz)
        values = _as_float32(targets, at)
        streams = _streams(contents, bins, task=task, clock_hz=clock_hz)
    except (BadData, UsageError) as error:
        raise type(error)(f"session {session.id!r}: {error}") from None
    if task.binary:
        np.minimum(bins.counts, np.float32(1), out=bins.counts)
    recording = Recording(
        session=_info(session, task, at, infos=_stream_infos(contents, spikes, task)),
        inputs=Inputs({name: streams[name] for name in task.inputs}, bins.starts, task.bin_s),
        targets=values,
        scored=np.isfinite(targets).all(axis=1),
        privileged={name: streams[name] for name in task.privileged},
    )
    return Aligned(recording, bins.ticks, clock_hz, bin_ticks, cuts)


def _spikes(contents: Contents, session: Session, layout: Layout) -> Series | SpikeTrains:
    spikes = contents.spikes if contents.counts is None else contents.counts
    if layout.spikes is None or spikes is None:
        raise UsageError(
            f"session {session.id!r}: layout {session.layout!r} does not say where the spikes are; add `spikes` to it, "
            f"with `units` or `counts`"
        )
    return spikes


def _streams(contents: Contents, bins: Bins, *, task: Task, clock_hz: int) -> dict[str, np.ndarray]:
    """Every stream of the task, cut into bins."""
    made = {SPIKES: bins.counts}
    for name in task.streams:
        if name != SPIKES:
            rule = task.signals[name]
            signal = contents.signals[rule.signal]
            made[name] = causal_stream(signal, rule, bins.ticks / clock_hz, bin_s=task.bin_s)
    return made


def _stream_infos(contents: Contents, spikes: Series | SpikeTrains | None, task: Task) -> dict[str, StreamInfo]:
    """What a decoder is told of the task's inputs."""
    infos = {}
    for name in task.inputs:
        if name == SPIKES and spikes is not None:
            channels = _channels(spikes)
            infos[name] = StreamInfo(len(channels), channels=channels)
        else:
            rule = task.signals[name]
            infos[name] = stream_info(contents.signals[rule.signal], rule, bin_s=task.bin_s)
    return infos


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


def _check_task(session: Session, task: Task, at: TargetAt, *, counted: bool) -> None:
    """A label that looks ahead must be declared, for records go by what the task says."""
    if task.grid == "samples" and counted:
        raise UsageError(f"session {session.id!r}: grid `samples` needs spike times, not counts; set grid to `bins`")
    if at.derive != "gradient":
        return
    if task.grid != "samples" or task.lag_s:
        raise UsageError(f"session {session.id!r}: `derive: gradient` needs the task's `grid: samples`, and no lag_s")
    if task.label_look_ahead_s < task.bin_s:
        raise UsageError(
            f"session {session.id!r}: labels of target {task.target!r} look {task.bin_s:g} s ahead, but the task's "
            f"label_look_ahead_s is {task.label_look_ahead_s:g}; set it to {task.bin_s:g}"
        )


def _labels(series: Series, bins: Bins, *, task: Task, derive: str, clock_hz: int) -> np.ndarray:
    if derive == "gradient":
        return gradient(series.values).astype(np.float64)
    times_s = series.times_s if task.grid == "samples" else bins.ticks / clock_hz
    return target_at(series, times_s + task.lag_s, derive=derive, bin_s=task.bin_s)


_Cut = tuple[Series, Bins, np.ndarray | None]
"""The behaviour that gives the labels, the bins, the ticks at which reaches change."""


def _bin_per_sample(contents: Contents, spikes: SpikeTrains, *, task: Task, bin_ticks: int, clock_hz: int) -> _Cut:
    series, step = every_bin(contents.target, task.bin_s)
    k = np.arange(len(series.times_s))
    ticks = to_ticks(series.times_s[:1], clock_hz) + bin_ticks * k
    counts = count_before(spikes, series.times_s, bin_s=task.bin_s)
    rows = _inside(contents.changes, len(contents.target.times_s))
    cuts = None if rows is None else ticks[np.unique(rows // step)]
    return series, Bins(ticks, k == 0, counts), cuts


def _bins_and_cuts(contents: Contents, spikes: Series | SpikeTrains | None, *, bin_ticks: int, clock_hz: int) -> _Cut:
    series = contents.target
    covered = [stretches(signal.times_s, signal.period_s, clock_hz) for signal in contents.signals.values()]
    bins = bins_of(series, spikes, bin_ticks=bin_ticks, clock_hz=clock_hz, covered=covered)
    rows = _inside(contents.changes, len(series.times_s))
    return series, bins, None if rows is None else to_ticks(series.times_s[rows], clock_hz)


def _inside(rows: np.ndarray | None, n_rows: int) -> np.ndarray | None:
    return None if rows is None else rows[rows < n_rows]


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


def _info(session: Session, task: Task, at: TargetAt, *, infos: Mapping[str, StreamInfo]) -> SessionInfo:
    return SessionInfo(
        id=session.id,
        subject=session.subject,
        streams=infos,
        bin_s=task.bin_s,
        outputs=at.outputs,
        kind=task.kind,
    )

"""One clock for everything: spikes counted in bins, signals and behaviour taken at each bin's right edge.

Time becomes integer ticks once; from there on it is integer arithmetic. Nothing here looks at a sample later than a
bin's right edge to make that bin's input, and nothing is filtered but signals, by the task's own rules, in one pass;
the papers' own protocol (`chain: peer`, `derive: peer`) is the one exception.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from harness.data.bins import to_ticks as to_ticks
from harness.data.classes import cue_stream
from harness.data.contents import Contents, Series, SpikeTrains
from harness.data.grids import Grid, grid_of, trial_grid, whole_ticks
from harness.data.protocol import CUE, SPIKES, ClassesAt, Layout, TargetAt, Task
from harness.data.room import MEMORY, Memory
from harness.data.signals import causal_stream, peer_stream, stream_info
from harness.data.suites import Session
from harness.errors import BadData, UsageError
from harness.types import Inputs, Recording, SessionInfo, StreamInfo

CLOCK_HZ = 30_000
"""Ticks per second where no spikes set the clock."""
CHECKED_BINS = 10_000


@dataclass(frozen=True)
class Aligned:
    """A whole session as one recording.

    ticks: (n_bins,) int64, the right edge of every bin on a clock of `clock_hz`; it goes up.
    bin_ticks: Width of a bin.
    cuts: (n_cuts,) int64 ticks, going up: a bin whose right edge is there or later is of the next reach or trial; None
        if the layout names no goals.
    """

    recording: Recording
    ticks: np.ndarray
    clock_hz: int
    bin_ticks: int
    cuts: np.ndarray | None = None


def align(contents: Contents, session: Session, *, task: Task, layout: Layout, room: Memory = MEMORY) -> Aligned:
    """Cut a session into bins.

    Bin k covers ticks [left, right) and is known at `right`: a spike on an edge belongs to the later bin. Its target
    is the behaviour at `right` plus the task's lag. Bins exist only inside the stretches in which units were observed,
    signals sampled and behaviour recorded; the first bin of each stretch is a start. On the grid `samples` there is a
    bin per sample of behaviour, the first one the only start, with spikes as in `sample_grid.count_before`. Streams of
    signals are put into `room`.

    Raises:
        BadData: If there is no bin, no unit or far too many bins, counted bins do not fit the task's bins, or a
            behaviour or a signal is too large for float32.
        UsageError: If the layout does not say where a stream is, the task's bin is no whole number of ticks, or a
            stream's filter does not fit its signal.
    """
    spikes = _spikes(contents, session, layout) if SPIKES in task.streams else None
    clock_hz = layout.spikes.clock_hz if layout.spikes else CLOCK_HZ
    at = layout.targets[task.target]
    try:
        grid = _grid(contents, spikes, task=task, at=at, clock_hz=clock_hz)
        values = _as_float32(grid.targets, at)
        streams = _streams(contents, grid, task=task, clock_hz=clock_hz, room=room)
    except (BadData, UsageError) as error:
        raise type(error)(f"session {session.id!r}: {error}") from None
    bins = grid.bins
    if task.binary:
        np.minimum(bins.counts, np.float32(1), out=bins.counts)
    recording = Recording(
        session=_info(session, task, at, infos=_stream_infos(contents, spikes, task)),
        inputs=Inputs({name: streams[name] for name in task.inputs}, bins.starts, task.bin_s),
        targets=values,
        scored=np.isfinite(grid.targets).all(axis=1) if grid.scored is None else grid.scored,
        privileged={name: streams[name] for name in task.privileged},
    )
    return Aligned(recording, bins.ticks, clock_hz, whole_ticks(task.bin_s, clock_hz), grid.cuts)


def _spikes(contents: Contents, session: Session, layout: Layout) -> Series | SpikeTrains:
    spikes = contents.spikes if contents.counts is None else contents.counts
    if layout.spikes is None or spikes is None:
        raise UsageError(
            f"session {session.id!r}: layout {session.layout!r} does not say where the spikes are; add `spikes` to it, "
            f"with `units` or `counts`"
        )
    return spikes


def _grid(
    contents: Contents, spikes: Series | SpikeTrains | None, *, task: Task, at: TargetAt | ClassesAt, clock_hz: int
) -> Grid:
    if isinstance(at, ClassesAt):
        return trial_grid(contents, spikes, task=task, at=at, clock_hz=clock_hz)
    grid = grid_of(contents, spikes, task=task, derive=at.derive, clock_hz=clock_hz)
    if at.between_goals:
        _forget_outside(grid)
    return grid


def _forget_outside(grid: Grid) -> None:
    """Targets before the first change of the goal and after the last are nobody's reach."""
    if grid.cuts is None or len(grid.cuts) < 2:
        raise UsageError("`between_goals` needs a layout whose `goals` change at least twice")
    grid.targets[(grid.bins.ticks < grid.cuts[0]) | (grid.bins.ticks > grid.cuts[-1])] = np.nan


def _streams(contents: Contents, grid: Grid, *, task: Task, clock_hz: int, room: Memory) -> dict[str, np.ndarray]:
    """Every stream of the task, cut into bins."""
    bins = grid.bins
    made = {SPIKES: bins.counts}
    if CUE in task.streams and grid.cuts is not None:
        made[CUE] = cue_stream(bins, grid.cuts)
    for name in task.streams:
        if name not in made:
            rule = task.signals[name]
            signal = contents.signals[rule.signal]
            edges_s = bins.ticks / clock_hz
            with np.errstate(over="ignore", invalid="ignore"):
                if rule.chain == "peer":
                    made[name] = peer_stream(signal, rule, edges_s, bin_s=task.bin_s)
                else:
                    made[name] = causal_stream(signal, rule, edges_s, bin_s=task.bin_s, room=room)
            _refuse_overflow(made[name], rule.signal, room)
    return made


def _refuse_overflow(stream: np.ndarray, signal: str, room: Memory) -> None:
    """Finite numbers in a file may not be finite any more in physical units and float32."""
    for start in range(0, len(stream), CHECKED_BINS):
        if np.isfinite(stream[start : start + CHECKED_BINS]).all():
            room.let_go()
            continue
        raise BadData(
            f"signal {signal!r} becomes larger than float32 can hold; its data, `conversion` or `offset` are damaged: "
            f"take the file that the suite pins"
        )


def _stream_infos(contents: Contents, spikes: Series | SpikeTrains | None, task: Task) -> dict[str, StreamInfo]:
    """What a decoder is told of the task's inputs."""
    infos = {}
    for name in task.inputs:
        if name == SPIKES and spikes is not None:
            channels = _channels(spikes)
            infos[name] = StreamInfo(len(channels), channels=channels)
        elif name == CUE:
            infos[name] = StreamInfo(1, unit="1", channels=(CUE,))
        else:
            rule = task.signals[name]
            infos[name] = stream_info(contents.signals[rule.signal], rule, bin_s=task.bin_s)
    return infos


def _as_float32(targets: np.ndarray, at: TargetAt | ClassesAt) -> np.ndarray:
    with np.errstate(over="ignore"):
        values: np.ndarray = targets.astype(np.float32)
    too_large = np.isinf(values) & np.isfinite(targets)
    if too_large.any() and isinstance(at, TargetAt):
        raise BadData(
            f"{at.path!r} reaches {np.abs(targets[too_large]).max():g}, which float32 cannot hold; its data or its "
            f"`conversion` are damaged: take the file that the suite pins"
        )
    return values


def _channels(spikes: Series | SpikeTrains) -> tuple[str, ...]:
    return spikes.names if isinstance(spikes, SpikeTrains) else tuple(map(str, range(spikes.values.shape[1])))


def _info(session: Session, task: Task, at: TargetAt | ClassesAt, *, infos: Mapping[str, StreamInfo]) -> SessionInfo:
    return SessionInfo(
        id=session.id,
        subject=session.subject,
        streams=infos,
        bin_s=task.bin_s,
        outputs=at.outputs,
        kind=task.kind,
    )

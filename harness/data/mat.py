"""O'Doherty's MATLAB v7.3 files, which are HDF5 with the axes reversed: the same contents as of an NWB file.

`spikes` is (units, channels) references to cells of spike times in seconds; the first unit of a channel is what sorting
left over. An empty cell holds its shape instead of times, marked by the attribute `MATLAB_empty`. Behaviour is
(axes, n_samples), all at the times `t`. `chan_names` tells the areas: "M1 001". The files: doi:10.5281/zenodo.3854034.
"""

import h5py
import numpy as np

from harness.data.contents import Contents, Series, SpikeTrains
from harness.data.nwb_file import LATEST_S, NwbFile
from harness.data.nwb_tables import only_areas
from harness.data.protocol import ClassesAt, Layout, SpikesAt, TargetAt
from harness.errors import UsageError

TIMES, CHANNELS = "t", "chan_names"
EMPTY = "MATLAB_empty"


def read_matlab(mat: NwbFile, layout: Layout, target: str) -> Contents:
    """Read spikes, one behaviour and the goals.

    Raises:
        UsageError: If the layout asks for trials, counts, members, a mask or another clock, which these files lack.
        BadData: If the file lacks something, is damaged, or holds what cannot be true.
    """
    at, spikes_at = layout.targets[target], layout.spikes
    if isinstance(at, ClassesAt):
        raise UsageError(f"target {target!r} is told by trials, which MATLAB files lack; give it a `path`")
    further = (layout.trials, layout.signals, at.members, at.mask, at.clock != "nwb", spikes_at and spikes_at.counts)
    if any(further):
        raise UsageError(
            "a layout of MATLAB files can give `spikes.units`, `goals` and targets with `path`, `columns` and "
            "`derive`; take `trials`, `signals`, `counts`, `members`, `mask` and `clock` out of it"
        )
    behaviour = _behaviour(mat, at)
    return Contents(
        target=behaviour,
        spikes=_spikes(mat, spikes_at) if spikes_at else None,
        goals=_samples(mat, layout.goals, len(behaviour.times_s)) if layout.goals else None,
    )


def _behaviour(mat: NwbFile, at: TargetAt) -> Series:
    times_s = mat.numbers(TIMES, ndim=(1, 2)).astype(np.float64).reshape(-1)
    # A NaN compares as False; a step of zero or back would make two rows of one instant.
    wrong = np.flatnonzero(~(np.abs(times_s) < LATEST_S) | ~(np.diff(times_s, prepend=-np.inf) > 0))
    if wrong.size or len(times_s) < 2:
        what = f"has {times_s[wrong[0]]} s in row {wrong[0]}" if wrong.size else f"has {len(times_s)} entries"
        raise mat.bad(TIMES, f"{what}, where at least two times that go up belong")
    values = _samples(mat, at.path, len(times_s))
    columns = list(at.columns) if at.columns is not None else list(range(values.shape[1]))
    if len(columns) != len(at.outputs) or not all(0 <= c < values.shape[1] for c in columns):
        raise mat.bad(at.path, f"has {values.shape[1]} axes for columns {columns} and outputs {', '.join(at.outputs)}")
    return Series(values[:, columns], times_s, float(np.median(np.diff(times_s))))


def _samples(mat: NwbFile, where: str, n_samples: int) -> np.ndarray:
    """(n_samples, n_axes) float64."""
    values = mat.numbers(where, ndim=(2,)).astype(np.float64)
    if values.shape[1] != n_samples:
        raise mat.bad(where, f"is {values.shape[0]} by {values.shape[1]}, but {TIMES!r} has {n_samples} entries")
    return values.T


def _spikes(mat: NwbFile, at: SpikesAt) -> SpikeTrains:
    """Spike times of all channels, all units of a channel together."""
    where = str(at.units)
    cells = _references(mat, where)
    if cells.ndim != 2 or not cells.size:
        raise mat.bad(where, f"is {' by '.join(map(str, cells.shape))}, where units by channels belong")
    trains = [_channel(mat, where, column, phantom=at.phantom_spikes) for column in cells.T]
    channels = np.repeat(np.arange(len(trains)), [len(times_s) for times_s in trains])
    found = SpikeTrains(np.concatenate(trains), channels, _names(mat, len(trains)))
    return found if at.areas is None else only_areas(mat, where, found, at.areas)


def _channel(mat: NwbFile, where: str, cells: np.ndarray, *, phantom: bool) -> np.ndarray:
    """(n_spikes,) sorted spike times of all units of a channel."""
    found = []
    for cell in cells:
        data = _cell(mat, where, cell)
        if data.dtype.kind not in "fiu":
            raise mat.bad(where, f"has a cell of {data.dtype}, where spike times belong")
        if phantom or not data.attrs.get(EMPTY, 0):
            found.append(np.asarray(data[()], np.float64).reshape(-1))
    times_s = np.sort(np.concatenate([*found, np.empty(0)]))
    # Sorting puts NaN last.
    if times_s.size and not (times_s[0] >= 0 and times_s[-1] < LATEST_S):
        wrong = times_s[~((times_s >= 0) & (times_s < LATEST_S))][0]
        raise mat.bad(where, f"has a spike at {wrong} s, where 0 to {LATEST_S:.0e} s belong")
    return times_s


def _names(mat: NwbFile, n_channels: int) -> tuple[str, ...]:
    """`M1 001` as "M1:001", as areas and units are named elsewhere; numbers where the file names no channels."""
    if not mat.has(CHANNELS):
        return tuple(map(str, range(n_channels)))
    cells = _references(mat, CHANNELS).reshape(-1)
    if len(cells) != n_channels:
        raise mat.bad(CHANNELS, f"has {len(cells)} names, but the spikes have {n_channels} channels")
    return tuple(_word(mat, cell) for cell in cells)


def _word(mat: NwbFile, cell: h5py.Reference) -> str:
    codes = _cell(mat, CHANNELS, cell)
    if codes.dtype.kind != "u" or codes.size > 100:
        raise mat.bad(CHANNELS, f"has a cell of {codes.size} {codes.dtype}, where a channel's name belongs")
    word = "".join(map(chr, np.asarray(codes[()]).reshape(-1).tolist())).strip()
    if not word.isprintable():
        raise mat.bad(CHANNELS, f"has a channel's name {word!a}, which cannot be printed")
    return word.replace(" ", ":", 1)


def _references(mat: NwbFile, where: str) -> np.ndarray:
    data = mat.dataset(where)
    if h5py.check_ref_dtype(data.dtype) is not h5py.Reference:
        raise mat.bad(where, f"is {data.dtype}, where a cell array belongs")
    return np.asarray(data[()])


def _cell(mat: NwbFile, where: str, cell: h5py.Reference) -> h5py.Dataset:
    """The dataset that a reference leads to."""
    found = mat.dataset(where).file[cell] if cell else None
    if not isinstance(found, h5py.Dataset):
        raise mat.bad(where, "has a cell that leads to no dataset")
    return found

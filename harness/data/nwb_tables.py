"""The Units table (spike times) and tables of trials."""

from collections.abc import Collection
from dataclasses import replace

import h5py
import numpy as np

from harness.data.contents import SpikeTrains
from harness.data.nwb_file import LATEST_S, NwbFile, text

ELECTRODES = "general/extracellular_ephys/electrodes"
TOUCH_S = 0.002
"""Two observed intervals less than this apart are one: on a 1 kHz grid, one ends a sample before the next begins."""


def read_spikes(nwb: NwbFile, where: str, *, areas: Collection[str] | None = None) -> SpikeTrains:
    """Read a Units table's spike times, without waveforms.

    Args:
        nwb: The file.
        where: The table.
        areas: Keep the units of these areas alone; by default all.

    Raises:
        BadData: If a spike is negative, NaN or out of order in its unit, an index does not fit, or no unit is in one
            of the areas.
    """
    times_s = nwb.numbers(f"{where}/spike_times", kinds="f").astype(np.float64, copy=False)
    ends = nwb.index(f"{where}/spike_times_index", len(times_s))
    _check_times(nwb, f"{where}/spike_times", times_s, ends)
    units = np.repeat(np.arange(len(ends)), np.diff(ends, prepend=0))
    trains = SpikeTrains(times_s, units, _names(nwb, where, len(ends)), _intervals(nwb, where, len(ends)))
    return trains if areas is None else only_areas(nwb, where, trains, areas)


def only_areas(nwb: NwbFile, where: str, trains: SpikeTrains, areas: Collection[str]) -> SpikeTrains:
    """The units whose names begin with one of the areas, in their order."""
    of_unit = [name.rpartition(":")[0] for name in trains.names]
    if absent := [area for area in areas if area not in of_unit]:
        there = ", ".join(sorted({area or "units of no stated area" for area in of_unit})) or "no units"
        raise nwb.bad(where, f"has no unit of area {absent[0]!r}: there are {there}")
    kept = np.array([area in areas for area in of_unit])
    of_kept = kept[trains.units]
    return replace(
        trains,
        times_s=trains.times_s[of_kept],
        units=(np.cumsum(kept) - 1)[trains.units[of_kept]],
        names=tuple(name for name, keep in zip(trains.names, kept, strict=True) if keep),
    )


def _check_times(nwb: NwbFile, where: str, times_s: np.ndarray, ends: np.ndarray) -> None:
    if not times_s.size:
        return
    # One comparison catches NaN too: min() and max() hand it on, and it compares as False.
    if not (times_s.min() >= 0 and times_s.max() < LATEST_S):
        i = int(np.flatnonzero(~((times_s >= 0) & (times_s < LATEST_S)))[0])
        raise nwb.bad(where, f"has spike {i} at {times_s[i]} s, where 0 to {LATEST_S:.0e} s belong")
    back = np.flatnonzero(times_s[1:] < times_s[:-1]) + 1
    wrong = np.setdiff1d(back, ends, assume_unique=False)
    if wrong.size:
        i = int(wrong[0])
        unit = int(np.searchsorted(ends, i, side="right"))
        raise nwb.bad(where, f"is not sorted: unit {unit} has a spike at {times_s[i]} s after {times_s[i - 1]} s")


def _intervals(nwb: NwbFile, where: str, n_units: int) -> np.ndarray | None:
    """(n_intervals, 2) when any unit was observed; None where the file does not say."""
    path = f"{where}/obs_intervals"
    if not nwb.has(path):
        return None
    intervals_s = nwb.numbers(path, ndim=(2,)).astype(np.float64, copy=False)
    if len(nwb.index(f"{path}_index", len(intervals_s))) != n_units:
        raise nwb.bad(f"{path}_index", f"has not one entry for each of the {n_units} units")
    # A NaN compares as False, and an instant beyond all sessions is damage as well.
    sound = np.all(np.abs(intervals_s) < LATEST_S)
    if intervals_s.shape[1] != 2 or not sound or not np.all(intervals_s[:, 0] <= intervals_s[:, 1]):
        raise nwb.bad(path, f"does not hold (start, stop) pairs of seconds with start <= stop < {LATEST_S:.0e}")
    return _joined(intervals_s)


def _joined(intervals_s: np.ndarray) -> np.ndarray:
    """(n, 2) intervals in order, those that overlap or touch made one."""
    if not len(intervals_s):
        return intervals_s
    order = intervals_s[np.argsort(intervals_s[:, 0], kind="stable")]
    reached = np.maximum.accumulate(order[:, 1])
    begins = np.concatenate([[True], order[1:, 0] > reached[:-1] + TOUCH_S])
    last = np.concatenate([np.flatnonzero(begins)[1:] - 1, [len(order) - 1]])
    return np.column_stack([order[begins, 0], reached[last]])


def _names(nwb: NwbFile, where: str, n_units: int) -> tuple[str, ...]:
    ids = nwb.numbers(f"{where}/id", kinds="iu").tolist() if nwb.has(f"{where}/id") else list(range(n_units))
    if len(ids) != n_units:
        raise nwb.bad(f"{where}/id", f"has {len(ids)} entries, but spike_times_index has {n_units}")
    areas = _areas(nwb, where, n_units)
    return tuple(f"{area}:{i}" if area else str(i) for area, i in zip(areas, ids, strict=True))


def _areas(nwb: NwbFile, where: str, n_units: int) -> list[str]:
    """Location of each unit's first electrode, "" where the file does not say."""
    if not (nwb.has(f"{where}/electrodes") and nwb.has(f"{ELECTRODES}/location")):
        return [""] * n_units
    rows = nwb.numbers(f"{where}/electrodes", kinds="iu").astype(np.int64)
    has_index = nwb.has(f"{where}/electrodes_index")
    ends = nwb.index(f"{where}/electrodes_index", len(rows)) if has_index else np.arange(1, len(rows) + 1)
    locations = nwb.strings(f"{ELECTRODES}/location")
    if len(ends) != n_units or np.any((rows < 0) | (rows >= len(locations))):
        raise nwb.bad(f"{where}/electrodes", f"points outside of the {len(locations)} electrodes or {n_units} units")
    starts = np.concatenate([[0], ends[:-1]])
    return [locations[rows[a]] if b > a else "" for a, b in zip(starts, ends, strict=True)]


def read_trials(nwb: NwbFile, where: str, columns: Collection[str] | None = None) -> dict[str, np.ndarray]:
    """Read columns of a table of trials, text decoded; of a ragged column, one array per trial.

    Args:
        nwb: The file.
        where: The table.
        columns: Those to read; by default all that hold numbers or text.

    Raises:
        BadData: If a column is missing, or the columns differ in length.
    """
    group = nwb.group(where)
    names = columns if columns is not None else [n for n in group if _plain(group[n]) and not n.endswith("_index")]
    table = {name: _column(nwb, where, name) for name in names}
    lengths = {len(values) for values in table.values()}
    if len(lengths) > 1:
        raise nwb.bad(where, f"has columns of {', '.join(map(str, sorted(lengths)))} rows")
    return table


def _plain(node: object) -> bool:
    return isinstance(node, h5py.Dataset) and node.dtype.kind in "fiubSO" and not h5py.check_ref_dtype(node.dtype)


def _column(nwb: NwbFile, where: str, name: str) -> np.ndarray:
    path = f"{where}/{name}"
    data = nwb.dataset(path)
    if not _plain(data) or not data.ndim:
        raise nwb.bad(path, f"is {data.dtype}, where a column of numbers or text belongs")
    values = np.asarray(data[()])
    if values.dtype.kind in "SO":
        values = np.array([text(v) for v in values.reshape(-1)], dtype=str).reshape(values.shape)
    if not nwb.has(f"{path}_index"):
        return values
    ragged = np.empty(len(ends := nwb.index(f"{path}_index", len(values))), dtype=object)
    ragged[:] = np.split(values, ends[:-1]) if len(ends) else []
    return ragged

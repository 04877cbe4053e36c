"""Small MATLAB v7.3 files in the layout of O'Doherty's, the same bytes of content in any environment.

Needs NumPy and h5py alone, for the environment in which NeuroBench reads them has nothing of ours. Arrays come from
whole random numbers and single divisions, so that no library's sine can differ.
"""

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

PERIOD_S = 0.004
EMPTY_SHAPES = ((0, 0), (1, 0), (0, 1))


@dataclass(frozen=True)
class Recording:
    """What a file holds.

    times_s: (n_samples,).
    cursor_mm, target_mm: (n_samples, 2).
    spikes_s: One list per channel of one array per unit; an empty array is an empty cell.
    names: One per channel, e.g. "M1 001".
    """

    times_s: np.ndarray
    cursor_mm: np.ndarray
    target_mm: np.ndarray
    spikes_s: list[list[np.ndarray]]
    names: tuple[str, ...]

    def write(self, path: Path) -> Path:
        """Write it as MATLAB would: axes reversed, cells as references, the shape of an empty cell in its place."""
        with h5py.File(path, "w", userblock_size=512) as file:
            for name, values in (("t", self.times_s[:, None]), ("cursor_pos", self.cursor_mm)):
                _double(file, name, values.T)
            _double(file, "target_pos", self.target_mm.T)
            cells = [[self._cell(file, channel, unit) for channel in self.spikes_s] for unit in range(self.n_units)]
            _cells(file, "spikes", cells)
            _cells(file, "chan_names", [[_text(file, name) for name in self.names]])
        return path

    @property
    def n_units(self) -> int:
        """Units of a channel, the unsorted one included."""
        return len(self.spikes_s[0])

    def _cell(self, file: h5py.File, channel: list[np.ndarray], unit: int) -> h5py.Reference:
        times_s = channel[unit]
        if times_s.size:
            return _double(file, _next(file), times_s[None, :]).ref
        shape = np.array(EMPTY_SHAPES[unit % len(EMPTY_SHAPES)], np.uint64)
        data = _double(file, _next(file), shape)
        data.attrs["MATLAB_empty"] = np.uint8(1)
        return data.ref


def _double(file: h5py.File, name: str, values: np.ndarray) -> h5py.Dataset:
    data = file.create_dataset(name, data=values)
    data.attrs["MATLAB_class"] = np.bytes_("double")
    return data


def _next(file: h5py.File) -> str:
    return f"#refs#/{len(file.require_group('#refs#'))}"


def _text(file: h5py.File, word: str) -> h5py.Reference:
    data = file.create_dataset(_next(file), data=np.array([list(word.encode())], np.uint16).T)
    data.attrs["MATLAB_class"] = np.bytes_("char")
    return data.ref


def _cells(file: h5py.File, name: str, rows: list[list[h5py.Reference]]) -> None:
    data = file.create_dataset(name, (len(rows), len(rows[0])), dtype=h5py.ref_dtype)
    data[...] = np.array(rows, dtype=h5py.ref_dtype)
    data.attrs["MATLAB_class"] = np.bytes_("cell")


def names_of(n_channels: int) -> tuple[str, ...]:
    """M1 first, 96 of it, then S1."""
    return tuple(f"{'M1' if i < 96 else 'S1'} {i % 96 + 1:03d}" for i in range(n_channels))


def recording(
    *, seed: int, n_channels: int = 96, n_units: int = 5, start_s: float = 148.984, n_samples: int = 1500
) -> Recording:
    """A session of some twelve reaches; every third unit cell is empty, and so are all units of channel 7.

    Spikes are on O'Doherty's clock of 24414.0625 Hz and begin 1 s before the behaviour and end 1 s after it.
    """
    rng = np.random.default_rng(seed)
    times_s = start_s + np.arange(n_samples) * PERIOD_S
    cursor_mm = rng.integers(-4000, 4001, (n_samples, 2)).cumsum(axis=0) / 1000
    first, last = max(0.0, start_s - 1), start_s + n_samples * PERIOD_S + 1
    spikes_s = [[_train(rng, first, last, rate_hz=30 / n_units) for _ in range(n_units)] for _ in range(n_channels)]
    for i, channel in enumerate(spikes_s):
        for unit in range(n_units):
            if i == 7 or (i + unit) % 3 == 2:
                channel[unit] = np.empty(0)
    return Recording(times_s, cursor_mm, _targets(rng, n_samples), spikes_s, names_of(n_channels))


def _train(rng: np.random.Generator, first_s: float, last_s: float, *, rate_hz: float) -> np.ndarray:
    clock_hz = 24414.0625
    n = round(rate_hz * (last_s - first_s))
    return np.sort(rng.integers(int(first_s * clock_hz) + 1, int(last_s * clock_hz), n)) / clock_hz


def _targets(rng: np.random.Generator, n_samples: int) -> np.ndarray:
    """(n_samples, 2): targets on a grid of 15 mm, one axis of which may stay as it is."""
    changes = np.sort(rng.choice(np.arange(50, n_samples - 50), 11, replace=False))
    reach = np.searchsorted(changes, np.arange(n_samples), side="right")
    columns = np.cumsum(rng.integers(1, 4, 12)) % 8, np.cumsum(rng.integers(0, 2, 12)) % 8
    return 15.0 * np.column_stack(columns)[reach]


def on_edges(*, seed: int, start_s: float) -> Recording:
    """Spikes exactly on samples, on edges of bins as floats, before the first, after the last, many in one bin.

    The goal changes between the first two samples, between the last two, and twice in a row.
    """
    plain = recording(seed=seed, start_s=start_s, n_samples=400)
    times_s = plain.times_s
    edges_s = np.arange(times_s[0] - PERIOD_S, times_s[-1], PERIOD_S)
    nudged = np.sort(np.concatenate([np.nextafter(edges_s, 0), np.nextafter(edges_s, 1e9)]))
    special = (
        times_s,
        edges_s,
        edges_s[-3:],
        edges_s[:2],
        nudged,
        np.repeat(edges_s[5], 4),
        times_s[-2:],
        edges_s[-1:],
    )
    for channel, found_s in enumerate(special):
        plain.spikes_s[channel][0] = found_s[found_s >= 0]
    target_mm = plain.target_mm
    target_mm[0], target_mm[-1] = (-99.0, 0.0), (99.0, 0.0)
    target_mm[200], target_mm[201] = (1.0, 0.0), (1.0, 2.0)
    return plain


def recordings() -> dict[str, Recording]:
    """The sessions that both NeuroBench and our reader are shown: name of the file -> content.

    NeuroBench goes by the names: Indy has 96 channels, Loco 192.
    """
    return {
        "indy_plain": recording(seed=1),
        "indy_later_start": recording(seed=2, start_s=1234.56789),
        # Only here do the shapes of empty cells, taken for times, fall into the session.
        "indy_from_zero": recording(seed=3, start_s=0.0),
        "indy_edges": on_edges(seed=4, start_s=10.0),
        # From here, floats give one edge of a bin more than there are samples.
        "indy_edges_and_one_more": on_edges(seed=5, start_s=20.004),
        "loco_two_areas": recording(seed=6, n_channels=192, n_units=3, start_s=20.004),
    }

"""Broadband recordings of O'Doherty and colleagues: NWB 1.0.6, which pynwb does not read, taken block by block.

`acquisition/timeseries/broadband` holds `data` (n_samples, n_channels), whose attribute `conversion` gives volts,
`timestamps` (seconds, one per sample) and `electrode_names`. The files: doi:10.5281/zenodo.3854034 and the records that
supplement it.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from harness.data.decimate import Recipe
from harness.data.nwb_file import LATEST_S, NwbFile, text

PLACE = "acquisition/timeseries/broadband"
DATA, TIMES, NAMES = f"{PLACE}/data", f"{PLACE}/timestamps", f"{PLACE}/electrode_names"
BLOCK_SAMPLES, MOST_BLOCK_SAMPLES = 8192, 65_536
ARRAY_CHANNELS = 96
"""Electrodes of one array; a file of so many channels without names holds one array."""

KINDS = ("int16", "int32", "float32", "float64")
RATE_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Broadband:
    """An open recording, nothing of its data read yet.

    columns: The columns of `data` that are kept.
    names: Of each kept column, "M1 001".
    volts_per_step: A stored number times this is in volts.
    """

    nwb: NwbFile
    columns: tuple[int, ...]
    names: tuple[str, ...]
    n_samples: int
    volts_per_step: float

    @property
    def n_bytes(self) -> int:
        """Of the data of all channels, as read."""
        data = self.nwb.dataset(DATA)
        return self.n_samples * int(data.shape[1]) * int(data.dtype.itemsize)

    def blocks(self, recipe: Recipe) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """(n,) seconds and (n, n_channels) stored numbers, from the first sample to the last.

        Raises:
            BadData: If the times do not go up, the rate is not the recipe's, or a value is not finite.
        """
        data, size = self.nwb.dataset(DATA), self._block_samples()
        before_s = -np.inf
        for start in range(0, self.n_samples, size):
            times_s = np.asarray(self.nwb.dataset(TIMES)[start : start + size], np.float64).reshape(-1)
            self._check_times(times_s, before_s, start)
            if start == 0:
                self._check_rate(times_s, recipe)
            values = self._kept(np.asarray(data[start : start + size, self.columns[0] : self.columns[-1] + 1]))
            self._check_values(values, times_s, start)
            before_s = times_s[-1]
            yield times_s, values

    def span_s(self) -> tuple[float, float]:
        """The times of the first and the last sample."""
        times = self.nwb.dataset(TIMES)
        return float(np.asarray(times[0]).reshape(-1)[0]), float(np.asarray(times[-1]).reshape(-1)[0])

    def _block_samples(self) -> int:
        """As many rows as the file stores together, so that no chunk is read twice, within limits."""
        chunks = self.nwb.dataset(DATA).chunks
        return min(max(BLOCK_SAMPLES, chunks[0] if chunks else 0), MOST_BLOCK_SAMPLES)

    def _kept(self, values: np.ndarray) -> np.ndarray:
        offsets = np.array(self.columns) - self.columns[0]
        return values if len(offsets) == values.shape[1] else values[:, offsets]

    def _check_times(self, times_s: np.ndarray, before_s: float, start: int) -> None:
        # A NaN compares as False, and so fails both.
        sound = (np.diff(times_s, prepend=before_s) > 0) & (np.abs(times_s) < LATEST_S)
        if not sound.all():
            i = int(np.flatnonzero(~sound)[0])
            earlier_s = times_s[i - 1] if i else before_s
            raise self.nwb.bad(TIMES, f"does not go up: sample {start + i} is at {times_s[i]} s after {earlier_s} s")

    def _check_rate(self, times_s: np.ndarray, recipe: Recipe) -> None:
        rate_hz = 1 / np.median(np.diff(times_s)) if len(times_s) > 1 else np.nan
        if not abs(rate_hz / recipe.rate_hz - 1) < RATE_TOLERANCE:
            raise self.nwb.bad(
                TIMES, f"has {rate_hz:g} samples a second, where the recipe {recipe.name} needs {recipe.rate_hz:g}"
            )

    def _check_values(self, values: np.ndarray, times_s: np.ndarray, start: int) -> None:
        if values.dtype.kind != "f" or np.isfinite(values).all():
            return
        row, column = np.argwhere(~np.isfinite(values))[0]
        raise self.nwb.bad(
            DATA,
            f"has {values[row, column]} in sample {start + row} ({times_s[row]:.3f} s) of channel "
            f"{self.names[column]!r}, which a filter would carry into all that follows",
        )


def find_broadband(nwb: NwbFile, *, area: str, names: Sequence[str] = ()) -> Broadband:
    """Look at a file's broadband recording without reading it.

    Args:
        nwb: The open file.
        area: Which array's channels to keep, as their names begin: "M1".
        names: What the channels are called where the file does not say; ignored if it is not one per channel.

    Raises:
        BadData: If data, times and names do not fit each other, or no channel is of the area.
    """
    data, times = nwb.dataset(DATA), nwb.dataset(TIMES)
    if data.ndim != 2 or str(data.dtype.newbyteorder("=")) not in KINDS or 0 in data.shape:
        shape = " by ".join(map(str, data.shape))
        raise nwb.bad(DATA, f"is {shape or 'one'} {data.dtype}, where samples by channels of {', '.join(KINDS)} belong")
    if times.size != data.shape[0] or times.shape[0] != data.shape[0]:
        raise nwb.bad(
            TIMES, f"has {times.size} entries, but data has {data.shape[0]} samples of {data.shape[1]} channels"
        )
    if times.dtype.kind != "f" or times.dtype.itemsize < 8:
        raise nwb.bad(TIMES, f"is {times.dtype}, which cannot tell two samples apart; 64 bit floats belong")
    step = nwb.number(DATA, "conversion")
    if step <= 0:
        raise nwb.bad(DATA, f"has conversion {step}, where the volts of one step belong")
    found = _channel_names(nwb, int(data.shape[1]), names, area)
    columns = tuple(i for i, name in enumerate(found) if re.match(rf"{re.escape(area)}\b", name))
    if not columns:
        raise nwb.bad(NAMES, f"names no channel of {area!r}: there are {', '.join(found[:3])} and so on")
    if wrong := [found[i] for i in columns if "/" in found[i] or ":" in found[i]]:
        raise nwb.bad(NAMES, f"has the name {wrong[0]!r}, in which no '/' or ':' can be; names are like 'M1 001'")
    return Broadband(nwb, columns, tuple(found[i] for i in columns), int(data.shape[0]), step)


def _channel_names(nwb: NwbFile, n_channels: int, known: Sequence[str], area: str) -> list[str]:
    """The file's own names, else those of its labels, else numbers if it is one array."""
    stored = [text(name).strip(" \0") for name in nwb.strings(NAMES)] if nwb.has(NAMES) else []
    if stored and all(name[:1].isalpha() for name in stored):  # numbers and references name no area
        if len(stored) != n_channels:
            raise nwb.bad(NAMES, f"has {len(stored)} names, but data has {n_channels} channels")
        return stored
    if len(known) == n_channels:
        return list(known)
    if n_channels > ARRAY_CHANNELS:
        raise nwb.bad(
            NAMES,
            f"tells no areas, and nothing else says which of the {n_channels} channels are of {area!r}; add the names",
        )
    return [f"{area} {i + 1:03d}" for i in range(n_channels)]

"""TimeSeries objects: values in physical units, with the times of their samples."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from harness.data.contents import Regular, Rows, Series, Signal, Times
from harness.data.nwb_file import LATEST_S, NwbFile, text
from harness.data.nwb_rows import blocks_of, rows_of
from harness.data.nwb_tables import ELECTRODES
from harness.data.protocol import SignalAt, TargetAt

Clock = Literal["nwb", "falcon-h1"]

MOST_SPIKES = 2.0**24
"""Float32 counts up to here; no bin of a recording has as many."""

VOLTS = ("volts", "volt", "V")

LONGEST_S = 30 * 86_400.0
"""No session lasts a month; a series that spans more has damaged times."""


def read_target(nwb: NwbFile, at: TargetAt) -> Series:
    """Read a behaviour: one series or several of one channel, NaN where its mask is 0."""
    if at.members is None:
        series = read_series(nwb, at.path, columns=at.columns, clock=at.clock)
    else:
        series = _side_by_side(nwb, [f"{at.path}/{name}" for name in at.members], clock=at.clock)
    if series.values.shape[1] != len(at.outputs):
        outputs = ", ".join(at.outputs)
        raise nwb.bad(at.path, f"has {series.values.shape[1]} columns for the outputs {outputs}")
    return _masked(nwb, series, at.mask) if at.mask else series


def read_counts(nwb: NwbFile, where: str) -> Series:
    """Read binned spike counts.

    Raises:
        BadData: If a count is negative, no whole number, or beyond all reason.
    """
    series = read_series(nwb, where)
    counts = series.values
    wrong = np.argwhere(~((counts >= 0) & (counts < MOST_SPIKES) & (counts == np.rint(counts))))
    if wrong.size:
        i, unit = wrong[0]
        raise nwb.bad(f"{where}/data", f"has {counts[i, unit]} in row {i}, column {unit}: no spike count")
    return series


def read_series(nwb: NwbFile, where: str, *, columns: Sequence[int] | None = None, clock: Clock = "nwb") -> Series:
    """Read one TimeSeries: data times `conversion` (and `channel_conversion`) plus `offset`.

    Raises:
        BadData: If data and timestamps differ in length, or the timestamps do not go up or span more than a month.
    """
    data = f"{where}/data"
    values = nwb.columns(data, columns).astype(np.float64, copy=False)
    scale = _scale(nwb, where, columns)
    offset = nwb.number(data, "offset", 0.0) if clock == "nwb" else 0.0
    if np.any(scale != 1.0):
        values *= scale
    if offset:
        values += offset
    with np.errstate(over="ignore"):
        times_s, period_s = _times(nwb, where, len(values), clock)
    _check_span(nwb, where, times_s)
    return Series(values, times_s, period_s, text(nwb.dataset(data).attrs.get("unit", "")))


def read_signal(nwb: NwbFile, at: SignalAt) -> Signal:
    """Read a continuous signal in the type in which it is stored, volts as microvolts; a long one stays in its file.

    Raises:
        BadData: As `read_series`, and if a value or a factor is not finite.
    """
    data = f"{at.path}/data"
    values = rows_of(nwb, data, at.columns)
    times_s, period_s = _times_of_signal(nwb, at.path, len(values))
    _check_span(nwb, at.path, times_s)
    if not period_s or 0 in values.shape:
        raise nwb.bad(data, f"is {values.shape[0]} by {values.shape[1]}, where at least two samples belong")
    unit = text(nwb.dataset(data).attrs.get("unit", ""))
    to_unit = 1e6 if unit in VOLTS else 1.0
    scale = np.broadcast_to(_scale(nwb, at.path, at.columns) * to_unit, values.shape[1:])
    wrong = _first_not_finite(values) if np.isfinite(scale).all() else 0
    if wrong is not None:
        raise nwb.bad(data, f"is not finite, first in row {wrong}")
    names = _channel_names(nwb, at)
    offset = nwb.number(data, "offset", 0.0) * to_unit
    return Signal(values, scale, offset, times_s, period_s, "uV" if unit in VOLTS else unit, names)


def _first_not_finite(values: Rows) -> int | None:
    """The first row with a NaN or an infinity; None if there is none."""
    for start, block in blocks_of(values) if values.dtype.kind == "f" else ():
        if not np.isfinite(block.sum(dtype=np.float64)) and not (finite := np.isfinite(block).all(axis=1)).all():
            return start + int(np.argmin(finite))
    return None


def _channel_names(nwb: NwbFile, at: SignalAt) -> tuple[str, ...]:
    """What the electrodes table calls the channels (`channel_name`), or the rows of it that they are from.

    Their numbers count where the file does not say.
    """
    where, shape = f"{at.path}/electrodes", nwb.dataset(f"{at.path}/data").shape
    n_channels = shape[1] if len(shape) == 2 else 1
    rows = nwb.numbers(where, kinds="iu").tolist() if nwb.has(where) else list(range(n_channels))
    if len(rows) != n_channels:
        raise nwb.bad(where, f"names {len(rows)} electrodes, but the data have {n_channels} channels")
    names = _electrode_names(nwb, where, rows) if nwb.has(where) else [str(row) for row in rows]
    return tuple(names[c] for c in (range(n_channels) if at.columns is None else at.columns))


def _electrode_names(nwb: NwbFile, where: str, rows: Sequence[int]) -> list[str]:
    """Names of some rows of the electrodes table: numbers of the rows, unless each channel has a name of its own."""
    if not nwb.has(f"{ELECTRODES}/channel_name"):
        return [str(row) for row in rows]
    names = nwb.strings(f"{ELECTRODES}/channel_name")
    if not all(0 <= row < len(names) for row in rows):
        raise nwb.bad(where, f"points outside of the {len(names)} electrodes")
    named = [names[row] for row in rows]
    return named if len(set(named)) == len(named) and all(named) else [str(row) for row in rows]


def _scale(nwb: NwbFile, where: str, columns: Sequence[int] | None) -> float | np.ndarray:
    """`conversion`, times `channel_conversion` where there is one: a number, or (n_channels,)."""
    scale = nwb.number(f"{where}/data", "conversion", 1.0)
    if not nwb.has(f"{where}/channel_conversion"):
        return scale
    per_channel = nwb.numbers(f"{where}/channel_conversion")
    if per_channel.shape[0] != nwb.dataset(f"{where}/data").shape[-1]:
        raise nwb.bad(f"{where}/channel_conversion", f"has {per_channel.shape[0]} channels, not as many as data")
    return scale * (per_channel if columns is None else per_channel[list(columns)])


def _times(nwb: NwbFile, where: str, n_samples: int, clock: Clock) -> tuple[np.ndarray, float]:
    """((n_samples,) seconds, nominal period)."""
    if nwb.has(f"{where}/timestamps"):
        return _timestamps(nwb, f"{where}/timestamps", n_samples)
    regular = _regular(nwb, where, n_samples, clock)
    return np.asarray(regular), 1 / regular.rate_hz


def _times_of_signal(nwb: NwbFile, where: str, n_samples: int) -> tuple[Times, float]:
    """The same of a signal, which may be long: a regular clock is no array."""
    if nwb.has(f"{where}/timestamps"):
        return _timestamps(nwb, f"{where}/timestamps", n_samples)
    regular = _regular(nwb, where, n_samples, "nwb")
    return regular, 1 / regular.rate_hz


def _regular(nwb: NwbFile, where: str, n_samples: int, clock: Clock) -> Regular:
    starting = f"{where}/starting_time"
    if not nwb.has(starting):
        raise nwb.bad(where, f"has neither timestamps nor starting_time: it holds {', '.join(nwb.group(where))}")
    rate = nwb.number(starting, "rate")
    if rate <= 0:
        raise nwb.bad(starting, f"has rate {rate}, where a positive number belongs")
    first_s = float(nwb.numbers(starting, ndim=(0, 1)).reshape(-1)[0])
    if clock == "falcon-h1":
        if rate >= 1:
            raise nwb.bad(starting, f"has rate {rate}: no sample period in seconds, as the layout's clock expects")
        rate, first_s = 1 / rate, nwb.number(f"{where}/data", "offset", 0.0)
    if not np.isfinite(first_s):
        raise nwb.bad(starting, f"is {first_s}")
    return Regular(n_samples, rate, first_s)


def _check_span(nwb: NwbFile, where: str, times_s: Times) -> None:
    """Refuse times that no session has, before anything is made as long as they claim it to be."""
    if not len(times_s):
        return
    first_s, last_s = float(times_s[0]), float(times_s[-1])
    if not (max(abs(first_s), abs(last_s)) < LATEST_S and last_s - first_s < LONGEST_S):
        raise nwb.bad(where, f"has samples at {first_s:g} to {last_s:g} s: no session is that late or that long")


def _timestamps(nwb: NwbFile, where: str, n_samples: int) -> tuple[np.ndarray, float]:
    times_s = nwb.numbers(where).astype(np.float64, copy=False)
    if len(times_s) != n_samples:
        raise nwb.bad(where, f"has {len(times_s)} entries, but data has {n_samples}")
    steps_s = np.diff(times_s)
    wrong = np.flatnonzero(~(steps_s > 0))
    if wrong.size:
        i = int(wrong[0])
        raise nwb.bad(where, f"does not go up: entry {i + 1} is {times_s[i + 1]} s after entry {i} at {times_s[i]} s")
    if not np.all(np.isfinite(times_s[[0, -1]] if n_samples else times_s)):
        raise nwb.bad(where, "is not finite")
    return times_s, float(np.median(steps_s)) if steps_s.size else 0.0


def _side_by_side(nwb: NwbFile, paths: Sequence[str], *, clock: Clock) -> Series:
    first, *others = (read_series(nwb, path, clock=clock) for path in paths)
    for path, other in zip(paths[1:], others, strict=True):
        if not np.array_equal(other.times_s, first.times_s):
            raise nwb.bad(path, f"is not sampled at the times of {paths[0]!r}")
    return replace(first, values=np.hstack([first.values, *(other.values for other in others)]))


def _masked(nwb: NwbFile, series: Series, mask: str) -> Series:
    measured = nwb.columns(f"{mask}/data", None)[:, 0] != 0
    if len(measured) != len(series.values):
        raise nwb.bad(mask, f"has {len(measured)} entries, but the behaviour has {len(series.values)}")
    return replace(series, values=np.where(measured[:, None], series.values, np.nan))

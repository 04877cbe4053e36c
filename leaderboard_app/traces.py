"""From a test part and its answers to the points that a chart of a window draws: pure functions, no Streamlit.

A bin is known, and drawn, at its right edge. Times are seconds of the test part, whose stretches follow one another
without the gaps between them.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

MOST_POINTS = 5000
"""Of a chart: more are slow to draw and no easier to read."""
TRUE = "true"
"""How the recorded behaviour is called among the decoders."""
ROW_SPAN = 0.9


@dataclass(frozen=True)
class Window:
    """A stretch of a test part.

    bins: Which of its bins.
    starts: (n_bins of the window,) bool, where the recording begins anew; where nobody knows, nowhere.
    """

    bins: slice
    bin_s: float
    starts: np.ndarray

    @classmethod
    def of(cls, start_s: float, length_s: float, *, bin_s: float, n_bins: int, starts: np.ndarray | None) -> "Window":
        """The bins of [start_s, start_s + length_s) that there are; at least one."""
        first = min(max(round(start_s / bin_s), 0), n_bins - 1)
        bins = slice(first, min(first + max(round(length_s / bin_s), 1), n_bins))
        inside = np.zeros(bins.stop - bins.start, bool) if starts is None else starts[bins]
        return cls(bins, bin_s, inside)

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def seconds(self) -> np.ndarray:
        """(n_bins,) right edges."""
        return np.arange(self.bins.start + 1, self.bins.stop + 1) * self.bin_s

    @property
    def span_s(self) -> tuple[float, float]:
        """From the left edge of the first bin to the right edge of the last."""
        return self.bins.start * self.bin_s, self.bins.stop * self.bin_s


def traces(series: Mapping[str, np.ndarray], window: Window, output: int) -> tuple[pd.DataFrame, int]:
    """One output of the truth and of some decoders.

    Args:
        series: Name -> (n_bins, n_outputs) values of the whole test part.
        window: Which bins.
        output: Which column.

    Returns:
        Rows of (series, seconds, value, stretch), and of how many bins each pair of points is the lowest and the
        highest; 1 if all bins are there. `stretch` counts where the recording begins anew: lines do not cross that.
    """
    most = MOST_POINTS // max(1, len(series))
    stretch, tables = np.cumsum(window.starts), []
    for name, values in series.items():
        inside = values[window.bins, output]
        kept = extremes(inside, most)
        columns = {"seconds": window.seconds[kept], "value": inside[kept].astype(float), "stretch": stretch[kept]}
        tables.append(pd.DataFrame({"series": name, **columns}))
    return pd.concat(tables, ignore_index=True), group_size(len(window), most)


def group_size(n: int, most: int) -> int:
    """How many values two points stand for, if all may not be drawn; 1 if they may."""
    return 1 if n <= most else -(-n // (most // 2))


def extremes(values: np.ndarray, most: int) -> np.ndarray:
    """Where the lowest and the highest value of each group are, in order of time; everywhere if `most` are enough.

    A group of NaN alone keeps its first bin, so that the gap stays to be seen.
    """
    size = group_size(len(values), most)
    if size == 1:
        return np.arange(len(values))
    n_groups = -(-len(values) // size)
    padded = np.full(n_groups * size, np.nan)
    padded[: len(values)] = values
    groups, begins = padded.reshape(n_groups, size), np.arange(n_groups) * size
    lowest = np.where(np.isnan(groups), np.inf, groups).argmin(axis=1)
    highest = np.where(np.isnan(groups), -np.inf, groups).argmax(axis=1)
    return np.unique(np.concatenate([begins + lowest, begins + highest]))


def stretches_of(marked: np.ndarray, window: Window) -> pd.DataFrame:
    """Where bins are marked, as rows of (from_s, until_s), edges of bins."""
    edges = np.diff(np.concatenate([[False], marked[window.bins], [False]]).astype(int))
    begin_s, _ = window.span_s
    at = [begin_s + np.flatnonzero(edges == sign) * window.bin_s for sign in (1, -1)]
    return pd.DataFrame({"from_s": at[0], "until_s": at[1]})


def paths(series: Mapping[str, np.ndarray], window: Window, *, integrate: bool) -> tuple[pd.DataFrame, int]:
    """The way of x and y through the plane within a window.

    Args:
        series: Name -> (n_bins, 2) values of the whole test part; where the truth, `TRUE`, was not measured, or the
            recording begins anew, all ways end and begin again.
        window: Which bins.
        integrate: The values are velocities: each way is their sum from its beginning, which is at 0, 0.

    Returns:
        Rows of (series, piece, order, seconds, x, y), and every how many-th bin is drawn.
    """
    pieces = _unbroken(np.isfinite(series[TRUE][window.bins]).all(axis=1), window.starts)
    step = -(-len(window) * len(series) // MOST_POINTS)
    tables = []
    for name, values in series.items():
        inside = values[window.bins].astype(float)
        for number, piece in enumerate(pieces):
            way, seconds = inside[piece], window.seconds[piece]
            if integrate:
                way = np.concatenate([np.zeros((1, 2)), np.cumsum(way * window.bin_s, axis=0)])
                seconds = np.concatenate([seconds[:1] - window.bin_s, seconds])
            kept = np.unique([*range(0, len(way), step), len(way) - 1])
            columns = {"seconds": seconds[kept], "x": way[kept, 0], "y": way[kept, 1]}
            tables.append(pd.DataFrame({"series": name, "piece": number, "order": kept, **columns}))
    empty = pd.DataFrame(columns=["series", "piece", "order", "seconds", "x", "y"])
    return pd.concat(tables, ignore_index=True) if tables else empty, step


def _unbroken(measured: np.ndarray, starts: np.ndarray) -> list[slice]:
    """Stretches of measured bins that nothing interrupts, of two bins or more."""
    begins = measured & (starts | ~np.concatenate([[False], measured[:-1]]))
    ends = measured & ~np.concatenate([measured[1:] & ~starts[1:], [False]])
    edges = zip(np.flatnonzero(begins), np.flatnonzero(ends) + 1, strict=True)
    return [slice(int(a), int(b)) for a, b in edges if b - a > 1]


def spikes(counts: np.ndarray, window: Window) -> tuple[pd.DataFrame, int]:
    """The bins in which units fired.

    Args:
        counts: (n_bins, n_units) of the whole test part.
        window: Which bins.

    Returns:
        Rows of (seconds, unit, spikes), and every how many-th unit is there: as many as make `MOST_POINTS` rows.
    """
    inside = counts[window.bins]
    fired = np.count_nonzero(inside, axis=0)
    n_units = inside.shape[1]
    every = next((k for k in range(1, n_units + 1) if fired[::k].sum() <= MOST_POINTS), max(1, n_units))
    bins, units = np.nonzero(inside[:, ::every])
    drawn = pd.DataFrame({"seconds": window.seconds[bins], "unit": units * every})
    return drawn.assign(spikes=inside[bins, units * every]).head(MOST_POINTS), every


@dataclass(frozen=True)
class Bands:
    """Channels of a signal under one another.

    rows: (seconds, channel, low, high): right edge of a group of bins, the channel's column, and the lowest and
        highest sample in it, in rows, which are 1 apart and go down.
    row_height: How much a row is, in the unit of the signal.
    n_grouped: Bins in a group.
    """

    rows: pd.DataFrame
    row_height: float
    n_grouped: int


def bands(ranges: np.ndarray, window: Window) -> Bands:
    """A signal's channels, each around its own middle and all to one scale.

    ranges: (n_bins, 2, n_channels) lowest and highest sample of each bin of the whole test part.
    """
    inside = ranges[window.bins].astype(float)
    dead = np.isnan(inside).all(axis=(0, 1))
    inside[:, :, dead] = 0
    size = -(-len(window) * inside.shape[2] // MOST_POINTS)
    begins = np.arange(0, len(window), size)
    low, high = np.fmin.reduceat(inside[:, 0], begins), np.fmax.reduceat(inside[:, 1], begins)
    middle = np.nanmedian(inside, axis=(0, 1))
    tallest = float((np.nanmax(high, axis=0) - np.nanmin(low, axis=0)).max()) / ROW_SPAN
    height = tallest if np.isfinite(tallest) and tallest > 0 else 1.0
    low[:, dead] = high[:, dead] = np.nan
    row, at = np.meshgrid(np.arange(inside.shape[2]), np.arange(len(begins)))
    ends = np.append(begins[1:], len(window)) - 1
    columns = {"seconds": window.seconds[ends][at], "channel": row}
    columns |= {"low": (low - middle) / height - row, "high": (high - middle) / height - row}
    return Bands(pd.DataFrame({name: values.ravel() for name, values in columns.items()}), height, size)

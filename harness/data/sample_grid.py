"""NeuroBench's grid: a row per behaviour sample, its own bins of spikes, its own label. Followed to the last bit.

Rules are those of NeuroBench 2.3 (`neurobench.datasets.PrimateReaching` with `num_steps=1, bin_width=0.004`), read from
its results; tests hold them against that package's own numbers. Two of them are odd and followed all the same: spikes
come one bin later than they could be known, and labels look one sample ahead.
"""

from dataclasses import replace

import numpy as np

from harness.data.contents import Series, SpikeTrains
from harness.errors import BadData

MOST_DRIFT = 0.5
"""Share of a bin by which a sample may be off its place on a regular grid; more, and labels and spikes part company."""


def every_bin(series: Series, bin_s: float) -> tuple[Series, int]:
    """The samples of a behaviour that are `bin_s` apart, beginning with the first, and every how many they are.

    Raises:
        BadData: If `bin_s` is no whole number of its periods, or its samples are not evenly spaced.
    """
    step = round(bin_s / series.period_s) if series.period_s else 0
    if not step or abs(step * series.period_s - bin_s) > 0.01 * series.period_s:
        raise BadData(
            f"its behaviour has a sample each {series.period_s * 1e3:g} ms, of which rows {bin_s * 1e3:g} ms apart "
            f"cannot be taken; set the task's bin_s to a whole multiple, or its grid to `bins`"
        )
    thinned = replace(series, values=series.values[::step], times_s=series.times_s[::step], period_s=bin_s)
    off_s = np.abs(thinned.times_s - thinned.times_s[:1] - bin_s * np.arange(len(thinned.times_s)))
    if off_s.max(initial=0.0) > MOST_DRIFT * bin_s:
        k = int(np.argmax(off_s > MOST_DRIFT * bin_s))
        raise BadData(
            f"its behaviour samples are not evenly spaced: row {k} is {off_s[k]:g} s off the grid of {bin_s * 1e3:g} "
            f"ms; take the file that the suite pins, or the grid `bins`"
        )
    if len(thinned.times_s) < 2:
        raise BadData("its behaviour has fewer than two samples, so there is no velocity; take the suite's file")
    return thinned, step


def count_before(spikes: SpikeTrains, times_s: np.ndarray, *, bin_s: float) -> np.ndarray:
    """Count each row's spikes: those of [t_k - 2 bin_s, t_k - bin_s), so that row 0 has none.

    The edges are floats, as the package makes them, for a spike on an edge must fall on the same side. The last edge
    belongs to the bin before it.

    Returns:
        (n_rows, n_units) float32.

    Raises:
        BadData: If there is no unit.
    """
    edges_s = np.arange(times_s[0] - bin_s, times_s[-1], bin_s)
    if not spikes.names:
        raise BadData("there is not one unit in its spikes; take the file that the suite pins")
    counts = np.zeros((len(times_s), len(spikes.names)), np.float32)
    lower = np.searchsorted(edges_s, spikes.times_s, side="right") - 1
    lower[spikes.times_s == edges_s[-1]] = len(edges_s) - 2
    rows = lower + 1
    kept = (lower >= 0) & (lower < len(edges_s) - 1) & (rows < len(times_s))
    np.add.at(counts.reshape(-1), rows[kept] * len(spikes.names) + spikes.units[kept], np.float32(1))
    return counts


def gradient(values: np.ndarray) -> np.ndarray:
    """(n_rows, n_axes) half the difference of the rows after and before, in float32; at the ends, the one difference.

    Its unit is that of the values per row: at 4 ms, mm become mm per 4 ms.

    Raises:
        BadData: If a value is too large for float32.
    """
    with np.errstate(over="ignore"):
        position = values.astype(np.float32)
    if too_large := values[np.isinf(position) & np.isfinite(values)].tolist():
        raise BadData(f"its behaviour reaches {too_large[0]:g}, which float32 cannot hold; take the suite's file")
    slope = np.empty_like(position)
    slope[1:-1] = (position[2:] - position[:-2]) / np.float32(2)
    slope[0], slope[-1] = position[1] - position[0], position[-1] - position[-2]
    return slope

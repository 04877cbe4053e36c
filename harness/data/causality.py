"""Does the past change when the future does? One test for decoders, for filters and for `align` itself."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np

from harness.data.align import Aligned
from harness.data.contents import Contents, Series, Signal, SpikeTrains
from harness.data.signals import SIGNAL_SNAP_PERIODS

Manner = Literal["noise", "reversed", "cut"]
MANNERS: tuple[Manner, ...] = get_args(Manner)
TOLERANCE = 1e-6
"""Largest difference of outputs that should be the same, as a part of the largest output."""
CLOSE = 1e-4
"""The same where operations may run in another order, or after another fit."""


@dataclass(frozen=True)
class Difference:
    """How far two runs of outputs differ, relative to the largest of the first, and in which row most."""

    worst: float
    row: int

    @property
    def matters(self) -> bool:
        return not self.worst <= TOLERANCE


def difference(before: np.ndarray, after: np.ndarray, *, scale: float | None = None) -> Difference:
    """Compare two (n, ...) outputs; infinitely different if their shapes are, or where one is not a number.

    Args:
        before: (n, ...) outputs.
        after: The same of another run.
        scale: What a row's difference is measured in, where its own largest value is not larger, so that one row can
            hide no other. None: the largest value of all.
    """
    if before.shape != after.shape:
        return Difference(float("inf"), min(len(before), len(after)))
    if not before.size:
        return Difference(0.0, 0)
    before, after = (values.reshape(len(values), -1).astype(np.float64) for values in (before, after))
    largest = np.nanmax(np.abs(before), axis=1, initial=0.0)
    scales = largest.max() or 1.0 if scale is None else np.maximum(largest, scale)
    both_missing = np.isnan(before) & np.isnan(after)
    rows = np.where(both_missing, 0.0, np.abs(before - after)).max(axis=1) / scales
    rows = np.where(np.isnan(rows), np.inf, rows)
    return Difference(float(rows.max()), int(rows.argmax()))


def changed_after(values: np.ndarray, k: int, manner: Manner, rng: np.random.Generator) -> np.ndarray:
    """A copy of (n, ...) values whose rows from k on are other values of theirs, backwards, or not there."""
    if manner == "cut":
        return values[:k].copy()
    changed = values.copy()
    later = changed[k:]
    # Ten times as large, too: what looks ahead by a little weight shows.
    changed[k:] = 10 * rng.permutation(later.ravel()).reshape(later.shape) if manner == "noise" else later[::-1]
    return changed


def look_ahead(
    transform: Callable[[np.ndarray], np.ndarray], signal: np.ndarray, *, rng: np.random.Generator, n_places: int = 3
) -> str:
    """What of a transform's past changes with its input's future; empty if nothing does.

    Args:
        transform: (n_samples, ...) -> (n_outputs, ...), where n_outputs is n_samples or a whole fraction of it; output
            j may depend on the samples of its own stretch and on earlier ones.
        signal: (n_samples, ...).
        rng: Draws the places, and the noise.
        n_places: At how many random samples the future is changed, in every manner.
    """
    whole = transform(signal)
    ratio = max(1, len(signal) // len(whole))
    for k, manner in _trials(len(signal), n_places, rng):
        n_known = k // ratio
        found = difference(whole[:n_known], transform(changed_after(signal, k, manner, rng))[:n_known])
        if found.matters:
            return f"output {found.row} differs by {found.worst:.3g} of the largest with the input from {k} on {manner}"
    return ""


def alignment_looks_ahead(align: Callable[[Contents], Aligned], contents: Contents, *, rng: np.random.Generator) -> str:
    """What of a session's bins changes with what its file says of later times; empty if nothing does.

    Args:
        align: Cuts a file's contents into bins.
        contents: The file's contents.
        rng: Draws one instant for every manner, and the noise.
    """
    whole = align(contents)
    for k, manner in _trials(len(whole.ticks), 1, rng):
        instant_s = float(whole.ticks[k]) / whole.clock_hz
        other = align(_contents_after(contents, instant_s, manner, rng))
        for name, values in _known(whole, k).items():
            found = difference(values, _known(other, k)[name])
            if found.matters:
                return f"{name} of bin {found.row} differs by {found.worst:.3g} with all after {instant_s:g} s {manner}"
    return ""


def _trials(n: int, n_places: int, rng: np.random.Generator) -> Iterator[tuple[int, Manner]]:
    """Places in the middle four fifths, each with every manner."""
    for k in rng.integers(n // 10 + 1, max(n // 10 + 2, 9 * n // 10), size=n_places).tolist():
        for manner in MANNERS:
            yield k, manner


def _known(aligned: Aligned, k: int) -> dict[str, np.ndarray]:
    """What is known at the right edge of bin k."""
    inputs = aligned.recording.inputs
    known = {"time": aligned.ticks, "start": inputs.starts, **inputs.streams, **aligned.recording.privileged}
    return {name: np.asarray(values[: k + 1]) for name, values in known.items()}


def _contents_after(contents: Contents, instant_s: float, manner: Manner, rng: np.random.Generator) -> Contents:
    """The same file until an instant, and something else after it."""
    changes = {
        name: _series_after(series, instant_s, manner, rng)
        for name in ("target", "counts")
        if (series := getattr(contents, name)) is not None
    }
    changes["signals"] = {  # type: ignore[assignment]
        name: _signal_after(signal, instant_s, manner, rng) for name, signal in contents.signals.items()
    }
    if contents.target is None:
        changes["trials"] = _trials_after(contents.trials, instant_s, manner, rng)  # type: ignore[assignment]
    if contents.spikes is not None:
        changes["spikes"] = _spikes_after(contents.spikes, instant_s, manner, rng)  # type: ignore[assignment]
    return replace(contents, **changes)  # type: ignore[arg-type]


def _series_after(series: Series, instant_s: float, manner: Manner, rng: np.random.Generator) -> Series:
    # A sample holds for one period, and a bin's row needs it whole.
    k = int(np.searchsorted(series.times_s, instant_s + series.period_s, side="right"))
    values = changed_after(series.values, k, manner, rng)
    return replace(series, values=values, times_s=series.times_s[: len(values)])


def _signal_after(signal: Signal, instant_s: float, manner: Manner, rng: np.random.Generator) -> Signal:
    latest_s = instant_s + SIGNAL_SNAP_PERIODS * signal.period_s
    k = int(signal.times_s.searchsorted(np.asarray(latest_s), side="right"))
    values = changed_after(np.asarray(signal.values), k, manner, rng)
    return replace(signal, values=values, times_s=signal.times_s[: len(values)])


def _trials_after(
    trials: Mapping[str, np.ndarray], instant_s: float, manner: Manner, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Later trials gone, or at other times and of other classes; of one under way, its end is moved."""
    times = {name: values for name, values in trials.items() if name.endswith("_time")}
    later = np.min(list(times.values()), axis=0) > instant_s
    if manner == "cut":
        return {name: values[~later] for name, values in trials.items()}
    order = np.arange(len(later))
    order[later] = rng.permutation(order[later])
    moved_s = np.sort(rng.uniform(0.0, 1.0, len(later)))
    return {
        name: np.where(values > instant_s, values + moved_s, values) if name in times else values[order]
        for name, values in trials.items()
    }


def _spikes_after(spikes: SpikeTrains, instant_s: float, manner: Manner, rng: np.random.Generator) -> SpikeTrains:
    """Later spikes at other times (noise), mirrored in time, or gone; every unit's spikes stay sorted."""
    later = spikes.times_s >= instant_s
    if manner == "cut":
        return replace(spikes, times_s=spikes.times_s[~later], units=spikes.units[~later])
    end_s = float(spikes.times_s.max(initial=instant_s))
    times_s = spikes.times_s.copy()
    n_later = int(later.sum())
    moved = rng.uniform(instant_s, end_s, n_later) if manner == "noise" else instant_s + end_s - times_s[later]
    times_s[later] = moved
    order = np.lexsort([times_s, spikes.units])
    return replace(spikes, times_s=times_s[order], units=spikes.units[order])

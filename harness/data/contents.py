"""What a recording's file holds, checked, in seconds and physical units, before it is cut into bins."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np

from harness.errors import UsageError


@dataclass(frozen=True)
class SpikeTrains:
    """Spike times of all units, one unit after the other.

    times_s: (n_spikes,) float64, never negative; in each unit they go forward.
    units: (n_spikes,) int64, 0 .. n_units - 1, going up.
    names: One per unit, silent ones too: the area, where the file knows it, and the unit's id.
    intervals_s: (n_intervals, 2) float64 when units were observed, joined over units, in order and apart; None if the
        file does not say.
    """

    times_s: np.ndarray
    units: np.ndarray
    names: tuple[str, ...]
    intervals_s: np.ndarray | None = None


@dataclass(frozen=True)
class Series:
    """A sampled signal.

    values: (n_samples, n_channels) float64 in `unit`, NaN where not measured.
    times_s: (n_samples,) float64, going up.
    period_s: Nominal time between two samples.
    """

    values: np.ndarray
    times_s: np.ndarray
    period_s: float
    unit: str = ""


class Rows(Protocol):
    """(n_samples, n_channels): an array, or what reads a slice of rows when it is asked for."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype[Any]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice, /) -> np.ndarray: ...

    def __array__(self) -> np.ndarray: ...


@dataclass(frozen=True)
class Regular:
    """Times of a regular clock, made when they are asked for: sample i is at i / rate_hz + first_s."""

    n: int
    rate_hz: float
    first_s: float

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, i: Any) -> Any:
        """As of an array: seconds of a sample, or of those that a slice or an array names."""
        chosen = np.arange(*i.indices(self.n)) if isinstance(i, slice) else np.asarray(i)
        return np.where(chosen < 0, chosen + self.n, chosen).astype(np.float64) / self.rate_hz + self.first_s

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:], dtype)

    def searchsorted(self, instants_s: np.ndarray, side: Literal["left", "right"] = "left") -> np.ndarray:
        """As of an array: how many samples are before each instant, or at it too (`right`)."""
        guess = np.floor((instants_s - self.first_s) * self.rate_hz).clip(-1, self.n).astype(np.int64)
        # Rounding puts the guess off by a sample or two at most; the times themselves decide.
        counts = np.zeros(guess.shape, np.int64)
        for k in range(-2, 4):
            sample = guess + k
            before = self[sample] <= instants_s if side == "right" else self[sample] < instants_s
            counts = np.where((sample >= 0) & (sample < self.n) & before, sample + 1, counts)
        return counts


Times = np.ndarray | Regular


@dataclass(frozen=True)
class Signal:
    """A continuous signal as it is stored: `values * scale + offset` is in `unit`.

    values: (n_samples, n_channels) of any number type; of a long signal, rows that stay in the file.
    scale: (n_channels,) float64. offset: float.
    times_s: (n_samples,) float64, going up; of a regular clock, not an array.
    period_s: Nominal time between two samples.
    names: One per channel.
    """

    values: Rows
    scale: np.ndarray
    offset: float
    times_s: Times
    period_s: float
    unit: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class Contents:
    """The parts of one file that a task needs.

    target: The behaviour; None where the trials tell what is decoded.
    trials: Column -> (n_trials, ...) values; of a ragged column, an object array of arrays.
    goals: (n_samples, n_axes) float64, where the animal is to reach at each row of `target`; None if the layout names
        none.
    """

    target: Series | None
    spikes: SpikeTrains | None = None
    counts: Series | None = None
    trials: Mapping[str, np.ndarray] = field(default_factory=dict)
    goals: np.ndarray | None = None
    signals: Mapping[str, Signal] = field(default_factory=dict)

    @property
    def behaviour(self) -> Series:
        """The target, of a task that has one.

        Raises:
            UsageError: If trials tell what is decoded.
        """
        if self.target is None:
            raise UsageError("this target is told by trials and has classes; name one with a `path` for this task")
        return self.target

    @property
    def changes(self) -> np.ndarray | None:
        """(n_changes,) int64, rows of `target` after which the goal of the reach is another one, going up."""
        return None if self.goals is None else goal_changes(self.goals)


def goal_changes(goals: np.ndarray) -> np.ndarray:
    """(n_changes,) int64: the last row of each of (n_samples, n_axes) goals before another one; NaN is another one."""
    moved: np.ndarray = np.abs(np.diff(goals, axis=0)).sum(axis=1)
    return np.flatnonzero(moved)

"""Trials to learn from: stretches around decisions, out of which windows are cut at any labelled bin."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from baselines.eeg_networks.front import STREAM, Band, Front
from harness import Recording

EARLIEST_S, LATEST_S = 0.5, 2.0
"""Training windows end from so long before the decision to so long after it, where the label holds."""


@dataclass(frozen=True)
class Reach:
    """Where windows may lie.

    n_samples: Length of a window.
    n_earlier, n_later: Bins from the decision to the end of the earliest and of the latest window.
    """

    n_samples: int
    n_earlier: int
    n_later: int

    @classmethod
    def of(cls, window_samples: int, bin_s: float) -> "Reach":
        return cls(window_samples, round(EARLIEST_S / bin_s), round(LATEST_S / bin_s))

    @property
    def n_ends(self) -> int:
        """How many windows a trial may have."""
        return self.n_earlier + 1 + self.n_later


@dataclass(frozen=True)
class Trials:
    """Conditioned EEG around decisions.

    signals: (n_trials, n_channels, n_samples) float32, from the start of the earliest window to the end of the latest.
    usable: (n_trials, n_ends) bool; window k of a trial ends k bins after the earliest one.
    labels: (n_trials,) int64 class numbers.
    step: Samples from one window to the next.
    """

    signals: np.ndarray
    usable: np.ndarray
    labels: np.ndarray
    reach: Reach
    step: int

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, some: slice) -> "Trials":
        return replace(self, signals=self.signals[some], usable=self.usable[some], labels=self.labels[some])

    def windows(self, trials: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """Window `ends[i]` of trial `trials[i]`: (n, n_channels, n_samples) float32."""
        starts, n = (ends * self.step).tolist(), self.reach.n_samples
        return np.stack([self.signals[k, :, a : a + n] for k, a in zip(trials.tolist(), starts, strict=True)])

    def any_ends(self, trials: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """One usable window of each of these trials, drawn evenly: (n,) numbers."""
        return np.array([rng.choice(np.flatnonzero(self.usable[k])) for k in trials])


def cut(recordings: Sequence[Recording], band: Band, power: np.ndarray, reach: Reach) -> Trials:
    """The trials of recordings: one per scored bin.

    A window reaches back into what came before the trial, as it does in the stream, and into zeros before a run.
    """
    n_trials = sum(int(r.scored.sum()) for r in recordings)
    n_samples = reach.n_samples + (reach.n_ends - 1) * band.n_samples
    signals, labels = np.zeros((n_trials, len(power), n_samples), np.float32), np.zeros(n_trials, np.int64)
    usable = np.zeros((n_trials, reach.n_ends), bool)
    runs = ((r, run) for r in recordings for run in r.inputs.segments() if r.scored[run].any())
    i_trial = 0
    for recording, run in runs:
        signal, classes = Front(band, power).run(recording.inputs.streams[STREAM][run]).T, _classes(recording, run)
        for decision in np.flatnonzero(recording.scored[run]).tolist():
            _copy_ending_at((decision + reach.n_later + 1) * band.n_samples, signal, signals[i_trial])
            usable[i_trial], labels[i_trial] = _usable(classes, decision, reach), classes[decision]
            i_trial += 1
    return Trials(signals, usable, labels, reach, band.n_samples)


def _classes(recording: Recording, run: slice) -> np.ndarray:
    """(n_bins,) class numbers of a run; -1 where there is no label."""
    targets = recording.targets[run]
    return np.where(np.isfinite(targets).all(axis=1), np.nan_to_num(targets).argmax(axis=1), -1)


def _copy_ending_at(stop: int, signal: np.ndarray, stretch: np.ndarray) -> None:
    """Fill a stretch with the samples before `stop`, (n_channels, n) each; what the signal lacks is left as it is."""
    start = stop - stretch.shape[1]
    first, last = max(start, 0), min(stop, signal.shape[1])
    stretch[:, first - start : last - start] = signal[:, first:last]


def _usable(classes: np.ndarray, decision: int, reach: Reach) -> np.ndarray:
    """(n_ends,) whether the label held all the way between the decision and a window's end."""
    bins = decision + np.arange(-reach.n_earlier, reach.n_later + 1)
    inside = (bins >= 0) & (bins < len(classes))
    same = inside & (classes[np.where(inside, bins, 0)] == classes[decision])
    before, after = same[: reach.n_earlier + 1][::-1], same[reach.n_earlier :]
    return np.concatenate([np.logical_and.accumulate(before)[::-1], np.logical_and.accumulate(after)[1:]])

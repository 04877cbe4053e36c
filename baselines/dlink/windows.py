"""Windows of recordings to train on: which bins they end at, their labels, and which of them are held out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from baselines.dlink.shape import Clock
from baselines.dlink.signals import Front
from harness import Recording

EARLIEST_S = 1.5
"""From the first labelled bin of a trial to the end of its first window."""
HELD_OUT_SHARE = 0.1
FEWEST_TO_HOLD_OUT = 5
"""Trials of a recording; one with fewer is learned from entirely."""


@dataclass(frozen=True)
class Pool:
    """Windows of equal length.

    signals: Of each segment, with zeros before it as streaming has them: (n_samples, n_channels) float32.
    windows: (n_windows, 2) int64: which signal, and its sample after the window's last.
    labels: (n_windows,) int64, -1 where not labelled.
    learned, held_out: Numbers of windows; `held_out` may be empty.
    n_samples: Of a window, those included that filters reach back to.
    """

    signals: list[np.ndarray]
    windows: np.ndarray
    labels: np.ndarray
    learned: np.ndarray
    held_out: np.ndarray
    n_samples: int

    def values(self, numbers: np.ndarray, device: str = "cpu") -> Any:
        """(batch, n_samples, n_channels) tensor of the windows of these numbers."""
        chosen = [self.signals[i][stop - self.n_samples : stop] for i, stop in self.windows[numbers]]
        return torch.from_numpy(np.stack(chosen)).to(device)

    def classes(self, numbers: np.ndarray, device: str = "cpu") -> Any:
        """(batch,) tensor of labels."""
        return torch.from_numpy(self.labels[numbers]).to(device)


def pool_of(
    recordings: Sequence[Recording],
    held_out: Sequence[Recording] | None,
    clock: Clock,
    *,
    stride_s: float,
    labelled: bool,
) -> Pool:
    """Cut recordings into windows.

    Args:
        recordings: To learn from.
        held_out: To stop by; None: the last tenth of each of `recordings`.
        clock: Of all of them.
        stride_s: Distance of windows, in a trial or all over a recording.
        labelled: Windows of labelled trials only, or all.
    """
    n_samples = clock.lead_samples + clock.window_samples
    stride_bins = max(1, round(stride_s / clock.bin_s))
    signals: list[np.ndarray] = []
    rows: list[np.ndarray] = []
    for recording, is_held in [(r, False) for r in recordings] + [(r, True) for r in held_out or ()]:
        labels, trials = labels_and_trials(recording)
        ends = (
            labelled_ends(recording, labels, trials, clock, stride_bins)
            if labelled
            else all_ends(recording, clock, stride_bins)
        )
        held = np.full(len(ends), is_held) if held_out is not None else _last_tenth(ends, trials, clock, labelled)
        rows.append(np.stack([*_places(recording, ends, clock, len(signals), n_samples), labels[ends], held], axis=1))
        signals += _signals(recording, clock, n_samples)
    table = np.concatenate(rows) if rows else np.zeros((0, 4), int)
    table = table[table[:, 3] >= 0]
    learned, kept_back = (np.flatnonzero(table[:, 3] == k) for k in (0, 1))
    return Pool(signals, table[:, :2], table[:, 2].copy(), learned, kept_back, n_samples)


def labels_and_trials(recording: Recording) -> tuple[np.ndarray, np.ndarray]:
    """Of every bin its class, -1 where there is none, and the number of the run of equal labels that it is in."""
    known = np.isfinite(recording.targets).all(axis=1)
    labels = np.where(known, np.nan_to_num(recording.targets).argmax(axis=1), -1)
    changes = np.diff(labels, prepend=labels[:1]) != 0
    return labels, np.cumsum(changes | recording.inputs.starts)


def labelled_ends(
    recording: Recording, labels: np.ndarray, trials: np.ndarray, clock: Clock, stride_bins: int
) -> np.ndarray:
    """Bins that windows end at: decisions, and from 1.5 s on every so often in each labelled run."""
    _, first = np.unique(trials, return_index=True)
    age = np.arange(1, len(labels) + 1) - first[trials - trials[0]]
    late = (age * clock.bin_s >= EARLIEST_S - 1e-9) & (age % stride_bins == 0)
    return np.flatnonzero((labels >= 0) & (late | recording.scored))


def all_ends(recording: Recording, clock: Clock, stride_bins: int) -> np.ndarray:
    """Bins that windows end at, all over a recording; a segment shorter than a window has one, at its end."""
    found = []
    for s in recording.inputs.segments():
        ends = np.arange(s.start + clock.window_bins - 1, s.stop, stride_bins)
        found.append(ends if len(ends) else np.array([s.stop - 1]))
    return np.concatenate(found)


def _last_tenth(ends: np.ndarray, trials: np.ndarray, clock: Clock, labelled: bool) -> np.ndarray:
    """1 for windows that are held out, 0 for those to learn from, -1 for those that would overlap with both."""
    if not len(ends):
        return np.zeros(0, int)
    groups = np.unique(trials[ends]) if labelled else ends
    if len(groups) < FEWEST_TO_HOLD_OUT:
        return np.zeros(len(ends), int)
    edge = groups[-max(1, int(HELD_OUT_SHARE * len(groups)))]
    held = (trials[ends] if labelled else ends) >= edge
    first = ends[held][0]
    return np.where(held, 1, np.where(ends > first - clock.window_bins, -1, 0))


def _signals(recording: Recording, clock: Clock, n_before: int) -> list[np.ndarray]:
    values, front = recording.inputs.streams["eeg"], Front(clock.rate_hz, scaled=clock.scaled)
    silence = np.zeros((n_before, values.shape[-1]), np.float32)
    return [np.concatenate([silence, front.whole(values[s])]) for s in recording.inputs.segments()]


def _places(
    recording: Recording, ends: np.ndarray, clock: Clock, n_signals: int, n_before: int
) -> tuple[np.ndarray, np.ndarray]:
    """Signal and sample after the last of windows that end at these bins."""
    starts = np.flatnonzero(recording.inputs.starts)
    i_segment = np.searchsorted(starts, ends, side="right") - 1
    stops = n_before + (ends - starts[i_segment] + 1) * clock.bin_samples
    return n_signals + i_segment, stops

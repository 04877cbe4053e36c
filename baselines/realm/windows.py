"""Recordings of many sessions as one pool of training windows, each session in its own units of voltage."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from baselines.features import Standard
from harness import HarnessError, Recording

SHARE_TO_LEARN_FROM = 0.9
"""Of every unbroken stretch; windows of the rest tell when to stop. Of a session's windows where that holds none."""


@dataclass(frozen=True)
class Stretch:
    """An unbroken stretch of one session.

    values: (n_bins, n_channels) float32, standardised and padded with zeros.
    present: (n_channels,) float32, 0 for padding and for channels that are constant.
    targets: (n_bins, n_outputs) float32 standardised and NaN where not scored.
    session: Its id.
    """

    values: np.ndarray
    present: np.ndarray
    targets: np.ndarray
    session: str


@dataclass(frozen=True)
class Batch:
    """Windows as tensors: values and targets (batch, n_bins, ...), present (batch, n_channels)."""

    values: Any
    present: Any
    targets: Any


@dataclass(frozen=True)
class Pool:
    """Windows of equal length. Each is (stretch, first bin); `learned` and `held_out` number them.

    No window that is held out shares a bin with one that is learned from. `held_out` is empty where no session has
    windows enough for both.
    """

    stretches: list[Stretch]
    windows: list[tuple[int, int]]
    learned: np.ndarray
    held_out: np.ndarray
    window_bins: int

    def overlap(self, one: int, other: int) -> bool:
        """Whether two windows share a bin."""
        (i, at), (j, there) = self.windows[one], self.windows[other]
        return i == j and abs(at - there) < self.window_bins

    def batch(self, numbers: np.ndarray, device: str) -> Batch:
        """The windows of these numbers."""
        chosen = [
            (self.stretches[i], slice(at, at + self.window_bins)) for i, at in map(self.windows.__getitem__, numbers)
        ]
        arrays = (
            [s.values[bins] for s, bins in chosen],
            [s.present for s, _ in chosen],
            [s.targets[bins] for s, bins in chosen],
        )
        return Batch(*(torch.from_numpy(np.stack(array)).to(device) for array in arrays))


def voltages(recording: Recording, stream: str) -> np.ndarray:
    """(n_bins, n_channels): the last sample of each bin."""
    return recording.inputs.streams[stream][:, -1]


def stretches_of(recordings: Sequence[Recording], stream: str, n_channels: int) -> list[Stretch]:
    """Unbroken stretches of all recordings; mean and gain are each session's own, over all that is given of it."""
    found = []
    for session in dict.fromkeys(r.session.id for r in recordings):
        own = [r for r in recordings if r.session.id == session]
        standard = Standard.of([voltages(r, stream) for r in own], "none")
        present = np.zeros(n_channels, np.float32)
        present[: len(standard.gain)] = standard.gain > 0
        labels = _label_standard(own)
        for r in own:
            values, targets = padded(standard(voltages(r, stream)), n_channels), _targets(r, *labels)
            found += [Stretch(values[s], present, targets[s], session) for s in r.inputs.segments()]
    return found


def pool_of(stretches: Sequence[Stretch], *, window_bins: int, stride_bins: int) -> Pool:
    """Cut stretches into windows; shorter ones are left out, unless all are short: then windows are as long as can be.

    Raises:
        HarnessError: If there is no bin at all.
    """
    longest = max((len(s.values) for s in stretches), default=0)
    if not longest:
        raise HarnessError("pretraining was given no bins; it needs at least one session (pretraining: in the suite)")
    window_bins = min(window_bins, longest)
    windows, learned, held_out = [], [], []
    for i, stretch in enumerate(stretches):
        n_bins = len(stretch.values)
        # With room for no whole window in the rest, all of the stretch is learned from: see `_with_ends_held_out`.
        edge = int(SHARE_TO_LEARN_FROM * n_bins) if (1 - SHARE_TO_LEARN_FROM) * n_bins >= window_bins else n_bins
        for begin, stop, numbers in ((0, edge, learned), (edge, n_bins, held_out)):
            starts = range(begin, stop - window_bins + 1, stride_bins)
            numbers += range(len(windows), len(windows) + len(starts))
            windows += [(i, at) for at in starts]
    pool = Pool(list(stretches), windows, np.array(learned, int), np.array(held_out, int), window_bins)
    return _with_ends_held_out(pool)


def _with_ends_held_out(pool: Pool) -> Pool:
    """Of each session that holds nothing out, the last tenth of its windows; those before that overlap are dropped.

    A session with too few windows for that is learned from entirely.
    """
    learned, held_out = [], pool.held_out.tolist()
    session_of = [pool.stretches[i].session for i, _ in pool.windows]
    told = {session_of[k] for k in held_out}
    for session in dict.fromkeys(s.session for s in pool.stretches):
        own = [k for k in pool.learned.tolist() if session_of[k] == session]
        edge = int(SHARE_TO_LEARN_FROM * len(own))
        kept = [k for k in own[:edge] if not pool.overlap(k, own[edge])]
        if kept and session not in told:
            own, held_out = kept, held_out + own[edge:]
        learned += own
    return replace(pool, learned=np.array(learned, int), held_out=np.array(held_out, int))


def padded(values: np.ndarray, n_channels: int) -> np.ndarray:
    """(n_bins, n) -> (n_bins, n_channels), zeros behind.

    Raises:
        HarnessError: If there are more channels than that.
    """
    n = values.shape[1]
    if n > n_channels:
        raise HarnessError(
            f"a session of {n} channels was given to a network that was built for {n_channels}; "
            f"pretrain with a session of as many channels among the others"
        )
    block = np.zeros((len(values), n_channels), np.float32)
    block[:, :n] = values
    return block


def _label_standard(recordings: Sequence[Recording]) -> tuple[np.ndarray, np.ndarray]:
    """Offset and scale of the scored targets; without any, 0 and 1."""
    targets = np.concatenate([r.targets[r.scored] for r in recordings])
    if not len(targets):
        return np.zeros(targets.shape[1]), np.ones(targets.shape[1])
    sd = targets.std(axis=0)
    return targets.mean(axis=0), np.where(sd > 0, sd, 1)


def _targets(recording: Recording, offset: np.ndarray, sd: np.ndarray) -> np.ndarray:
    scored = recording.scored[:, None]
    return np.where(scored, (recording.targets - offset) / sd, np.nan).astype(np.float32)

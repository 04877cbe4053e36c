"""Band-passed signals and their covariance over the last seconds, batch for `fit` and bin by bin for `step`."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from baselines.lfp.filters import N_STATES, Band, blocks, within_reach
from harness import HarnessError, Inputs, Recording, SessionInfo

PRIOR_S, MEMORY_S = 10.0, 120.0
"""How `Centre` weighs its start, and how far back it looks in the end."""


class BandPass:
    """Causal band-pass filters, carried from bin to bin; they start as if the first sample had always been there.

    Args:
        blocks: (n_bands, N_STATES + samples_per_bin, N_STATES + samples_per_bin), see `baselines.lfp.filters`.
        projections: (n_bands, n_components, n_channels), or (1, ...) for one that serves all bands: channels ->
            components, before the filter, which is the same as after it since both are linear.
    """

    def __init__(self, blocks: np.ndarray, projections: np.ndarray):
        self._blocks, self._projections = blocks, projections.swapaxes(-1, -2)
        self._first: np.ndarray | None = None
        self._carried = np.zeros((len(blocks), blocks.shape[1], projections.shape[1]))

    def push(self, values: np.ndarray) -> np.ndarray:
        """(samples_per_bin, n_channels) of one bin -> (n_bands, samples_per_bin, n_components); no copy."""
        values = values.astype(np.float64)
        if self._first is None:
            self._first = values[0].copy()
        self._carried[:, N_STATES:] = (values - self._first) @ self._projections
        self._carried = self._blocks @ self._carried
        return self._carried[:, N_STATES:]


class Recent:
    """Mean of what was pushed in the last bins, fewer where there were fewer since the start.

    Summed anew each time: a running sum would gather rounding errors over hours.
    """

    def __init__(self, n_bins: int, shape: tuple[int, ...]):
        self._ring = np.zeros((n_bins, *shape))
        self._n_pushed = 0

    def push(self, value: np.ndarray) -> np.ndarray:
        self._ring[self._n_pushed % len(self._ring)] = value
        self._n_pushed += 1
        return self._ring.sum(axis=0) / min(self._n_pushed, len(self._ring))


class Centre:
    """Mean of all that was pushed since the start, without labels: where this run of this subject lies.

    At the start there is the identity, which counts as `PRIOR_S` of signal; after `MEMORY_S` the mean begins to forget.

    matrix, left: The mean is matrix + left * identity.
    """

    def __init__(self, n: int, bin_s: float):
        self._n_pushed, self._longest = max(1, round(PRIOR_S / bin_s)), max(1, round(MEMORY_S / bin_s))
        self.matrix, self.left = np.zeros((n, n)), 1.0

    def push(self, moments: np.ndarray) -> None:
        """(n, n) mean products of the samples of one bin."""
        self._n_pushed = min(self._n_pushed + 1, self._longest)
        self.matrix += (moments - self.matrix) / self._n_pushed
        self.left *= 1 - 1 / self._n_pushed


@dataclass(frozen=True)
class Examples:
    """Labelled windows to learn from.

    covariances: (n_windows, n_channels, n_channels) float64 of one band, uV^2.
    centres, left: (n_windows, n_channels, n_channels) and (n_windows,); what `Centre` holds at a window's end. Where
        nobody asked for it, (n_windows, 0, 0) and zeros.
    labels: (n_windows,) int, the class.
    weights: (n_windows,) share of a trial that a window stands for; those of one trial sum to 1.
    """

    covariances: np.ndarray
    centres: np.ndarray
    left: np.ndarray
    labels: np.ndarray
    weights: np.ndarray

    def joined(self, others: "Examples") -> "Examples":
        """These and then the others."""
        pairs = ((getattr(self, f.name), getattr(others, f.name)) for f in fields(self))
        return Examples(*map(np.concatenate, pairs))

    def balanced(self) -> np.ndarray:
        """Weights under which all classes that are there weigh the same; they sum to the number of trials."""
        of_class = np.bincount(self.labels, self.weights)
        return self.weights * (self.weights.sum() / np.count_nonzero(of_class) / of_class[self.labels])


@dataclass(frozen=True)
class Cut:
    """Which windows are cut out for training.

    window_s: Length of a window; it is causal and ends with a bin.
    later_s, every_s: Windows end at the decision, and on at such steps for so long while the trial's label lasts.
    centred: Whether it is noted where the run lay when a window ended.
    """

    window_s: float = 2.0
    later_s: float = 2.0
    every_s: float = 0.5
    centred: bool = False

    def n_bins(self, bin_s: float) -> int:
        return max(1, round(self.window_s / bin_s))

    def ends(self, recording: Recording) -> tuple[np.ndarray, np.ndarray]:
        """Last bins of windows, and of which scored bin (trial) each is: (n_windows,) int both."""
        bin_s, decisions = recording.inputs.bin_s, np.flatnonzero(recording.scored)
        step, n_later = max(1, round(self.every_s / bin_s)), round(self.later_s / bin_s)
        labels = np.where(np.isnan(recording.targets).any(axis=1), -1, np.argmax(recording.targets, axis=1))
        same = (labels[1:] == labels[:-1]) & ~recording.inputs.starts[1:] & ~recording.scored[1:]
        breaks = np.append(np.flatnonzero(~same) + 1, len(labels))
        until = breaks[np.searchsorted(breaks, decisions, "right")]
        ends = [np.arange(a, min(b, a + n_later + 1), step) for a, b in zip(decisions, until, strict=True)]
        trials = np.repeat(np.arange(len(ends)), [len(e) for e in ends])
        return np.concatenate([*ends, np.zeros(0, np.int64)]).astype(np.int64), trials

    def examples(self, recordings: Sequence[Recording], band: Band) -> Examples:
        """Windows of all recordings, filtered to one band."""
        made = [self._examples(r, band) for r in recordings]
        return Examples(*(np.concatenate(parts) for parts in zip(*made, strict=True)))

    def _examples(self, recording: Recording, band: Band) -> tuple[np.ndarray, ...]:
        ends, trials = self.ends(recording)
        starts = np.maximum.accumulate(np.where(recording.inputs.starts, np.arange(len(recording)), 0))
        signal, n_bins = filtered(recording, band), self.n_bins(recording.inputs.bin_s)
        windows = [signal[max(starts[end], end + 1 - n_bins) : end + 1].reshape(-1, signal.shape[2]) for end in ends]
        covariances = np.array([w.T @ w / len(w) for w in windows]).reshape(len(ends), *signal.shape[2:] * 2)
        centres, left = np.zeros((len(ends), 0, 0)), np.zeros(len(ends))
        if self.centred and len(ends):
            centres, left = centres_at(ends, signal, recording.inputs)
        weights = 1 / np.bincount(trials)[trials] if len(trials) else np.zeros(0)
        return covariances, centres, left, np.argmax(recording.targets[ends], axis=1), weights


def centres_at(ends: np.ndarray, signal: np.ndarray, inputs: Inputs) -> tuple[np.ndarray, np.ndarray]:
    """What `Centre` holds after these bins of a filtered signal."""
    n, wanted, kept = signal.shape[2], set(ends.tolist()), {}
    centre = Centre(n, inputs.bin_s)
    for k, (starts, samples) in enumerate(zip(inputs.starts.tolist(), signal, strict=True)):
        centre = Centre(n, inputs.bin_s) if starts else centre
        centre.push(samples.T @ samples / len(samples))
        if k in wanted:
            kept[k] = centre.matrix.copy(), centre.left
    matrices, left = zip(*(kept[k] for k in ends.tolist()), strict=True)
    return np.array(matrices), np.array(left)


def filtered(recording: Recording, band: Band) -> np.ndarray:
    """A recording's EEG in one band, (n_bins, samples_per_bin, n_channels) float64, by the filter of `step`."""
    signal = recording.inputs.streams["eeg"]
    block, identity = band_blocks(recording.session, [band]), np.eye(signal.shape[2])[None]
    made = np.empty(signal.shape)
    for k, (starts, values) in enumerate(zip(recording.inputs.starts.tolist(), signal, strict=True)):
        if starts:
            band_pass = BandPass(block, identity)
        made[k] = band_pass.push(values)[0]
    return made


def band_blocks(session: SessionInfo, bands: Sequence[Band]) -> np.ndarray:
    """Filter matrices for a session's EEG.

    Raises:
        HarnessError: If the stream is no signal, or a band is out of reach.
    """
    info = session.streams["eeg"]
    if info.samples_per_bin is None:
        raise HarnessError(f"stream 'eeg' of session {session.id} holds counts; give a signal with samples in each bin")
    rate_hz = info.rate_hz or info.samples_per_bin / session.bin_s
    if within_reach(bands, rate_hz) != list(bands):
        raise HarnessError(
            f"bands {list(bands)} Hz cannot all be had from session {session.id} at {rate_hz} Hz; choose lower ones"
        )
    return blocks(bands, rate_hz, info.samples_per_bin)

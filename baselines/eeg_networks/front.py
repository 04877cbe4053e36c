"""What the networks read: EEG after a causal band-pass, each channel divided by its running size."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from baselines.lfp.filters import N_STATES, blocks
from harness import HarnessError, Inputs, Recording, SessionInfo

STREAM = "eeg"
PRIOR_S = 10.0
"""The size in training counts as much as so many seconds of the run at hand."""
MEMORY_S = 60.0
"""Time constant of the running size, once a run has lasted so long."""
SMALLEST_SHARE = 0.1
"""Of the power in training: a channel that falls silent is not blown up any further."""


@dataclass(frozen=True)
class Band:
    """The pass band and the sampling that it is made for.

    n_samples: Samples in a bin.
    """

    low_hz: float
    high_hz: float
    rate_hz: float
    n_samples: int
    bin_s: float

    @classmethod
    def of(cls, session: SessionInfo, low_hz: float, high_hz: float) -> "Band":
        """The band for a session's EEG.

        Raises:
            HarnessError: If the stream is no signal, or too slow for the band.
        """
        info = session.streams[STREAM]
        n_samples = info.samples_per_bin
        if n_samples is None:
            raise HarnessError(f"stream {STREAM!r} of session {session.id} has no samples; this network needs a signal")
        rate_hz = info.rate_hz or n_samples / session.bin_s
        if not 0 < low_hz < high_hz < rate_hz / 2:
            raise HarnessError(
                f"a band of {low_hz} to {high_hz} Hz cannot be had from {rate_hz} Hz (session {session.id}); "
                f"set low_hz and high_hz in this order, below {rate_hz / 2} Hz"
            )
        return cls(low_hz, high_hz, rate_hz, n_samples, session.bin_s)


class Front:
    """Filters and scales one bin after the other; a fresh one begins a run.

    The filter begins as if the first sample had always been there, the size at what is usual in training. Subjects
    differ in their sizes more than anything else, and a new one is never asked for a calibration.

    Args:
        band: The filter.
        power: (n_channels,) mean square of filtered training data; 0: the channel is left out.
    """

    def __init__(self, band: Band, power: np.ndarray):
        self._block = np.asarray(blocks([(band.low_hz, band.high_hz)], band.rate_hz, band.n_samples)[0])
        self._carried = np.zeros((len(self._block), len(power)))
        self._first: np.ndarray | None = None
        self._power, self._floor = power.astype(np.float64), SMALLEST_SHARE * power + (power == 0)
        self._present = np.asarray(power > 0, np.float64)
        self._bin_s, self._seen_s = band.bin_s, 0.0

    def filtered(self, values: np.ndarray) -> np.ndarray:
        """(n_samples, n_channels) of the next bin, as recorded -> the same, band-passed, float64."""
        if self._first is None:
            self._first = values[0].copy()
        self._carried[N_STATES:] = values - self._first
        self._carried = self._block @ self._carried
        return self._carried[N_STATES:]

    def advance(self, values: np.ndarray) -> np.ndarray:
        """(n_samples, n_channels) of the next bin, as recorded -> the same, band-passed and scaled, float32."""
        x = self.filtered(values)
        # A time constant that grows with the run: the mean since its start at first, a running one later.
        self._seen_s = min(self._seen_s + self._bin_s, MEMORY_S)
        share = self._bin_s / (PRIOR_S + self._seen_s)
        self._power += share * (np.square(x).mean(axis=0) - self._power)
        return (x * (self._present / np.sqrt(np.maximum(self._power, self._floor)))).astype(np.float32)

    def run(self, values: np.ndarray) -> np.ndarray:
        """A whole run, (n_bins, n_samples, n_channels) -> (n_bins * n_samples, n_channels) float32."""
        return np.concatenate([self.advance(bin) for bin in values])


def usual_power(recordings: Sequence[Recording], band: Band) -> np.ndarray:
    """Mean square of each channel after the filter, (n_channels,); 0 where a channel is constant everywhere.

    Raises:
        HarnessError: If recordings differ in their channels.
    """
    widths = sorted({r.session.streams[STREAM].n_channels for r in recordings})
    if len(widths) > 1:
        raise HarnessError(
            f"recordings of {widths} channels cannot be fitted together by this decoder; "
            f"fit each session on its own (fit: each)"
        )
    powers = [_power_of(run, band, widths[0]) for r in recordings for run in runs(r.inputs)]
    varies = np.any(
        [r.inputs.streams[STREAM].min((0, 1)) < r.inputs.streams[STREAM].max((0, 1)) for r in recordings], 0
    )
    return np.asarray(np.concatenate(powers).mean(axis=0) * varies)


def runs(inputs: Inputs) -> Iterator[np.ndarray]:
    """EEG of one unbroken stretch after the other, (n_bins, n_samples, n_channels) each."""
    return (inputs.streams[STREAM][s] for s in inputs.segments())


def _power_of(run: np.ndarray, band: Band, n_channels: int) -> np.ndarray:
    """(n_bins, n_channels) mean squares."""
    front = Front(band, np.ones(n_channels))
    return np.stack([np.square(front.filtered(bin)).mean(axis=0) for bin in run])

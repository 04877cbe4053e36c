"""Voltages as teacher and student read them: average reference, causal filter, units of 100 uV or of own size."""

from fractions import Fraction

import numpy as np
import scipy.signal

HIGH_PASS_HZ = 0.3
PASS_BAND_HZ = (4.0, 38.0)
ORDER = 2
UNIT_UV = 100.0
USUAL_SIZE, PRIOR_S = 0.1, 2.0
"""A channel's size before anything was seen of it, in units of 100 uV, and how much time that counts for."""
MEMORY_S = 60.0
"""Time constant of the running size, once a segment has lasted so long."""


class Front:
    """Average reference and filter, from a segment's first sample on.

    The filter starts as if the first sample had been there forever, so that an electrode's offset makes no step.

    Args:
        rate_hz: Of the samples.
        scaled: Pass 4 to 38 Hz, and divide every channel by its running size; else high-pass alone.
    """

    def __init__(self, rate_hz: float, *, scaled: bool = False):
        band = np.minimum(PASS_BAND_HZ, 0.45 * rate_hz) if scaled else HIGH_PASS_HZ
        kind = "bandpass" if scaled else "highpass"
        self._sections = scipy.signal.butter(ORDER, band, kind, fs=rate_hz, output="sos")
        self._settled = scipy.signal.sosfilt_zi(self._sections)
        self._rate_hz, self._scaled = rate_hz, scaled

    def whole(self, values: np.ndarray) -> np.ndarray:
        """One segment: (n_bins, n_samples, n_channels) uV -> (n_bins * n_samples, n_channels) float32.

        Units of 100 uV, or of the channel's own size.
        """
        rows = referenced(values.reshape(-1, values.shape[-1]).astype(np.float64))
        states = self._settled[..., None] * rows[0]
        filtered = scipy.signal.sosfilt(self._sections, rows, axis=0, zi=states)[0].reshape(values.shape)
        if self._scaled:
            size = RunningSize(values.shape[1] / self._rate_hz)
            filtered = np.stack([size.divide(rows) for rows in filtered])
        return filtered.reshape(-1, values.shape[-1]).astype(np.float32)

    def stream(self, n_samples: int) -> "FrontStream":
        """The same, bin by bin."""
        n_states = self._settled.size
        units = np.eye(n_states + n_samples)
        states = units[:n_states].reshape(*self._settled.shape, -1)
        filtered, after = scipy.signal.sosfilt(self._sections, units[n_states:], axis=0, zi=states)
        block = np.concatenate([after.reshape(n_states, -1), filtered])
        size = RunningSize(n_samples / self._rate_hz) if self._scaled else None
        return FrontStream(block, self._settled.ravel(), size)


class FrontStream:
    """The filter carried through one bin by one product: it is linear, so a matrix says all of it.

    Args:
        block: (n_states + n_samples, the same), from (states, samples) to (states after, filtered samples).
        settled: (n_states,) states after a long 1.
        size: Of the channels so far, to divide them by.
    """

    def __init__(self, block: np.ndarray, settled: np.ndarray, size: "RunningSize | None" = None):
        self._block, self._settled, self._size = block, settled, size
        self._states: np.ndarray | None = None

    def step(self, values: np.ndarray) -> np.ndarray:
        """(n_samples, n_channels) uV -> the same float32, referenced, filtered and scaled as in `Front.whole`."""
        rows, n_states = referenced(values.astype(np.float64)), len(self._settled)
        states = self._settled[:, None] * rows[0] if self._states is None else self._states
        found = self._block @ np.concatenate([states, rows])
        self._states, filtered = found[:n_states], found[n_states:]
        return (filtered if self._size is None else self._size.divide(filtered)).astype(np.float32)


class RunningSize:
    """Root mean square of every channel: of the segment so far at first, of the last minute or so later.

    Subjects differ in the size of their rhythms far more than imagery changes it, and a new one brings no calibration.
    """

    def __init__(self, bin_s: float):
        self._bin_s, self._seen_s, self._power = bin_s, 0.0, np.array(USUAL_SIZE**2)

    def divide(self, rows: np.ndarray) -> np.ndarray:
        """(n_samples, n_channels) of the next bin -> the same, over the size that includes this bin."""
        self._seen_s = min(self._seen_s + self._bin_s, MEMORY_S)
        share = self._bin_s / (PRIOR_S + self._seen_s)
        self._power = self._power + share * (np.square(rows).mean(axis=0) - self._power)
        return np.asarray(rows / np.sqrt(self._power))


def referenced(rows: np.ndarray) -> np.ndarray:
    """(n_samples, n_channels) uV -> 100 uV against the mean of all channels."""
    return (rows - rows.mean(axis=1, keepdims=True)) / UNIT_UV


def resampling(n_samples: int, rate_hz: float, new_rate_hz: float) -> np.ndarray | None:
    """The matrix that resamples a window; None where the rates are equal.

    It looks both ways inside the window, all of which is past when the answer is given.

    Returns:
        (n_samples * new_rate_hz / rate_hz, n_samples) float32.
    """
    ratio = Fraction(new_rate_hz / rate_hz).limit_denominator(1000)
    if ratio == 1:
        return None
    units = np.eye(n_samples)
    return scipy.signal.resample_poly(units, ratio.numerator, ratio.denominator, axis=0).astype(np.float32)

"""Voltages as teacher and student read them: average reference, causal high-pass, units of 100 uV."""

from fractions import Fraction

import numpy as np
import scipy.signal

HIGH_PASS_HZ = 0.3
ORDER = 2
UNIT_UV = 100.0


class Front:
    """Average reference and high-pass, from a segment's first sample on.

    The filter starts as if the first sample had been there forever, so that an electrode's offset makes no step.
    """

    def __init__(self, rate_hz: float):
        self._sections = scipy.signal.butter(ORDER, HIGH_PASS_HZ, "highpass", fs=rate_hz, output="sos")
        self._settled = scipy.signal.sosfilt_zi(self._sections)

    def whole(self, values: np.ndarray) -> np.ndarray:
        """One segment: (n_bins, n_samples, n_channels) uV -> (n_bins * n_samples, n_channels) float32, 100 uV."""
        rows = referenced(values.reshape(-1, values.shape[-1]).astype(np.float64))
        states = self._settled[..., None] * rows[0]
        return scipy.signal.sosfilt(self._sections, rows, axis=0, zi=states)[0].astype(np.float32)

    def stream(self, n_samples: int) -> "FrontStream":
        """The same, bin by bin."""
        units = np.eye(ORDER + n_samples)
        filtered, after = scipy.signal.sosfilt(self._sections, units[ORDER:], axis=0, zi=units[:ORDER][None])
        return FrontStream(np.concatenate([after[0], filtered]), self._settled[0])


class FrontStream:
    """The filter carried through one bin by one product: it is linear, so a matrix says all of it.

    Args:
        block: (2 + n_samples, 2 + n_samples), from (states, samples) to (states after, filtered samples).
        settled: (2,) states after a long 1.
    """

    def __init__(self, block: np.ndarray, settled: np.ndarray):
        self._block, self._settled = block, settled
        self._states: np.ndarray | None = None

    def step(self, values: np.ndarray) -> np.ndarray:
        """(n_samples, n_channels) uV -> the same float32, 100 uV, referenced and filtered."""
        rows = referenced(values.astype(np.float64))
        states = self._settled[:, None] * rows[0] if self._states is None else self._states
        found = self._block @ np.concatenate([states, rows])
        self._states = found[:ORDER]
        return found[ORDER:].astype(np.float32)


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

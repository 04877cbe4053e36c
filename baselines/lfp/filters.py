"""Causal band-pass filters as matrices: one product carries a whole bin through all bands of all channels."""

from collections.abc import Sequence

import numpy as np
import scipy.signal

ORDER = 2
"""Of the Butterworth prototype; a band-pass has twice as many poles."""
N_STATES = 2 * ORDER
HIGHEST_SHARE = 0.45
"""Of the sampling rate: bands that reach higher are left out."""

Band = tuple[float, float]


def within_reach(bands: Sequence[Band], rate_hz: float) -> list[Band]:
    """The bands that a sampling rate can carry."""
    return [band for band in bands if band[1] <= HIGHEST_SHARE * rate_hz]


def blocks(bands: Sequence[Band], rate_hz: float, n_samples: int) -> np.ndarray:
    """Band-pass filters over one bin: (states before, samples) -> (states after, filtered samples), linear in both.

    A filter is linear, so the matrix is what it answers to unit vectors. Its second-order sections keep it exact
    where the coefficients of a single fraction would not be: at 1 Hz out of 1000.

    Returns:
        (n_bands, N_STATES + n_samples, N_STATES + n_samples) float64.
    """
    units = np.eye(N_STATES + n_samples)
    made = np.empty((len(bands), *units.shape))
    for block, band in zip(made, bands, strict=True):
        sections = scipy.signal.butter(ORDER, band, "bandpass", fs=rate_hz, output="sos")
        states = units[:N_STATES].reshape(len(sections), 2, -1)
        filtered, after = scipy.signal.sosfilt(sections, units[N_STATES:], axis=0, zi=states)
        block[:] = np.concatenate([after.reshape(N_STATES, -1), filtered])
    return made

"""Gaussian noise with a wanted spectrum, made in the frequency domain; rows are independent."""

from collections.abc import Callable

import numpy as np

from harness.data.simulate.behaviour import RATE_HZ

Spectrum = Callable[[np.ndarray], np.ndarray]
"""Power density, in any unit, of frequencies in Hz; both (n_frequencies,)."""

MARGIN_S = 10.0
"""Made longer by this and cut off: the transform joins the end to the start."""

ROWS_AT_ONCE = 16


def coloured_noise(spectrum: Spectrum, n_rows: int, n_samples: int, rng: np.random.Generator) -> np.ndarray:
    """(n_rows, n_samples) float32 of unit variance at `RATE_HZ`, with the given shape of the power density."""
    from scipy.fft import irfft, next_fast_len  # half a second that a listing of suites need not pay

    n = next_fast_len(n_samples + round(MARGIN_S * RATE_HZ), real=True)
    amplitude = _amplitude(spectrum, n)
    noise = np.empty((n_rows, n_samples), np.float32)
    for first in range(0, n_rows, ROWS_AT_ONCE):
        rows = noise[first : first + ROWS_AT_ONCE]
        white = rng.standard_normal((len(rows), len(amplitude), 2), np.float32).view(np.complex64)[..., 0]
        rows[:] = irfft(white * amplitude, n, axis=1)[:, :n_samples]
    return noise


def analytic_noise(spectrum: Spectrum, n_rows: int, n_samples: int, rng: np.random.Generator) -> np.ndarray:
    """(n_rows, n_samples) complex64 without negative frequencies; the real part has unit variance."""
    from scipy.fft import ifft, next_fast_len

    n = next_fast_len(n_samples + round(MARGIN_S * RATE_HZ), real=True)
    amplitude = _amplitude(spectrum, n)
    white = rng.standard_normal((n_rows, len(amplitude), 2), np.float32).view(np.complex64)[..., 0]
    return np.asarray(ifft(2 * white * amplitude, n, axis=1)[:, :n_samples])


def _amplitude(spectrum: Spectrum, n: int) -> np.ndarray:
    """(n_frequencies,) float32: sum over k of 4 amplitude_k^2 / n^2 is the variance, here one; the mean is zero."""
    frequency_hz = np.fft.rfftfreq(n, 1 / RATE_HZ)
    power = np.zeros_like(frequency_hz)
    power[1:-1] = spectrum(frequency_hz[1:-1])
    return np.asarray(n / 2 * np.sqrt(power / power.sum()), np.float32)

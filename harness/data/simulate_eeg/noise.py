"""Gaussian noise with a wanted spectrum at 160 Hz, made in the frequency domain; rows are independent."""

from collections.abc import Callable

import numpy as np

RATE_HZ = 160.0
MARGIN_S = 10.0
"""Made longer by this and cut off: the transform joins the end to the start."""

Spectrum = Callable[[np.ndarray], np.ndarray]
"""Power density, in any unit, of frequencies in Hz; both (n_frequencies,)."""


def coloured(spectrum: Spectrum, n_rows: int, n_samples: int, rng: np.random.Generator) -> np.ndarray:
    """(n_rows, n_samples) float32 of unit variance with the given shape of the power density."""
    from scipy.fft import irfft, next_fast_len  # half a second that a listing of suites need not pay

    n = next_fast_len(n_samples + round(MARGIN_S * RATE_HZ), real=True)
    shaped = _white(n_rows, n, rng) * _amplitude(spectrum, n)
    return np.asarray(irfft(shaped, n, axis=1)[:, :n_samples])


def analytic(spectrum: Spectrum, n_rows: int, n_samples: int, rng: np.random.Generator) -> np.ndarray:
    """(n_rows, n_samples) complex64 without negative frequencies; the real part has unit variance."""
    from scipy.fft import ifft, next_fast_len

    n = next_fast_len(n_samples + round(MARGIN_S * RATE_HZ), real=True)
    shaped = 2 * _white(n_rows, n, rng) * _amplitude(spectrum, n)
    return np.asarray(ifft(shaped, n, axis=1)[:, :n_samples])


def band(centre_hz: float, width_hz: float) -> Spectrum:
    """A Gaussian band of this standard deviation."""

    def density(frequency_hz: np.ndarray) -> np.ndarray:
        return np.asarray(np.exp(-0.5 * ((frequency_hz - centre_hz) / width_hz) ** 2))

    return density


def below(cut_hz: float) -> Spectrum:
    """Slow noise: flat up to the cut, then falling with the fourth power."""

    def density(frequency_hz: np.ndarray) -> np.ndarray:
        return np.asarray(1 / (1 + (frequency_hz / cut_hz) ** 4))

    return density


def _white(n_rows: int, n: int, rng: np.random.Generator) -> np.ndarray:
    return rng.standard_normal((n_rows, n // 2 + 1, 2), np.float32).view(np.complex64)[..., 0]


def _amplitude(spectrum: Spectrum, n: int) -> np.ndarray:
    """(n_frequencies,) float32: sum over k of 4 amplitude_k^2 / n^2 is the variance, here one; the mean is zero."""
    frequency_hz = np.fft.rfftfreq(n, 1 / RATE_HZ)
    power = np.zeros_like(frequency_hz)
    power[1:-1] = spectrum(frequency_hz[1:-1])
    return np.asarray(n / 2 * np.sqrt(power / power.sum()), np.float32)

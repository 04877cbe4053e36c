"""What the head and the amplifier give without any rhythm: 1/f activity, own noise of the electrodes, line, drift.

Arrays are (64, n_samples) float32 in microvolts at 160 Hz.
"""

import functools
import math

import numpy as np

from harness.data.simulate_eeg.head import lead_field
from harness.data.simulate_eeg.montage import CHANNELS, electrode_directions
from harness.data.simulate_eeg.noise import RATE_HZ, coloured
from harness.data.simulate_eeg.subject import REFERENCE

CORTEX_DEPTH, DEEP_DEPTH = 0.78, 0.35
CORTEX_UV, DEEP_UV, REFERENCE_UV, ELECTRODE_UV = 12.0, 32.0, 24.0, 1.0
MUSCLE_FLOOR, MUSCLE_OVER_DEG, MUSCLE_AT = 0.5, 28.0, ("T9", "T10", "FT7", "FT8", "T7", "T8")
DRIFT_UV, DRIFT_HZ = 5.0, 0.15
LINE_HZ, LINE_UV, LINE_LOG_SD, LINE_SHARED_UV = 60.0, 0.8, 0.6, 0.4
FLOOR_HZ, SLOPE, KNEE_HZ, AMPLIFIER_HZ = 0.5, 1.25, 25.0, 66.0
N_CHANNELS = len(CHANNELS)
N_DIPOLES = 600


def background(n_samples: int, rng: np.random.Generator, *, size: float, tone_uv: float, drift: float) -> np.ndarray:
    """All that is always there; the parts are independent of each other and of the task.

    Args:
        n_samples: How long.
        rng: Of the run.
        size: Factor on the activity of the brain.
        tone_uv: Ongoing activity of muscles, root mean square where there is most of it.
        drift: Factor on the slow drift of each electrode.
    """
    total = np.float32(size) * _brain(n_samples, rng)
    total += np.float32(ELECTRODE_UV) * coloured(_amplifier, N_CHANNELS, n_samples, rng)
    total += (tone_uv * _muscle_tone())[:, None] * coloured(muscle_spectrum, N_CHANNELS, n_samples, rng)
    total += np.float32(drift * DRIFT_UV) * coloured(_drift_spectrum, N_CHANNELS, n_samples, rng)
    return np.asarray(total + line(n_samples, rng), np.float32)


def _brain(n_samples: int, rng: np.random.Generator) -> np.ndarray:
    """Activity near the surface, activity that is seen everywhere, and what comes in through the reference."""
    near_uv = np.float32(CORTEX_UV) * _mixing(CORTEX_DEPTH)
    wide_uv = np.float32(DEEP_UV) * _mixing(DEEP_DEPTH)
    total = near_uv @ coloured(brain_spectrum, N_CHANNELS, n_samples, rng)
    total += wide_uv @ coloured(brain_spectrum, N_CHANNELS, n_samples, rng)
    return np.asarray(total + np.float32(REFERENCE_UV) * coloured(brain_spectrum, 1, n_samples, rng))


def line(n_samples: int, rng: np.random.Generator) -> np.ndarray:
    """The power line: a size for each electrode, and a part that comes in through the reference."""
    size_uv = LINE_UV * np.exp(LINE_LOG_SD * rng.normal(size=N_CHANNELS))
    phase = rng.uniform(0, 2 * math.pi) + rng.normal(0, 0.4, N_CHANNELS)
    factor = size_uv * np.exp(1j * phase) + LINE_SHARED_UV
    wander = np.cumsum(rng.normal(0, 0.002, n_samples))
    turning = np.exp(1j * (2 * math.pi * LINE_HZ * np.arange(n_samples) / RATE_HZ + wander))
    return np.asarray(np.sqrt(2) * np.real(factor[:, None] * turning), np.float32)


def near(names: tuple[str, ...], over_deg: float) -> np.ndarray:
    """(64, n_names) how much each electrode is near each of these: 1 there, a Gaussian over the sphere."""
    electrodes = electrode_directions()
    spots = electrodes[[CHANNELS.index(name) for name in names]]
    away_deg = np.degrees(np.arccos(np.clip(electrodes @ spots.T, -1, 1)))
    return np.asarray(np.exp(-0.5 * (away_deg / over_deg) ** 2))


def muscle_spectrum(frequency_hz: np.ndarray) -> np.ndarray:
    """Broad, from 20 Hz up to where the amplifier ends."""
    return np.asarray(_amplifier(frequency_hz) / (1 + (20 / np.maximum(frequency_hz, 0.1)) ** 4))


@functools.cache
def _mixing(depth: float) -> np.ndarray:
    """(64, 64) float32 root of the covariance that dipoles all over a sphere give, of unit mean variance.

    The potential is taken against the reference, so that channels share its activity.
    """
    rng = np.random.default_rng(0)  # a fixed set of dipoles that stands for all of the brain
    outward = rng.normal(size=(N_DIPOLES, 3))
    outward /= np.linalg.norm(outward, axis=1, keepdims=True)
    moments = outward + rng.normal(size=outward.shape) / math.sqrt(2)
    seen = lead_field(np.vstack([electrode_directions(), REFERENCE]), depth * outward, moments)
    seen = seen[:-1] - seen[-1]
    covariance = seen @ seen.T
    values, vectors = np.linalg.eigh(covariance / np.mean(np.diag(covariance)))
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0)), np.float32)


@functools.cache
def _muscle_tone() -> np.ndarray:
    """(64,) float32: how much of the muscles' ongoing activity each electrode sees; most at the temples."""
    return np.asarray(MUSCLE_FLOOR + (1 - MUSCLE_FLOOR) * near(MUSCLE_AT, MUSCLE_OVER_DEG).max(axis=1), np.float32)


def _amplifier(frequency_hz: np.ndarray) -> np.ndarray:
    """What is left of white noise below half the sampling rate."""
    return np.asarray(1 / (1 + (frequency_hz / AMPLIFIER_HZ) ** 10))


def brain_spectrum(frequency_hz: np.ndarray) -> np.ndarray:
    """1/f^1.25 up to the knee, 1/f^2.25 far above it."""
    falling = np.hypot(frequency_hz, FLOOR_HZ) ** -SLOPE / np.hypot(1, frequency_hz / KNEE_HZ)
    return np.asarray(falling * _amplifier(frequency_hz))


def _drift_spectrum(frequency_hz: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (frequency_hz**2 + 0.01**2) / (1 + (frequency_hz / DRIFT_HZ) ** 2))

"""How well a ridge decodes simulated field potentials: the levels that docs/simulation.md states.

The chain is the suite's, written out here once more: average reference, first-order high-pass at 0.1 Hz, order-4
Butterworth low-pass at 45 Hz, each in a single pass, 100 Hz, velocity as backward difference over 10 ms, last fifth
as test.
"""

import numpy as np
from scipy.signal import butter, sosfilt

from harness.data.simulate import parse
from harness.data.simulate.behaviour import PAD_S, RATE_HZ
from harness.data.simulate.lfp import STEP_UV, Lfp, simulate_lfp
from harness.data.simulate.session import SimulatedSession, lfp_source, simulate

EVERY, N_FRAMES = 10, 10
"""Milliseconds per bin; bins of history."""

POWER_FRAMES = (0, 8)
"""Bins ago that a power, itself a mean over `POWER_BINS`, is looked at."""

POWER_BINS, BETA_HZ, GAMMA_HZ = 10, (13.0, 30.0), (70.0, 150.0)
PENALTIES = 10.0 ** np.arange(1, 7)
TRAIN, TUNE = 0.8, 0.68


def recorded_uv(lfp: Lfp) -> np.ndarray:
    """(n_samples, n_electrodes) float32 microvolts."""
    return lfp.counts.astype(np.float32) * np.float32(STEP_UV)


def levels(seed: int) -> dict[str, float]:
    """Velocity R2 of each reading of the first four-minute session of a subject."""
    session = simulate(parse({"lfp": True, "subject_seed": seed}))
    values = recorded_uv(simulate_lfp(lfp_source(session)))
    velocity = binned_velocity(session, (len(values) - 1) // EVERY)
    return {name: ridge_r2(x, velocity) for name, x in readings(values, len(velocity)).items()}


def readings(values_uv: np.ndarray, n_bins: int) -> dict[str, np.ndarray]:
    """Features by name, (n_bins, n_features) each."""
    slow = history(low_passed(values_uv, n_bins), range(N_FRAMES))
    beta, gamma = (history(log_power(values_uv, band, n_bins), POWER_FRAMES) for band in (BETA_HZ, GAMMA_HZ))
    return {
        "below 45 Hz, 10 frames": slow,
        "beta power": beta,
        "high-gamma power": gamma,
        "all three": np.hstack([slow, beta, gamma]),
    }


def binned_velocity(session: SimulatedSession, n_bins: int) -> np.ndarray:
    """(n_bins, 2) m/s."""
    edges = round(PAD_S * RATE_HZ) + EVERY * np.arange(n_bins + 1)
    return np.diff(session.behaviour.cursor_m[edges], axis=0) * RATE_HZ / EVERY


def low_passed(values_uv: np.ndarray, n_bins: int) -> np.ndarray:
    """(n_bins, n_electrodes) the causal chain; a bin has the sample at its right edge."""
    rereferenced = values_uv - values_uv.mean(axis=1, keepdims=True)
    slow = sosfilt(butter(1, 0.1, "high", fs=RATE_HZ, output="sos"), rereferenced - rereferenced[0], axis=0)
    slow = sosfilt(butter(4, 45, fs=RATE_HZ, output="sos"), slow, axis=0)
    return slow[EVERY::EVERY][:n_bins].astype(np.float32)


def log_power(values_uv: np.ndarray, band_hz: tuple[float, float], n_bins: int) -> np.ndarray:
    """(n_bins, n_electrodes) log of the mean power in a band over the last `POWER_BINS` bins; single pass."""
    power = sosfilt(butter(3, band_hz, "band", fs=RATE_HZ, output="sos"), values_uv, axis=0) ** 2
    summed = np.cumsum(power, axis=0)[::EVERY][: n_bins + 1]
    earlier = np.vstack([np.zeros((POWER_BINS - 1, summed.shape[1])), summed])[:n_bins]
    return np.log(np.maximum(summed[1:] - earlier, 1e-3)).astype(np.float32)


def history(values: np.ndarray, frames: range | tuple[int, ...]) -> np.ndarray:
    """(n_bins, n_frames * n_columns): each bin beside earlier ones, zero before the beginning."""
    padded = np.vstack([np.zeros((max(frames), values.shape[1]), np.float32), values])
    return np.hstack([padded[max(frames) - k : len(padded) - k] for k in frames])


def ridge_r2(features: np.ndarray, velocity: np.ndarray) -> float:
    """R2 on the last fifth, its penalty chosen on the last part of the training."""
    n, m = (int(share * len(features)) for share in (TRAIN, TUNE))
    scaled = (features - features[:n].mean(axis=0)) / (features[:n].std(axis=0) + 1e-6)
    x = np.hstack([scaled, np.ones((len(scaled), 1), np.float32)])
    early, late = (_sums(x[part], velocity[part]) for part in (slice(m), slice(m, n)))
    penalty = max(PENALTIES, key=lambda p: r2(velocity[m:n], x[m:n] @ _solve(*early, p)))
    weights = _solve(early[0] + late[0], early[1] + late[1], penalty)
    return r2(velocity[n:], x[n:] @ weights)


def r2(truth: np.ndarray, estimate: np.ndarray) -> float:
    """Mean over axes of 1 - SSE / SST."""
    total = np.sum((truth - truth.mean(axis=0)) ** 2, axis=0)
    return float(np.mean(1 - np.sum((truth - estimate) ** 2, axis=0) / total))


def _sums(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return (x.T @ x).astype(float), x.T @ y


def _solve(gram: np.ndarray, cross: np.ndarray, penalty: float) -> np.ndarray:
    return np.linalg.solve(gram + penalty * np.eye(len(gram)), cross)

"""Field potentials of the tissue under the array: local motor potential, beta, high gamma, background.

Arrays are (n_electrodes, n_samples) float32 in microvolts at 1 kHz; docs/simulation.md has the equations.
"""

import math
from dataclasses import dataclass

import numpy as np

from harness.data.simulate.behaviour import PAD_S, RATE_HZ, Behaviour
from harness.data.simulate.coloured import analytic_noise, coloured_noise
from harness.data.simulate.electrodes import N_ELECTRODES, distances_mm, positions_mm, spatial_root
from harness.data.simulate.latents import LEAD_S, N_LATENTS, STEP_S, at
from harness.data.simulate.parameters import Parameters, random_stream
from harness.data.simulate.population import RATE_LIMITS_HZ, RATE_LOG_SD, RATE_MEDIAN_HZ, draw_loadings, drifted
from harness.data.simulate.spikes import cell_rate_hz

N_FAST = N_LATENTS - 1
"""Arousal, which changes over minutes, is left to the rates."""

MOTOR_UV, MOTOR_LENGTH_MM, MOTOR_LEAD_S, MOTOR_CUT_HZ, MOTOR_KEPT = 6.5, 1.5, 0.1, 5.0, 0.98
BETA_UV, BETA_LOG_SD, BETA_HZ, BETA_WIDTH_HZ = 16.0, 0.3, (18.0, 26.0), 4.0
BETA_FALL, BETA_FALL_SD, BETA_SPEED_M_PER_S, BETA_SMOOTH_S = 0.4, 0.1, 0.07, 0.1
WAVE_MM_PER_S = (100.0, 300.0)
GAMMA_UV, GAMMA_HZ, GAMMA_EDGE_HZ = 4.0, (70.0, 150.0), 15.0
N_HIDDEN, HEARING_MM, HIDDEN_KEPT = 4, 0.3, 0.97
WIDE_UV, WIDE_LENGTH_MM, LOCAL_UV = 32.0, 3.0, 9.0
KNEE_HZ, KNEE_POWER, FLOOR_HZ = 30.0, 3.0, 0.05


@dataclass(frozen=True)
class Tissue:
    """What the sessions of a subject share, as it is on the day of one of them.

    motor: (n_electrodes, N_FAST) loadings of the local motor potential, each row about one in length.
    hidden: (n_electrodes, N_HIDDEN, n_latents) loadings of cells that are heard but not recorded.
    hidden_hz: (n_electrodes, N_HIDDEN) their mean rates.
    beta_hz, wave_mm_per_s, wave_angle: of the travelling waves.
    beta_gain, beta_fall: (n_electrodes,) size of beta, and how far it falls with movement.
    """

    motor: np.ndarray
    hidden: np.ndarray
    hidden_hz: np.ndarray
    beta_hz: float
    wave_mm_per_s: float
    wave_angle: float
    beta_gain: np.ndarray
    beta_fall: np.ndarray


def session_tissue(parameters: Parameters) -> Tissue:
    """Draw a subject's tissue and let its tuning drift up to this session."""
    rng = random_stream(parameters, "lfp")
    tissue = Tissue(
        motor=draw_motor(rng),
        hidden=draw_loadings((N_ELECTRODES, N_HIDDEN), 1.0, rng),
        hidden_hz=np.clip(
            RATE_MEDIAN_HZ * np.exp(rng.normal(0, RATE_LOG_SD, (N_ELECTRODES, N_HIDDEN))), *RATE_LIMITS_HZ
        ),
        beta_hz=rng.uniform(*BETA_HZ),
        wave_mm_per_s=rng.uniform(*WAVE_MM_PER_S),
        wave_angle=rng.uniform(0, 2 * math.pi),
        beta_gain=np.exp(BETA_LOG_SD * (spatial_root(MOTOR_LENGTH_MM) @ rng.normal(size=N_ELECTRODES))),
        beta_fall=np.maximum(rng.normal(BETA_FALL, BETA_FALL_SD, N_ELECTRODES), 0.0),
    )
    for session in range(1, parameters.session + 1):
        tissue = turned(tissue, random_stream(parameters, "lfp", session=session), MOTOR_KEPT, HIDDEN_KEPT)
    return tissue


def turned(tissue: Tissue, rng: np.random.Generator, motor_kept: float, hidden_kept: float) -> Tissue:
    """Turn the tuning: kept * old + sqrt(1 - kept^2) * new, which keeps its variance."""
    motor = motor_kept * tissue.motor + math.sqrt(1 - motor_kept**2) * draw_motor(rng)
    fresh = draw_loadings((N_ELECTRODES, N_HIDDEN), 1.0, rng)
    hidden = drifted(tissue.hidden, fresh, math.sqrt(1 - hidden_kept**2))
    return Tissue(**{**vars(tissue), "motor": motor, "hidden": hidden})


def draw_motor(rng: np.random.Generator) -> np.ndarray:
    """(n_electrodes, N_FAST) directions in latent space that change smoothly over the array."""
    return np.asarray(spatial_root(MOTOR_LENGTH_MM) @ rng.normal(size=(N_ELECTRODES, N_FAST)) / math.sqrt(N_FAST))


def motor_potential(tissue: Tissue, latents: np.ndarray, n_steps: int) -> np.ndarray:
    """(n_electrodes, n_steps) linear in z, below `MOTOR_CUT_HZ`, ahead of the hand as the cells are."""
    from scipy.signal import butter, sosfilt  # half a second that a listing of suites need not pay

    smooth = sosfilt(butter(2, MOTOR_CUT_HZ, fs=1 / STEP_S, output="sos"), latents[:, :N_FAST], axis=0)
    return np.asarray(MOTOR_UV * tissue.motor @ at(smooth, start_s=MOTOR_LEAD_S, n_steps=n_steps).T, np.float32)


def hidden_rates_hz(tissue: Tissue, latents: np.ndarray, n_steps: int) -> np.ndarray:
    """(n_electrodes, n_steps) summed rate of the cells that are heard at each electrode and not recorded."""
    z = at(latents, start_s=MOTOR_LEAD_S, n_steps=n_steps)
    rates_hz = np.zeros((N_ELECTRODES, n_steps), np.float32)
    for i, j in np.ndindex(N_ELECTRODES, N_HIDDEN):
        rates_hz[i] += cell_rate_hz(z, tissue.hidden[i, j], float(tissue.hidden_hz[i, j]))
    return rates_hz


def high_gamma(activity: np.ndarray, n_samples: int, rng: np.random.Generator) -> np.ndarray:
    """Noise of 70 to 150 Hz whose power is proportional to the activity of the cells on and around each electrode.

    activity: (n_electrodes, n_steps), one on average, see `nearby`.
    """
    carrier = coloured_noise(_gamma_spectrum, len(activity), n_samples, rng)
    carrier *= GAMMA_UV * interpolated(np.sqrt(activity), n_samples)
    return carrier


def nearby(rates_hz: np.ndarray, mean_hz: np.ndarray) -> np.ndarray:
    """(n_electrodes, n_steps) rate heard at each electrode over its mean; the weight falls with distance.

    rates_hz: (n_electrodes, n_steps) summed rate of the cells on each electrode.
    mean_hz: (n_electrodes,) their mean rates.
    """
    weights = np.exp(-distances_mm() / HEARING_MM)
    heard = (weights / (weights @ mean_hz)[:, None]).astype(np.float32)
    return np.asarray(heard @ rates_hz)


def beta(tissue: Tissue, behaviour: Behaviour, n_samples: int, rng: np.random.Generator) -> np.ndarray:
    """Two plane waves that travel to and fro along one axis, and fall as the hand is about to move."""

    def band(frequency_hz: np.ndarray) -> np.ndarray:
        return np.asarray(np.exp(-0.5 * ((frequency_hz - tissue.beta_hz) / BETA_WIDTH_HZ) ** 2))

    waves = analytic_noise(band, 2, n_samples, rng)
    along_mm = positions_mm() @ np.array([math.cos(tissue.wave_angle), math.sin(tissue.wave_angle)])
    phase = 2 * math.pi * tissue.beta_hz * along_mm / tissue.wave_mm_per_s
    size = BETA_UV / math.sqrt(2) * tissue.beta_gain
    mixing = np.column_stack([size * np.exp(-1j * phase), size * np.exp(1j * phase)])
    parts = np.hstack([mixing.real, -mixing.imag]).astype(np.float32) @ np.vstack([waves.real, waves.imag])
    fall = np.outer(tissue.beta_fall.astype(np.float32), movement(behaviour, n_samples))
    parts *= np.exp(-fall)
    return np.asarray(parts)


def movement(behaviour: Behaviour, n_samples: int) -> np.ndarray:
    """(n_samples,) float32: smoothed speed, `LEAD_S` ahead of the hand, one at `BETA_SPEED_M_PER_S`."""
    from scipy.signal import lfilter

    speed = np.linalg.norm(behaviour.velocity_m_per_s, axis=1) / BETA_SPEED_M_PER_S
    pole = math.exp(-1 / (BETA_SMOOTH_S * RATE_HZ))
    first = round((PAD_S + LEAD_S) * RATE_HZ)
    return np.asarray(lfilter([1 - pole], [1.0, -pole], speed)[first : first + n_samples], np.float32)


def background(n_samples: int, rng: np.random.Generator) -> np.ndarray:
    """1/f noise: a part that is shared over millimetres and a flatter part of each electrode's own."""
    wide = coloured_noise(steep_spectrum, N_ELECTRODES, n_samples, rng)
    total = (WIDE_UV * spatial_root(WIDE_LENGTH_MM)).astype(np.float32) @ wide
    del wide
    total += LOCAL_UV * coloured_noise(_flat_spectrum, N_ELECTRODES, n_samples, rng)
    return np.asarray(total)


def interpolated(steps: np.ndarray, n_samples: int) -> np.ndarray:
    """(n_rows, n_samples) float32 from (n_rows, n_steps) values every `STEP_S`: straight lines; the last one holds."""
    every = round(STEP_S * RATE_HZ)
    share = np.arange(every, dtype=np.float32) / every
    values = steps.astype(np.float32)
    lines = values[:, :-1, None] * (1 - share) + values[:, 1:, None] * share
    joined = lines.reshape(len(values), -1)[:, :n_samples]
    return np.hstack([joined, np.repeat(values[:, -1:], n_samples - joined.shape[1], axis=1)])


def steep_spectrum(frequency_hz: np.ndarray) -> np.ndarray:
    """1/f up to the knee, 1/f^4 above."""
    return np.asarray(1 / np.hypot(frequency_hz, FLOOR_HZ) / (1 + (frequency_hz / KNEE_HZ) ** KNEE_POWER))


def _flat_spectrum(frequency_hz: np.ndarray) -> np.ndarray:
    return np.asarray(1 / np.hypot(frequency_hz, FLOOR_HZ))


def _gamma_spectrum(frequency_hz: np.ndarray) -> np.ndarray:
    """1/f^2 between its bounds, with Gaussian flanks."""
    outside = np.maximum(GAMMA_HZ[0] - frequency_hz, 0) + np.maximum(frequency_hz - GAMMA_HZ[1], 0)
    return np.asarray(np.exp(-0.5 * (outside / GAMMA_EDGE_HZ) ** 2) / np.clip(frequency_hz, *GAMMA_HZ) ** 2)

"""The electrode array of a subject, and the state its channels are in on the day of one session."""

import math
from dataclasses import dataclass

import numpy as np

from harness.data.simulate.parameters import Parameters, random_stream

N_COLUMNS, PITCH_MM = 10, 0.4
N_ELECTRODES = N_COLUMNS**2 - 4
BANK_SIZE = 32
"""Electrodes per connector: what shakes a connector is seen by its electrodes together."""

DEAD_CHANCE, DEATH_PER_SESSION = 0.02, 0.003
NOISY_CHANCE, DRIFTING_CHANCE = 0.03, 0.03
GAIN_LOG_SD, SESSION_GAIN_LOG_SD, GAIN_LOSS = 0.2, 0.08, 0.005
NOISE_UV, NOISE_LOG_SD, NOISE_GROWTH, NOISY_UV = 1.5, 0.2, 0.01, (15.0, 50.0)


def positions_mm() -> np.ndarray:
    """(N_ELECTRODES, 2) x, y on a square grid without its four corners, row by row."""
    cells = np.array([divmod(i, N_COLUMNS)[::-1] for i in range(N_COLUMNS**2)])
    corner = np.isin(cells, (0, N_COLUMNS - 1)).all(axis=1)
    return np.asarray(PITCH_MM * cells[~corner])


def distances_mm() -> np.ndarray:
    """(N_ELECTRODES, N_ELECTRODES) between all pairs."""
    places = positions_mm()
    return np.asarray(np.linalg.norm(places[:, None] - places, axis=2))


def spatial_root(length_mm: float) -> np.ndarray:
    """(N_ELECTRODES, N_ELECTRODES) R with R R' = exp(-distance / length): R times white noise varies smoothly."""
    return np.asarray(np.linalg.cholesky(np.exp(-distances_mm() / length_mm)))


def bank() -> np.ndarray:
    """(N_ELECTRODES,) int, the connector of each electrode."""
    return np.arange(N_ELECTRODES) // BANK_SIZE


def unit_electrodes(parameters: Parameters) -> np.ndarray:
    """(n_units,) int, rising: the electrode that each unit is recorded on, the same in all sessions of a subject."""
    chosen = random_stream(parameters, "electrodes").permutation(N_ELECTRODES)[: parameters.n_units]
    return np.sort(chosen)


@dataclass(frozen=True)
class Channels:
    """The state of the channels; all arrays are (N_ELECTRODES,).

    gain: Share of the tissue's voltage that is recorded; 0 on a dead channel.
    noise_uv: Standard deviation of the channel's own white noise.
    dead, noisy, drifting: bool.
    """

    gain: np.ndarray
    noise_uv: np.ndarray
    dead: np.ndarray
    noisy: np.ndarray
    drifting: np.ndarray


def session_channels(parameters: Parameters) -> Channels:
    """Draw a subject's electrodes and let them age up to this session; what is dead stays dead."""
    subject = random_stream(parameters, "electrodes", session=0)
    own_gain = np.exp(subject.normal(0, GAIN_LOG_SD, N_ELECTRODES))
    own_noise_uv = NOISE_UV * np.exp(subject.normal(0, NOISE_LOG_SD, N_ELECTRODES))
    survival = subject.random(N_ELECTRODES)
    age = parameters.session
    dead = survival > (1 - DEAD_CHANCE) * (1 - DEATH_PER_SESSION) ** age
    day = random_stream(parameters, "electrodes", session=age + 1)
    gain = own_gain * np.exp(day.normal(0, SESSION_GAIN_LOG_SD, N_ELECTRODES)) * math.exp(-GAIN_LOSS * age)
    noisy = ~dead & (day.random(N_ELECTRODES) < NOISY_CHANCE)
    drifting = ~dead & (day.random(N_ELECTRODES) < DRIFTING_CHANCE)
    extra_uv = np.where(noisy, day.uniform(*NOISY_UV, N_ELECTRODES), 0.0)
    noise_uv = np.hypot(own_noise_uv * math.exp(NOISE_GROWTH * age), extra_uv)
    return Channels(np.where(dead, 0.0, gain), noise_uv, dead, noisy, drifting)

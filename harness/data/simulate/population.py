"""The cells under the electrodes, and how they change from one session of a subject to the next."""

import math
from dataclasses import dataclass

import numpy as np

from harness.data.simulate.latents import N_LATENTS, N_TASK
from harness.data.simulate.parameters import Parameters, random_stream

N_CELLS = 3
"""Places for cells at one electrode: one in a single unit, two or three in a multi-unit."""

MULTI_UNIT_CHANCE, UNTUNED_CHANCE = 0.3, 0.15
RATE_MEDIAN_HZ, RATE_LOG_SD, RATE_LIMITS_HZ = 7.5, 0.9, (2.0, 40.0)
TUNING_SD, TUNING_LOG_SD, AROUSAL_SD = 0.65, 0.3, 0.12
COMMON = 0.2
"""Mean loading on the first task-free dimension: cells of an area rise and fall a little together."""

SUBJECT_LOG_SD = 0.12
DELAY_S = {"M1": (0.0, 0.15), "S1": (-0.1, 0.0)}
CROSSINGS_HZ = (0.1, 2.0)
ORDER_CHANCES = (0.4, 0.35, 0.25)
"""Chances of firing orders 1 (Poisson), 2 and 3: the more, the more regular."""

TURNOVER, TUNING_KEPT, SESSION_GAIN_LOG_SD = 0.12, 0.97, 0.2


@dataclass(frozen=True)
class Population:
    """The cells that one session records.

    loadings: (n_units, N_CELLS, n_latents) change of the log rate per unit of each latent.
    delay_s: (n_units, N_CELLS) how far a cell's firing runs ahead of z; negative where it lags.
    rate_hz: (n_units, N_CELLS) mean rate, zero where there is no cell.
    order: (n_units, N_CELLS) int, the regularity of a cell's firing: a gamma process of that order.
    crossings_hz: (n_units,) threshold crossings that are no spikes.
    areas: (n_units,) names.
    arrivals: (n_units,) how often the electrode has lost its cells and got new ones.
    """

    loadings: np.ndarray
    delay_s: np.ndarray
    rate_hz: np.ndarray
    order: np.ndarray
    crossings_hz: np.ndarray
    areas: np.ndarray
    arrivals: np.ndarray

    @property
    def names(self) -> tuple[str, ...]:
        """Stable across sessions for as long as the electrode keeps its cells."""
        return tuple(f"ch{i:03d}-{n}" for i, n in enumerate(self.arrivals.tolist()))


def session_population(parameters: Parameters) -> Population:
    """Draw a subject's first population and let the days up to this session pass."""
    areas = np.array(sorted(parameters.areas[i % len(parameters.areas)] for i in range(parameters.n_units)))
    strength = math.exp(random_stream(parameters, "dynamics", session=0).normal(0, SUBJECT_LOG_SD))
    rng = random_stream(parameters, "population")
    cells = _fresh(areas, strength, rng)
    for session in range(1, parameters.session + 1):
        rng = random_stream(parameters, "population", session=session)
        cells = _next_session(cells, _fresh(areas, strength, rng), rng)
    gain = np.exp(rng.normal(0, SESSION_GAIN_LOG_SD, (parameters.n_units, 1)))
    rate_hz = cells.rate_hz * gain
    total_hz = rate_hz.sum(axis=1, keepdims=True)
    return _with(cells, rate_hz=rate_hz * np.clip(total_hz, *RATE_LIMITS_HZ) / total_hz)


def drifted(loadings: np.ndarray, fresh: np.ndarray, dose: float) -> np.ndarray:
    """Turn tuning by a dose in [0, 1]: sqrt(1 - dose^2) old + dose new about the mean, which keeps its variance."""
    mean = np.zeros(N_LATENTS)
    mean[N_TASK] = COMMON
    return mean + math.sqrt(1 - dose**2) * (loadings - mean) + dose * (fresh - mean)


def draw_loadings(shape: tuple[int, int], strength: float, rng: np.random.Generator) -> np.ndarray:
    """(*shape, n_latents) directions in latent space: heavy-tailed lengths, some without any task dimension."""
    size = strength * TUNING_SD * np.exp(rng.normal(0, TUNING_LOG_SD, (*shape, 1)))
    loadings = size * rng.normal(size=(*shape, N_LATENTS)) / math.sqrt(N_LATENTS)
    loadings[..., N_TASK] += COMMON
    loadings[..., -1] = AROUSAL_SD * rng.normal(size=shape)
    loadings[rng.random(shape) < UNTUNED_CHANCE, :N_TASK] = 0
    return loadings


def _fresh(areas: np.ndarray, strength: float, rng: np.random.Generator) -> Population:
    n_units = len(areas)
    shape = (n_units, N_CELLS)
    n_cells = np.where(rng.random(n_units) < MULTI_UNIT_CHANCE, rng.integers(2, N_CELLS + 1, n_units), 1)
    share = rng.gamma(2.0, size=shape) * (np.arange(N_CELLS) < n_cells[:, None])
    total_hz = np.clip(RATE_MEDIAN_HZ * np.exp(rng.normal(0, RATE_LOG_SD, n_units)), *RATE_LIMITS_HZ)
    bounds_s = np.array([DELAY_S[area] for area in areas])[:, None, :]
    return Population(
        loadings=draw_loadings(shape, strength, rng),
        delay_s=rng.uniform(bounds_s[..., 0], bounds_s[..., 1], shape),
        rate_hz=total_hz[:, None] * share / share.sum(axis=1, keepdims=True),
        order=rng.choice(len(ORDER_CHANCES), shape, p=ORDER_CHANCES) + 1,
        crossings_hz=rng.uniform(*CROSSINGS_HZ, n_units),
        areas=areas,
        arrivals=np.zeros(n_units, int),
    )


def _next_session(old: Population, fresh: Population, rng: np.random.Generator) -> Population:
    gone = rng.random(len(old.areas)) < TURNOVER
    tuned = np.any(old.loadings[..., :N_TASK] != 0, axis=2, keepdims=True)
    kept = np.full(old.loadings.shape, True)
    kept[..., :N_TASK] = tuned  # what was untuned stays untuned
    moved = drifted(old.loadings, fresh.loadings * kept, math.sqrt(1 - TUNING_KEPT**2))
    return Population(
        loadings=np.where(gone[:, None, None], fresh.loadings, moved),
        delay_s=np.where(gone[:, None], fresh.delay_s, old.delay_s),
        rate_hz=np.where(gone[:, None], fresh.rate_hz, old.rate_hz),
        order=np.where(gone[:, None], fresh.order, old.order),
        crossings_hz=np.where(gone, fresh.crossings_hz, old.crossings_hz),
        areas=old.areas,
        arrivals=old.arrivals + gone,
    )


def _with(cells: Population, *, rate_hz: np.ndarray) -> Population:
    return Population(**{**vars(cells), "rate_hz": rate_hz})

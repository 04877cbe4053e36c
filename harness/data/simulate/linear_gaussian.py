"""A session whose best filter is known: linear dynamics, linear observations, Gaussian noise.

x[t] = A x[t-1] + w[t], w ~ N(0, W)        x is the velocity of the hand in bin t
y[t] = C x[t] + mean + q[t], q ~ N(0, Q)   y are the counts of the units in bin t

The Kalman filter with these parameters is the best of all causal decoders in mean squared error (Kalman 1960,
doi:10.1115/1.3662552).
"""

import math
from dataclasses import dataclass

import numpy as np

from harness.data.simulate.parameters import Parameters, random_stream

BIN_S = 0.02
SPEED_M_PER_S, MEMORY_S, TURN_HZ = 0.08, 0.35, 0.4
MEAN_COUNT, NOISE_COUNT, SHARED_NOISE = 100.0, 10.0, 0.3
INFORMATION = 0.6
"""Signal-to-noise ratio of all units together in one bin: the optimum then depends little on their number."""


@dataclass(frozen=True)
class LinearGaussian:
    """True parameters; time constants are those of one bin of `BIN_S`.

    a: (2, 2) dynamics. w: (2, 2) covariance of their noise.
    c: (n_units, 2) counts per m/s. q: (n_units, n_units) covariance of the counts' noise. mean: (n_units,) counts.
    stationary: (2, 2) covariance of x.
    """

    a: np.ndarray
    w: np.ndarray
    c: np.ndarray
    q: np.ndarray
    mean: np.ndarray
    stationary: np.ndarray


@dataclass(frozen=True)
class LinearGaussianSession:
    """Samples of a model: velocity (n_bins, 2) in m/s and counts (n_bins, n_units), whole numbers."""

    model: LinearGaussian
    velocity_m_per_s: np.ndarray
    counts: np.ndarray


def linear_gaussian_model(parameters: Parameters) -> LinearGaussian:
    """Draw the true parameters: dynamics from the subject, observations from its session."""
    shared = random_stream(parameters, "linear-gaussian")
    memory_s, turn_hz = MEMORY_S * math.exp(shared.normal(0, 0.2)), TURN_HZ * shared.uniform(0.5, 1.5)
    angle = 2 * math.pi * turn_hz * BIN_S
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    a = math.exp(-BIN_S / memory_s) * turn
    stationary = SPEED_M_PER_S**2 * np.eye(2)
    rng = random_stream(parameters, "population", session=parameters.session)
    n = parameters.n_units
    common = rng.normal(size=(n, 1)) / math.sqrt(n)
    q = NOISE_COUNT**2 * (np.eye(n) + SHARED_NOISE * common @ common.T)
    c = rng.normal(size=(n, 2)) * NOISE_COUNT * math.sqrt(INFORMATION / n) / SPEED_M_PER_S
    rounding = np.eye(n) / 12  # variance of a rounding error, which the observations carry too
    return LinearGaussian(a, stationary - a @ stationary @ a.T, c, q + rounding, np.full(n, MEAN_COUNT), stationary)


def linear_gaussian_session(parameters: Parameters) -> LinearGaussianSession:
    """Draw a session from its model; the counts are the Gaussian observations, rounded."""
    model = linear_gaussian_model(parameters)
    rng = random_stream(parameters, "linear-gaussian", session=parameters.session)
    velocity = _states(model, parameters.n_bins, rng)
    noise = rng.normal(size=(parameters.n_bins, parameters.n_units)) @ _root(model.q - np.eye(len(model.q)) / 12).T
    counts = np.maximum(np.rint(velocity @ model.c.T + model.mean + noise), 0)
    return LinearGaussianSession(model, velocity, counts)


def position_m(velocity_m_per_s: np.ndarray) -> np.ndarray:
    """(n_bins + 1, 2) the cursor at the edges of the bins, whose backward difference is the velocity."""
    steps = np.cumsum(velocity_m_per_s * BIN_S, axis=0)
    return np.vstack([np.zeros((1, 2)), steps])


def _states(model: LinearGaussian, n_bins: int, rng: np.random.Generator) -> np.ndarray:
    noise = rng.normal(size=(n_bins, 2)) @ _root(model.w).T
    states = np.empty((n_bins, 2))
    state = _root(model.stationary) @ rng.normal(size=2)
    for t in range(n_bins):
        state = model.a @ state + noise[t]
        states[t] = state
    return states


def _root(covariance: np.ndarray) -> np.ndarray:
    return np.linalg.cholesky(covariance)

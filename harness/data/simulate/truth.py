"""How well a simulated session can be decoded, by the suite's own rule of scoring.

The rule: velocity as backward difference in 20 ms bins, R2 as mean over the axes, scored on the last fifth of the
session.
"""

import numpy as np

from harness.data.simulate.behaviour import PAD_S, RATE_HZ, Behaviour
from harness.data.simulate.latents import STEP_S, at
from harness.data.simulate.linear_gaussian import BIN_S, LinearGaussian, LinearGaussianSession
from harness.data.simulate.parameters import Parameters

TRAIN_FRACTION = 0.7
RIDGE = 10.0
READOUT_S = (-0.4, 0.15)
"""The span of z around a bin's right edge that a read-out sees; the earliest cells run 150 ms ahead."""


def r2(truth: np.ndarray, estimate: np.ndarray) -> float:
    """Mean over axes of 1 - SSE / SST; both (n_bins, n_outputs)."""
    residual = np.sum((truth - estimate) ** 2, axis=0)
    return float(np.mean(1 - residual / np.sum((truth - truth.mean(axis=0)) ** 2, axis=0)))


def scored_bins(parameters: Parameters) -> slice:
    """The scored bins of the test part."""
    return slice(round(parameters.test_start_s / BIN_S), parameters.n_bins)


def binned_velocity(behaviour: Behaviour, n_bins: int) -> np.ndarray:
    """(n_bins, 2) backward difference of the cursor over each bin, m/s."""
    edges = round(PAD_S * RATE_HZ) + np.arange(n_bins + 1) * round(BIN_S * RATE_HZ)
    return np.diff(behaviour.cursor_m[edges], axis=0) / BIN_S


def latent_readout(parameters: Parameters, behaviour: Behaviour, latents: np.ndarray) -> float:
    """R2 of a ridge from the true latents around each bin, fitted on the first 70 % of the session.

    A reference and not a bound: no spiking noise is in its way, but a decoder that knows how reaches look is not
    held to linearity.
    """
    every = round(BIN_S / STEP_S)
    lags = np.arange(round(READOUT_S[0] / STEP_S), round(READOUT_S[1] / STEP_S) + 1, 2 * every)
    n_steps = parameters.n_bins * every
    columns = [at(latents, start_s=BIN_S + lag * STEP_S, n_steps=n_steps)[::every] for lag in lags.tolist()]
    seen = np.hstack([*columns, np.ones((parameters.n_bins, 1))])
    velocity = binned_velocity(behaviour, parameters.n_bins)
    train, test = slice(round(TRAIN_FRACTION * parameters.n_bins)), scored_bins(parameters)
    normal = seen[train].T @ seen[train] + RIDGE * np.eye(seen.shape[1])
    weights = np.linalg.solve(normal, seen[train].T @ velocity[train])
    return r2(velocity[test], seen[test] @ weights)


def kalman_filter(model: LinearGaussian, counts: np.ndarray) -> np.ndarray:
    """The exact recursion with true parameters; (n_bins, 2) velocity from the counts up to each bin.

    In information form: two numbers per bin, C' Q^-1 (y - mean), are all that the counts say about the state.
    """
    weights = np.linalg.solve(model.q, model.c)
    said, precision = (counts - model.mean) @ weights, model.c.T @ weights
    estimate, p = np.zeros(2), model.stationary
    estimates = np.empty((len(counts), 2))
    for t in range(len(counts)):
        estimate, p = model.a @ estimate, model.a @ p @ model.a.T + model.w
        p = np.linalg.inv(np.linalg.inv(p) + precision)
        estimate = estimate + p @ (said[t] - precision @ estimate)
        estimates[t] = estimate
    return estimates


def kalman_optimum(parameters: Parameters, session: LinearGaussianSession) -> float:
    """R2 of the best filter on the test part of this very session."""
    test = scored_bins(parameters)
    return r2(session.velocity_m_per_s[test], kalman_filter(session.model, session.counts)[test])


def closed_form_r2(model: LinearGaussian) -> float:
    """R2 of the best filter on an endless session, from the algebraic Riccati equation."""
    from scipy.linalg import solve_discrete_are  # slow to import, and wanted by one variant only

    ahead = solve_discrete_are(model.a.T, model.c.T, model.w, model.q)
    gain = np.linalg.solve(model.c @ ahead @ model.c.T + model.q, model.c @ ahead).T
    error = ahead - gain @ model.c @ ahead
    return float(np.mean(1 - np.diag(error) / np.diag(model.stationary)))

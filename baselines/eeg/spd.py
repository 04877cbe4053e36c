"""Symmetric positive definite matrices under the affine-invariant metric.

Pennec et al. 2006, 10.1007/s11263-005-3222-z.
Every function takes one matrix (n, n) or a stack of them (..., n, n), float64.
"""

from collections.abc import Callable

import numpy as np

SMALLEST_SHARE = 1e-12
"""Of a matrix' largest eigenvalue: smaller ones are rounding, and count as this much."""


def mapped(matrices: np.ndarray, function: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Apply a function to the eigenvalues."""
    values, vectors = np.linalg.eigh(matrices)
    return (vectors * function(values)[..., None, :]) @ vectors.swapaxes(-1, -2)


def power(matrices: np.ndarray, exponent: float) -> np.ndarray:
    """Matrices to a power, such as -0.5."""
    return mapped(matrices, lambda values: _positive(values) ** exponent)


def log(matrices: np.ndarray) -> np.ndarray:
    """Logarithms of matrices: symmetric ones, in a flat space."""
    return mapped(matrices, lambda values: np.log(_positive(values)))


def exp(matrices: np.ndarray) -> np.ndarray:
    """What `log` undoes."""
    return mapped(matrices, np.exp)


def congruent(factor: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """factor @ matrix @ factor.T, made symmetric: factor (m, n), or a stack of them."""
    product = factor @ matrices @ factor.swapaxes(-1, -2)
    return (product + product.swapaxes(-1, -2)) / 2


def squared_distances(whiteners: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """Squared affine-invariant distances to points given by their power -0.5: (..., n, n) both -> (...)."""
    values = np.linalg.eigvalsh(congruent(whiteners, matrices))
    return np.square(np.log(_positive(values))).sum(axis=-1)


def mean(matrices: np.ndarray, weights: np.ndarray | None = None, *, most_steps: int = 50) -> np.ndarray:
    """The point with the least sum of squared distances (Moakher 2005, 10.1137/S0895479803436937).

    Args:
        matrices: (n_matrices, n, n).
        weights: (n_matrices,), of any sum; None: all alike.
        most_steps: It settles in five to fifteen; what is reached by then is good enough.
    """
    weights = np.full(len(matrices), 1 / len(matrices)) if weights is None else weights / weights.sum()
    found = np.tensordot(weights, matrices, 1)
    for _ in range(most_steps):
        root, whitener = power(found, 0.5), power(found, -0.5)
        step = np.tensordot(weights, log(congruent(whitener, matrices)), 1)
        found = congruent(root, exp(step))
        if np.linalg.norm(step) < 1e-8:
            break
    return found


def between(start: np.ndarray, end: np.ndarray, share: float) -> np.ndarray:
    """The point that lies so far, 0 to 1, on the geodesic from start to end, (n, n) each."""
    root, whitener = power(start, 0.5), power(start, -0.5)
    return congruent(root, power(congruent(whitener, end), share))


def _positive(values: np.ndarray) -> np.ndarray:
    """Eigenvalues in rising order, (..., n), those that rounding left near or below zero lifted."""
    return np.maximum(values, SMALLEST_SHARE * np.maximum(values[..., -1:], np.finfo(np.float64).tiny / SMALLEST_SHARE))


def vectors(symmetric: np.ndarray) -> np.ndarray:
    """(..., n, n) symmetric -> (..., n (n + 1) / 2), with the same Euclidean product."""
    i, j = np.triu_indices(symmetric.shape[-1])
    return symmetric[..., i, j] * np.where(i == j, 1.0, np.sqrt(2))


def from_vectors(rows: np.ndarray) -> np.ndarray:
    """What `vectors` undoes."""
    n = int(np.sqrt(2 * rows.shape[-1]))
    i, j = np.triu_indices(n)
    made = np.zeros((*rows.shape[:-1], n, n))
    made[..., i, j] = made[..., j, i] = rows / np.where(i == j, 1.0, np.sqrt(2))
    return made

"""Pareto frontier: the points that no other point beats."""

import numpy as np


def frontier(cost: np.ndarray, score: np.ndarray, *, higher_is_better: bool = True) -> np.ndarray:
    """Which points are on the frontier of low cost and good score.

    A point is on it if no other one is at least as good in both and better in one. Equal points are on it together or
    not at all.

    Args:
        cost: (n_points,), any unit; less is better.
        score: (n_points,).
        higher_is_better: Of the score.

    Returns:
        (n_points,) bool, false where cost or score is NaN.
    """
    cost = np.asarray(cost, float)
    good = np.asarray(score, float) * (1 if higher_is_better else -1)
    known = np.isfinite(cost) & np.isfinite(good)
    order = np.flatnonzero(known)[np.lexsort((-good[known], cost[known]))]
    on = np.zeros(len(cost), bool)
    best = -np.inf
    last: tuple[float, float] | None = None
    for i in order:
        here = (float(cost[i]), float(good[i]))
        # From cheap to dear, a point must beat all before it; of one cost the best comes first.
        on[i] = good[i] > best or here == last
        if on[i]:
            best, last = good[i], here
    return on

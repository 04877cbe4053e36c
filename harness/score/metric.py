"""What a metric is: a formula on sums of a few terms of each bin."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from harness.errors import UsageError


@dataclass(frozen=True)
class Metric:
    """A score as a formula on sums over bins.

    unit: "1" for a pure number, "target" for the unit of the target.
    terms: (y_true, y_pred), both (n_bins, n_outputs) -> (n_bins, ...) float64: what each bin adds.
    value: Sums of those terms over bins, (..., <shape of one bin's terms>) -> (...) scores, NaN where undefined.
    chance: Number of classes -> what is expected of answers that know nothing; None where that depends on the labels.
    """

    name: str
    higher_is_better: bool
    unit: str
    terms: Callable[[np.ndarray, np.ndarray], np.ndarray]
    value: Callable[[np.ndarray], np.ndarray]
    chance: Callable[[int], float] | None = None

    def __call__(self, y_true: np.ndarray, y_pred: np.ndarray) -> float:
        """The score of all given bins.

        Raises:
            UsageError: If the shapes differ, are not (n_bins, n_outputs), or a value is not finite.
        """
        return float(self.value(self.terms(y_true, y_pred).sum(axis=0)))


def checked(y_true: np.ndarray, y_pred: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    shapes = np.shape(y_true), np.shape(y_pred)
    if shapes[0] != shapes[1] or len(shapes[0]) != 2 or 0 in shapes[0]:
        raise UsageError(
            f"a metric got y_true of shape {shapes[0]} and y_pred of shape {shapes[1]}; "
            f"give both as (n_bins, n_outputs) with the same, non-zero numbers"
        )
    for name, values in (("y_true", y_true), ("y_pred", y_pred)):
        bad = np.argwhere(~np.isfinite(values))
        if bad.size:
            k, i = bad[0].tolist()
            raise UsageError(
                f"a metric got {values[k, i]} at bin {k}, output {i} of {name} and {len(bad) - 1} more such "
                f"values; give scored bins only, all of them finite"
            )
    return np.asarray(y_true, np.float64), np.asarray(y_pred, np.float64)

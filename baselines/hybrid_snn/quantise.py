"""Numbers with few bits: weights with a sign, 1 bit before and 7 behind the point, buffers with a sign, 1 and 4.

All of them and their sums are exact in float32, so the order of a sum, and with it the library, changes nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch


@dataclass(frozen=True)
class Grid:
    """Fixed-point numbers: a sign, `whole` bits before the point and `fraction` bits behind it."""

    whole: int
    fraction: int

    @property
    def bits(self) -> int:
        """Bits of one number, its sign included."""
        return 1 + self.whole + self.fraction

    @property
    def largest(self) -> int:
        """The largest multiple of the step; the smallest is its opposite."""
        return 2 ** (self.whole + self.fraction) - 1

    def rounded(self, values: np.ndarray) -> np.ndarray:
        """The nearest numbers of the grid, of the same dtype; even multiples where two are as near."""
        return self.values(np.clip(np.rint(values * 2**self.fraction), -self.largest, self.largest), values.dtype)

    def integers(self, values: np.ndarray) -> np.ndarray:
        """Values as multiples of the step, int16."""
        return np.asarray(np.rint(self.rounded(values) * 2**self.fraction), np.int16)

    def values(self, integers: np.ndarray, dtype: Any = np.float32) -> np.ndarray:
        """Undo `integers`."""
        return np.asarray(integers * 2.0**-self.fraction, dtype)

    def straight_through(self, values: Any) -> Any:
        """`rounded` of a tensor; backwards, as if nothing had been done inside the range."""
        held = values.clamp(-self.largest / 2**self.fraction, self.largest / 2**self.fraction)
        return held + ((held * 2**self.fraction).round() / 2**self.fraction - held).detach()


WEIGHTS = Grid(whole=1, fraction=7)
BUFFERS = Grid(whole=1, fraction=4)


def rounded_weights(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """All parameters on the grid, with gradients straight through; for `torch.func.functional_call`."""
    return {name: WEIGHTS.straight_through(p) for name, p in parameters.items()}


def round_in_place(network: torch.nn.Module) -> None:
    """Leave only what is on the grid."""
    with torch.no_grad():
        for p in network.parameters():
            p.copy_(WEIGHTS.straight_through(p))

"""Numbers with few bits: weights with a sign, 1 bit before and 7 behind the point, buffers with a sign, 1 and 4.

All of them and their sums are exact in float32, so the order of a sum, and with it the library, changes nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from baselines.hybrid_snn.shape import Shape
from harness import HarnessError


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
FLAGS = Grid(whole=1, fraction=0)
EXACT = 2**24
"""Up to this many steps of a grid, every sum is exact in float32."""


def most_terms(factors: Grid) -> int:
    """So many products of a weight and such a factor, and a bias, have a sum that is exact whatever they are."""
    return EXACT // (WEIGHTS.largest * factors.largest) - 1


def refuse_inexact_sums(shape: Shape, n_inputs: int, n_channels: int) -> None:
    """Check that the sums of all convolutions are exact, and with them those of the units, which are shorter.

    shape: Its blocks; the first one sees 0 and 1, the later ones buffers.
    n_inputs: Columns' width in front of the first convolution.
    n_channels: The same behind each.

    Raises:
        HarnessError: If a convolution has too many terms.
    """
    widths, factors = [n_inputs] + [n_channels] * len(shape.blocks), [FLAGS] + [BUFFERS] * len(shape.blocks)
    for block, width, factor in zip(shape.blocks, widths, factors, strict=False):
        if block.kernel * width > most_terms(factor):
            raise HarnessError(
                f"a convolution of {block.kernel} columns x {width} channels adds {block.kernel * width} products of "
                f"{WEIGHTS.bits}-bit weights and {factor.bits}-bit columns, and float32 is exact for "
                f"{most_terms(factor)} at most; choose shorter kernels, fewer channels, or quantised=false"
            )


def rounded_weights(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """All parameters on the grid, with gradients straight through; for `torch.func.functional_call`."""
    return {name: WEIGHTS.straight_through(p) for name, p in parameters.items()}


def round_in_place(network: torch.nn.Module) -> None:
    """Leave only what is on the grid."""
    with torch.no_grad():
        for p in network.parameters():
            p.copy_(WEIGHTS.straight_through(p))

"""What is counted of a decoder's operations: the definitions of NeuroBench, for anything that is dispatched.

A contraction is a product of matrices, a convolution or an attention: sums of products. One of its products is
effective if both factors are non-zero; the sum of a call's effective products is booked as accumulates (ACs) if one
of its operands holds only -1, 0 and 1, otherwise as multiply-accumulates (MACs); dense counts all products (Yik et al.
2025, 10.1038/s41467-025-56739-4, NeuroBench). Products of single elements (gates, gains, decays) are kept apart.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from harness.errors import DecoderError


class UncountedOperation(DecoderError):
    """A decoder did something whose operations are unknown here; the message names it."""


@dataclass
class Tally:
    """Running sums over the bins that were counted.

    macs, acs: Effective products in contractions.
    dense: All products in contractions, zeros included.
    elementwise: Element-wise products whose result is not zero.
    precision: Effective products of all kinds by the wider factor's dtype, e.g. `float32`, or `float32 accumulate`.
    activations, zero_activations: Elements that activation functions and spiking thresholds gave, and zeros among them.
    weights: Learned operand of contractions -> (number of elements, zeros among them).
    """

    macs: float = 0
    acs: float = 0
    dense: float = 0
    elementwise: float = 0
    precision: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    activations: int = 0
    zero_activations: int = 0
    weights: dict[Any, tuple[int, int]] = field(default_factory=dict)

    def contraction(self, *, effective: float, dense: float, accumulates: bool, dtype: str) -> None:
        """Book one call. `accumulates`: one of its operands holds only -1, 0 and 1."""
        if accumulates:
            self.acs += effective
        else:
            self.macs += effective
        self.dense += dense
        self.precision[f"{dtype} accumulate" if accumulates else dtype] += effective

    def products(self, n: float, *, dtype: str) -> None:
        """Book element-wise products with non-zero results."""
        self.elementwise += n
        self.precision[dtype] += n

    def activation(self, *, n: int, zeros: int) -> None:
        """Book the outputs of an activation function."""
        self.activations += n
        self.zero_activations += zeros

    @property
    def activation_sparsity(self) -> float | None:
        """Zeros among the outputs of activation functions; None without any."""
        return self.zero_activations / self.activations if self.activations else None

    @property
    def connection_sparsity(self) -> float | None:
        """Zeros among the learned operands of contractions; None without any."""
        total = sum(n for n, _ in self.weights.values())
        return sum(zeros for _, zeros in self.weights.values()) / total if total else None

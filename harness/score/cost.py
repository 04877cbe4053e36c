"""What a decoder costs: what is kept of it, and what a bin takes.

Definitions are NeuroBench's (Yik et al. 2025, 10.1038/s41467-025-56739-4): docs/cost.md states each as an equation.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from harness.errors import DecoderError

How = Literal["counted", "declared", "unknown"]


class WrongDeclaration(DecoderError):
    """A decoder declared something of itself that its arrays contradict."""


@dataclass(frozen=True)
class Operations:
    """Operations of one bin, by how they are known; None is unknown, and `why` says why. Never zero instead.

    macs, acs: Effective products in contractions; dense: all of them, zeros included.
    elementwise: Element-wise products.
    precision: Effective products by dtype, as `harness.judge.count.tally.Tally` names it; empty unless counted.
    """

    how: How
    why: str = ""
    macs: float | None = None
    acs: float | None = None
    dense: float | None = None
    elementwise: float | None = None
    activation_sparsity: float | None = None
    connection_sparsity: float | None = None
    state_bytes: int | None = None
    precision: Mapping[str, float] = field(default_factory=dict)

    @property
    def effective(self) -> float | None:
        """All effective products of a bin: what a budget of synaptic operations is compared with."""
        known = (self.macs, self.acs, self.elementwise)
        return None if None in known else math.fsum(n for n in known if n is not None)


UNKNOWN = Operations("unknown", "nothing was counted")


def footprint_bytes(arrays: Mapping[str, np.ndarray]) -> int:
    """Bytes of all that was learned, in the dtypes in which it is stored."""
    return sum(int(values.nbytes) for values in arrays.values())


def packed_bytes(arrays: Mapping[str, np.ndarray], bits: Mapping[str, int]) -> int:
    """Footprint if the named arrays were stored with so many bits a value.

    Args:
        arrays: The artefact.
        bits: Name -> declared bits of one value; arrays without an entry keep their dtype's.

    Raises:
        WrongDeclaration: If a name is unknown, a width is not 1 to 64, or an array holds more values than that width
            can tell apart.
    """
    unknown = sorted(set(bits) - set(arrays))
    if unknown:
        raise WrongDeclaration(f"bits are declared for {unknown[0]!r}; state() has {', '.join(sorted(arrays))}")
    for name, width in bits.items():
        n_values = len(np.unique(arrays[name]))
        if not 1 <= width <= 64 or n_values > 2**width:
            raise WrongDeclaration(
                f"{width} bits are declared for {name!r}, which holds {n_values} different values; declare at least "
                f"{max(1, math.ceil(math.log2(max(n_values, 1))))}"
            )
    plain = {name: values for name, values in arrays.items() if name not in bits}
    return footprint_bytes(plain) + sum(math.ceil(arrays[name].size * width / 8) for name, width in bits.items())


def operations_from(told: Mapping[str, Any]) -> Operations:
    """What a worker told of its count, per bin; its numbers are checked, for foreign code shares its process.

    Raises:
        WrongDeclaration: If they are not what a count or a declaration can be.
    """
    declared, n_bins = told.get("declared"), told.get("n_bins")
    why = str(told.get("why", ""))[:300]
    state_bytes = int(_number(told, "state_bytes"))
    if n_bins and not why:
        n = _number(told, "n_bins")
        per_bin = {name: _number(told, name) / n for name in ("macs", "acs", "dense", "elementwise")}
        if per_bin["dense"] < per_bin["macs"] + per_bin["acs"]:
            raise WrongDeclaration("the count has more effective products than there are products")
        return Operations(
            "counted",
            "",
            per_bin["macs"],
            per_bin["acs"],
            per_bin["dense"],
            per_bin["elementwise"],
            activation_sparsity=_share(told, "activation_sparsity"),
            connection_sparsity=_share(told, "connection_sparsity"),
            state_bytes=state_bytes,
            precision={str(k): _number(told["precision"], k) / n for k in dict(told["precision"])},
        )
    if declared and declared.get("macs_per_bin") is not None:
        return Operations(
            "declared",
            why,
            macs=_number(declared, "macs_per_bin"),
            acs=_number(declared, "acs_per_bin"),
            elementwise=_number(declared, "elementwise_per_bin"),
            activation_sparsity=_share(declared, "activation_sparsity"),
            state_bytes=state_bytes,
        )
    return Operations("unknown", why or "nothing was counted", state_bytes=state_bytes)


def _number(told: Mapping[str, Any], name: str) -> float:
    value = told.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise WrongDeclaration(f"{name} is {value!r}; a count is a finite number, not below zero")
    return float(value)


def _share(told: Mapping[str, Any], name: str) -> float | None:
    if told.get(name) is None:
        return None
    value = _number(told, name)
    if value > 1:
        raise WrongDeclaration(f"{name} is {value}; a share is between 0 and 1")
    return value

"""What a decoder costs: what is kept of it, and what a bin takes.

Definitions are NeuroBench's (Yik et al. 2025, 10.1038/s41467-025-56739-4): docs/cost.md states each as an equation.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

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
        n_values = _n_to_tell_apart(arrays[name])
        if not 1 <= width <= 64 or n_values > 2**width:
            raise WrongDeclaration(
                f"{width} bits are declared for {name!r}, which holds {n_values} different values; declare at least "
                f"{max(1, math.ceil(math.log2(max(n_values, 1))))}"
            )
    plain = {name: values for name, values in arrays.items() if name not in bits}
    return footprint_bytes(plain) + sum(math.ceil(arrays[name].size * width / 8) for name, width in bits.items())


def _n_to_tell_apart(values: np.ndarray) -> int:
    """How many values a width must tell apart: of integers the whole range, of others those that occur."""
    if values.dtype.kind in "iu" and values.size:
        return int(values.max()) - int(values.min()) + 1
    return len(np.unique(values))


Number = Annotated[float, Field(ge=0, le=1e15, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class _Told(BaseModel):
    """A worker's reply: foreign code may have written it."""

    model_config = ConfigDict(extra="forbid", strict=True)


class _Declared(_Told):
    macs_per_bin: Number | None
    acs_per_bin: Number
    elementwise_per_bin: Number
    activation_sparsity: Share | None
    bits: dict[str, int]


class _Count(_Told):
    n_bins: Annotated[int, Field(ge=0, le=100_000)]
    why: str
    state_bytes: Annotated[int, Field(ge=0, le=1 << 50)] | None
    macs: Number
    acs: Number
    dense: Number
    elementwise: Number
    activation_sparsity: Share | None
    connection_sparsity: Share | None
    precision: dict[str, Number]
    declared: _Declared | None
    declared_error: str = ""


def operations_from(told: Mapping[str, Any]) -> tuple[Operations, Mapping[str, int]]:
    """What a worker told of its count, per bin, and the widths that its decoder declares.

    Raises:
        WrongDeclaration: If that is not what a count or a declaration can be.
    """
    try:
        count = _Count.model_validate(told)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise WrongDeclaration(f"the count's {where[:100]!r} is no such number: {first['msg']}") from None
    if count.declared_error:
        raise WrongDeclaration(f"cost() failed: {_plain(count.declared_error)}")
    if count.dense < count.macs + count.acs:
        raise WrongDeclaration("the count has more effective products than there are products")
    return _operations(count), count.declared.bits if count.declared else {}


def _operations(count: _Count) -> Operations:
    why, n, declared = _plain(count.why), count.n_bins, count.declared
    if n and not why:
        return Operations(
            "counted",
            macs=count.macs / n,
            acs=count.acs / n,
            dense=count.dense / n,
            elementwise=count.elementwise / n,
            activation_sparsity=count.activation_sparsity,
            connection_sparsity=count.connection_sparsity,
            state_bytes=count.state_bytes,
            precision={name: products / n for name, products in count.precision.items()},
        )
    if declared and declared.macs_per_bin is not None:
        return Operations(
            "declared",
            why,
            macs=declared.macs_per_bin,
            acs=declared.acs_per_bin,
            elementwise=declared.elementwise_per_bin,
            activation_sparsity=declared.activation_sparsity,
            state_bytes=count.state_bytes,
        )
    return Operations("unknown", why or "nothing was counted", state_bytes=count.state_bytes)


def _plain(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text[:300])

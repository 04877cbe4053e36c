"""What operations would cost in energy: a model from a published table, never a measurement."""

from harness.data.suites import Model, read_model, shipped
from harness.score.cost import Operations

ACCUMULATE = " accumulate"
"""How `Tally` marks effective products that are additions only."""


class Energy(Model):
    """Energy of one operation by dtype, in pJ, of one technology; always a model, never a measurement.

    multiply_pj, add_pj: dtype -> pJ. A dtype that is not listed has no estimate.
    """

    name: str
    version: int
    source: str
    multiply_pj: dict[str, float]
    add_pj: dict[str, float]


def energy_model() -> Energy:
    """The table of `datasets/energy`."""
    return read_model(shipped("energy") / "horowitz-2014.yaml", Energy)


def energy_nj(operations: Operations, table: Energy) -> float | None:
    """Modelled energy of one bin's products and their additions, in nJ; None where a dtype is not in the table."""
    total = 0.0
    for name, n in operations.precision.items():
        dtype = name.removesuffix(ACCUMULATE)
        if dtype not in table.add_pj:
            return None
        multiply = 0.0 if name.endswith(ACCUMULATE) else table.multiply_pj[dtype]
        total += n * (multiply + table.add_pj[dtype])
    return total / 1e3 if operations.precision else None

"""Latency and cost of one row, from the records of its seeds: unrounded, None where nothing was measured.

A field that old records do not have is None in them, and so is its column.
"""

from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import Any

from harness.results.records import Cost, Latency, Record

LATENCY = ("p50", "p95", "p99", "p999", "max", "jitter")
PER_S = ("macs_per_s", "acs_per_s", "dense_per_s", "elementwise_per_s")
COST = (
    *(
        "parameters",
        "artifact_bytes",
        "fit_s",
        "pretrain_s",
        "adapt_s",
        *PER_S,
        "activation_sparsity",
        "connection_sparsity",
    ),
    *("state_bytes", "footprint_bytes", "packed_bytes", "memory_floor_ms", "energy_nj_per_bin"),
)
NUMBERS = (
    *(f"{name}_ms" for name in LATENCY),
    *("p99_low_ms", "p99_high_ms", "passes", "paced_p99_ms", "deadline_miss_rate", "delay_ms", "n_bins"),
    *("operations_per_s", *COST),
)
TEXT = ("operations", "operations_why", "energy_model", "noisy_why")
LEAST_KNOWN_FIRST = ("unknown", "declared", "counted")


def measured(records: Sequence[Record]) -> dict[str, Any]:
    """All of `NUMBERS` and `TEXT`; numbers are means over seeds, of extremes the extreme."""
    built = [record for record in records if record.status == "ok"]
    return {**_latency(records), **_cost([r.cost for r in built]), **_operations(built)}


def _latency(records: Sequence[Record]) -> dict[str, Any]:
    """The fast pass; deadlines and delay are those of the paced pass where there was one."""
    fast = [r.latency_ms for r in records if r.latency_ms is not None]
    paced = [r.paced_latency_ms for r in records if r.paced_latency_ms is not None]
    judged = [_judged(r) for r in records]
    spreads = [t.spread["p99"] for t in fast if "p99" in t.spread]
    return {
        **{f"{name}_ms": mean(getattr(t, name) for t in fast) for name in LATENCY},
        "p99_low_ms": min((low for low, _ in spreads), default=None),
        "p99_high_ms": max((high for _, high in spreads), default=None),
        "passes": max((t.passes for t in fast), default=None),
        "paced_p99_ms": mean(t.p99 for t in paced),
        "deadline_miss_rate": mean(t.deadline_miss_rate for t in judged if t is not None),
        "delay_ms": mean(r.delays_ms.get("total") for r in records),
        "n_bins": sum(t.n for t in fast),
        "noisy_why": next((r.profile.noisy_why for r in records if r.profile.noisy_why), ""),
    }


def _judged(record: Record) -> Latency | None:
    """The pass whose deadlines count: of bins at their real times, in old records of bins one after the other."""
    return record.paced_latency_ms or record.latency_ms


def _cost(costs: Sequence[Cost]) -> dict[str, Any]:
    models = [c.energy_model for c in costs if c.energy_nj_per_bin is not None]
    numbers = {name: mean(getattr(c, name) for c in costs) for name in COST}
    return {**numbers, "energy_model": ", ".join(dict.fromkeys(models))}


def _operations(built: Sequence[Record]) -> dict[str, Any]:
    """Effective products a second. One seed without a count leaves the row without one: a mean would look counted."""
    if not built:
        return {}
    worst = min((r.cost for r in built), key=lambda cost: LEAST_KNOWN_FIRST.index(cost.operations))
    rates = [None if r.cost.effective_per_bin is None else r.cost.effective_per_bin / r.bin_s for r in built]
    unknown = worst.operations == "unknown"
    why = worst.operations_why or ("the record does not say" if unknown else "")
    return {
        "operations": worst.operations,
        "operations_why": why,
        "operations_per_s": None if unknown or None in rates else mean(rates),
    }


def mean(values: Iterable[float | None]) -> float | None:
    """The mean of what is there; None if nothing is."""
    found = [value for value in values if value is not None]
    return fmean(found) if found else None

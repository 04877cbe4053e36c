"""What a score is paid with: the costs that decoders can be set against, and who is on the frontier of each."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from harness.judge.budget import Track
from leaderboard_app.frontier import frontier
from leaderboard_app.wording import short

KIB = 1024.0
OFFLINE_STAGES = ("pretrain_s", "fit_s", "adapt_s")


@dataclass(frozen=True)
class Cost:
    """One thing that a decoder takes, of which less is better.

    columns: Of `table.ranking`, whose sum it is.
    unit: Divides the sum, and a budget in the units of the column.
    title: Of the axis, unit included.
    budget: Field of `Track` that limits it; empty if none does.
    """

    label: str
    columns: tuple[str, ...]
    title: str
    budget: str = ""
    unit: float = 1.0

    def of(self, table: pd.DataFrame) -> pd.Series:
        """(n_rows,) in the axis's unit; NaN where none of the columns has a number."""
        return table[list(self.columns)].sum(axis=1, min_count=1) / self.unit


COSTS = {
    "p99": Cost("p99 latency", ("p99_ms",), "p99 latency of one bin, ms"),
    "paced": Cost("p99 latency, bins at their real times", ("paced_p99_ms",), "Paced p99 latency, ms", "p99_bins"),
    "parameters": Cost("Parameters", ("parameters",), "Parameters", "parameters"),
    "artefact": Cost("Artefact", ("artifact_bytes",), "Artefact, KiB", "artifact_bytes", KIB),
    "operations": Cost("Operations/s", ("operations_per_s",), "Operations/s", "synaptic_operations_per_s"),
    "training": Cost("Training time", OFFLINE_STAGES, "Pretraining, fit and adapting, s"),
    "state": Cost("State while streaming", ("state_bytes",), "State, KiB", "state_bytes", KIB),
}
"""As in the page's address -> the cost."""


@dataclass(frozen=True)
class Limit:
    """A line across a plot: at which cost, and what it is."""

    value: float
    words: str


def costs_of(table: pd.DataFrame) -> dict[str, Cost]:
    """The costs of which at least one ranked row has a number; old records lack the newer ones."""
    ranked = table[table["kind"] == "ranked"]
    return {name: cost for name, cost in COSTS.items() if cost.of(ranked).notna().any()}


def points(table: pd.DataFrame, cost: Cost, *, higher_is_better: bool) -> pd.DataFrame:
    """The ranked rows with their `cost` (NaN if unknown) and whether they are on its `frontier`."""
    ranked = table[table["kind"] == "ranked"].reset_index(drop=True)
    ranked["cost"] = cost.of(ranked)
    on = frontier(ranked["cost"].to_numpy(), ranked["score"].to_numpy(float), higher_is_better=higher_is_better)
    return ranked.assign(frontier=on)


def limits(cost: str, tracks: list[Track], *, bin_s: float) -> list[Limit]:
    """The budgets of tracks on a cost; tracks with one number share a line.

    Args:
        cost: A key of `COSTS`.
        tracks: Such as the shipped ones.
        bin_s: Length of a bin, in which some budgets count.
    """
    bin_ms = bin_s * 1000
    if cost == "p99":
        return [Limit(bin_ms, f"bin length {bin_ms:g} ms")]
    names: dict[float, list[str]] = {}
    for track in tracks:
        allowed = getattr(track, COSTS[cost].budget, None) if COSTS[cost].budget else None
        if allowed is not None:
            value = allowed * (bin_ms if cost == "paced" else 1 / COSTS[cost].unit)
            names.setdefault(value, []).append(track.name)
    return [Limit(value, f"limit of {', '.join(sorted(of))}: {short(value)}") for value, of in sorted(names.items())]


def decades(values: np.ndarray) -> list[float]:
    """Ticks of a logarithmic axis: powers of ten around the positive values, also 2 and 5 times these where the axis
    is short, each second or third where it is long, and 0 if a value is 0.

    Args:
        values: (n_values,), none below 0.
    """
    positive = values[values > 0]
    zero = [0.0] if (values == 0).any() else []
    if not positive.size:
        return zero
    first, last = int(np.floor(np.log10(positive.min()))), int(np.ceil(np.log10(positive.max())))
    between = (1, 2, 5) if last - first <= 2 else (1,)
    step = max(1, -(-(last - first) // 6))
    return zero + [float(f"{times}e{power}") for power in range(first, last + 1, step) for times in between]

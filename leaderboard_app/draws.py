"""Bootstrap draws of a decoder's scores, as a store keeps them beside its predictions."""

from pathlib import Path

import numpy as np

from harness.errors import BadData
from harness.results.published import open_store
from harness.results.records import Record
from harness.results.shown import read_arrays
from harness.results.store import file_sha256
from leaderboard_app.runs import Run

NO_DRAWS: dict[str, np.ndarray] = {}


def draws_of(root: Path, run: Run) -> dict[str, np.ndarray]:
    """Draws of the primary metric for each recording, means over seeds.

    The blocks or trials of a draw are the same for every decoder and seed (`harness.score.stats`), so draws may be
    averaged and subtracted one by one.

    Args:
        root: The store.
        run: All seeds of one decoder.

    Returns:
        Session -> (n_draws,) float64, NaN where a draw has no defined score. Empty where the file of a seed is not
        there, or not the one that its record speaks of.
    """
    seeds = [_draws(root, record) for record in run.records]
    shared = set.intersection(*(set(seed) for seed in seeds))
    by_session = {name: [seed[name] for seed in seeds] for name in sorted(shared)}
    return {name: np.mean(d, axis=0) for name, d in by_session.items() if len({len(one) for one in d}) == 1}


def _draws(root: Path, record: Record) -> dict[str, np.ndarray]:
    """One seed's draws, if its file is the one that its record speaks of."""
    path, names = open_store(root).predictions(record), [s.session for s in record.sessions]
    try:
        if file_sha256(path) != record.predictions_sha256:
            return NO_DRAWS
        arrays = read_arrays(path, [f"{name}/draws" for name in names])
    except (OSError, BadData):
        return NO_DRAWS
    found = {name: arrays[f"{name}/draws"] for name in names if f"{name}/draws" in arrays}
    return {name: d.astype(np.float64) for name, d in found.items() if d.ndim == 1 and d.dtype.kind == "f"}

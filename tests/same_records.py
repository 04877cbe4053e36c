"""What two runs of the same thing have in common: all of a record that is no time and no machine's mood."""

from harness.results.cells import npz_to_arrays

TIMES = (
    "id",
    "latency_ms",
    "paced_latency_ms",
    "delays_ms",
    "started_utc",
    "seconds",
    "fit_s",
    "pretrain_s",
    "adapt_s",
)
MOODS = ("audit", "tracks", "profile", "predictions_sha256", "energy_nj_per_bin", "memory_floor_ms")
"""Decided by times, among other things; the file of predictions holds the round trips."""


def lasting(record, store):
    """The record without times, with the answers themselves instead of their file's hash."""
    answers = npz_to_arrays(store.predictions(record))
    outputs = {name: values.tobytes() for name, values in answers.items() if name.endswith(("outputs", "draws"))}
    return _without(record.model_dump(mode="json")), outputs, sorted(record.audit)


def _without(content):
    if isinstance(content, dict):
        return {k: _without(v) for k, v in content.items() if k not in (*TIMES, *MOODS)}
    return [_without(one) for one in content if one is not None] if isinstance(content, list) else content

"""The files of one cell: what a decoder answered, its timing, and the scores against labels that only the judge has."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import numpy as np

from harness.data.protocol import ClassesAt
from harness.data.suites import Session, Suite
from harness.judge.cell import Tested
from harness.judge.passes import Passes
from harness.results import cells
from harness.results.environment import environment
from harness.score import stats, trials
from harness.score.metrics import Metric, metric
from harness.types import Recording


def cell_files(
    tested: Tested, part: Recording, *, suite: Suite, session: Session, seconds: float, artifact: str
) -> dict[str, bytes]:
    """The files of one cell: `cell.json` and `predictions.npz`.

    Args:
        tested: What the judge saw.
        part: The test recording with its labels, which no worker has.
        suite: Gives metrics.
        session: Which of its sessions this is.
        seconds: How long the test pass took.
        artifact: Hash of the artefact that was tested.
    """
    kept: dict[str, Any] = {
        "status": tested.status,
        "error": tested.error,
        "findings": {name: asdict(finding) for name, finding in tested.findings.items()},
        "fast": _passes(tested.fast),
        "paced": _passes(tested.paced),
        "operations": asdict(tested.operations),
        "packed_bytes": tested.packed_bytes,
        "isolation": tested.isolation,
        "seconds": seconds,
        "artifact": artifact,
        "started_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "session": part.session.id,
        "environment": environment(),
    }
    arrays = {name: passes.round_trip_ns for name, passes in _timed(tested).items() if passes}
    if tested.status == "ok":
        drawn = _draws(part, tested.outputs, metric(suite.metrics[0]))
        arrays |= {"outputs": tested.outputs, "draws": drawn.astype(np.float32)}
        kept |= _scores(part, tested.outputs, suite)
        at = suite.layouts[session.layout].targets[suite.task.target]
        if isinstance(at, ClassesAt):
            kept["trials"] = _trials(part, tested.outputs, at)
        span = stats.interval(drawn)
        kept["interval"] = {suite.metrics[0]: [span.low, span.high]} if math.isfinite(span.low) else {}
    return {"cell.json": json.dumps(kept, indent=1).encode(), "predictions.npz": cells.arrays_to_npz(arrays)}


def _timed(tested: Tested) -> dict[str, Passes[Any] | None]:
    return {"round_trip_ns": tested.fast, "paced_round_trip_ns": tested.paced}


def _passes(passes: Passes[Any] | None) -> dict[str, Any] | None:
    """What is kept of passes beside their round trips."""
    if passes is None:
        return None
    return {
        "n": len(passes.all),
        "spread": dict(passes.spread),
        "calibration": dict(passes.calibration),
        "noisy": passes.noisy,
        "why": passes.why,
    }


def _trials(part: Recording, outputs: np.ndarray, at: ClassesAt) -> dict[str, Any]:
    """As in `records.Trials`."""
    curve = trials.over_time(part, outputs, decision_s=at.decision_s)
    return {
        "classes": list(at.outputs),
        "confusion": trials.confusion(part, outputs).tolist(),
        "offset_s": curve.offset_s.round(6).tolist(),
        "balanced_accuracy": curve.balanced_accuracy.tolist(),
    }


def scores_of(part: Recording, outputs: np.ndarray, names: Sequence[str]) -> dict[str, float]:
    """Scores of answers on a recording's scored bins; those that are not defined are left out."""
    y_true, y_pred = part.targets[part.scored], outputs[part.scored]
    return _finite({name: metric(name)(y_true, y_pred) for name in names})


def _draws(part: Recording, outputs: np.ndarray, primary: Metric) -> np.ndarray:
    if part.session.kind == "classification":
        return stats.trial_draws(primary, part.targets[part.scored], outputs[part.scored])
    timeline = stats.Timeline(part.session.bin_s, starts=part.inputs.starts, scored=part.scored)
    return stats.draws(primary, part.targets, outputs, time=timeline)


def _scores(part: Recording, outputs: np.ndarray, suite: Suite) -> dict[str, Any]:
    """Scores on scored bins, and what decoders without knowledge would get."""
    y_true = part.targets[part.scored]
    primary = metric(suite.metrics[0])
    if primary.chance:
        floor = {"chance": primary.chance(y_true.shape[1])}
    else:
        floor = {"shifted_labels": primary(y_true, np.roll(y_true, len(y_true) // 2, axis=0))}
    return {"scores": scores_of(part, outputs, suite.metrics), "floor": _finite(floor), "n_scored_bins": len(y_true)}


def _finite(values: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in values.items() if math.isfinite(value)}

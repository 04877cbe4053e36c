"""What each evaluated decoder is put through beside the score: rules with numbers, written into its record."""

from dataclasses import dataclass

import numpy as np

from harness.judge.host import Worker
from harness.judge.stream import stream
from harness.types import Inputs, SessionInfo

EXCERPT_BINS = 400
TOLERANCE = 1e-6


@dataclass(frozen=True)
class Finding:
    """One rule's outcome; `max_difference`, where outputs are compared, in units of the excerpt's largest."""

    ok: bool
    why: str
    max_difference: float | None


def audit(worker: Worker, inputs: Inputs, session: SessionInfo, outputs: np.ndarray) -> dict[str, Finding]:
    """Stream the first bins again, after a reset, and once more with noise in place of their second half.

    Args:
        worker: The worker that has just streamed `inputs`.
        inputs: The test recording.
        session: Its session.
        outputs: (n_bins, n_outputs), what the first pass gave.

    Raises:
        WorkerFault: If the decoder, which has just answered the whole recording, fails now.
    """
    first = inputs.segments()[0]
    excerpt = inputs[first.start : min(first.stop, first.start + EXCERPT_BINS)]
    seen = outputs[first.start : first.start + len(excerpt)]
    again = stream(worker, excerpt, session).outputs
    half = max(1, len(excerpt) // 2)
    changed = stream(worker, _with_noise(excerpt, half), session).outputs
    return {
        "restart_changes_nothing": _compare(seen, again, "streamed again after a reset"),
        "future_has_no_effect": _compare(seen[:half], changed[:half], "with later bins replaced by noise"),
    }


def _with_noise(inputs: Inputs, start: int) -> Inputs:
    rng = np.random.default_rng(0)
    streams = {name: values.copy() for name, values in inputs.streams.items()}
    for values in streams.values():
        values[start:] = rng.permutation(values[start:].ravel()).reshape(values[start:].shape)
    return Inputs(streams, inputs.starts, inputs.bin_s)


def _compare(before: np.ndarray, after: np.ndarray, when: str) -> Finding:
    before, after = before.astype(np.float64), after.astype(np.float64)
    scale = float(np.abs(before).max()) or 1.0
    difference = np.abs(before - after).max(axis=1) / scale
    worst = float(difference.max())
    k = int(difference.argmax())
    why = "" if worst <= TOLERANCE else f"bin {k} differs by {worst:.3g} of the largest output, {when}"
    return Finding(worst <= TOLERANCE, why, worst)

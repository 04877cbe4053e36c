"""What each evaluated decoder is put through beside the score: rules with numbers, written into its record.

A function that returns a `Finding` is a rule; the rule's name in records is the key it is filed under.
"""

import math
import zlib
from dataclasses import dataclass

import numpy as np

from harness.data.causality import MANNERS, TOLERANCE, changed_after, difference
from harness.judge.host import Worker
from harness.judge.stream import Streamed, stream
from harness.score.metrics import Metric
from harness.types import Inputs, Recording

EXCERPT_BINS = 256
N_EXCERPTS = 3
N_SHIFTS = 200
CHANCE_MARGIN = 0.05
MEMORY_GROWTH_BYTES = 1 << 20
STEP_TIME_GROWTH = 2.0
STEP_TIME_SLACK_NS = 20_000
FEW_BINS = 400
IDLE_LIMIT_NS = 200_000
IDLE_SHARE = 0.1


@dataclass(frozen=True)
class Finding:
    """One rule's outcome; `max_difference`, where outputs are compared, in units of the largest of them."""

    ok: bool
    why: str
    max_difference: float | None = None


def audit(worker: Worker, part: Recording, outputs: np.ndarray, *, metric: Metric) -> dict[str, Finding]:
    """Stream excerpts and a noise session through the worker that has just streamed the test recording.

    Args:
        worker: The worker.
        part: The test recording; its labels stay here.
        outputs: (n_bins, n_outputs), what it answered.
        metric: The suite's first.

    Raises:
        WorkerFault: If the decoder, which has just answered the whole recording, fails now.
    """
    inputs = part.inputs
    rng = np.random.default_rng(zlib.crc32(b"".join(v[:EXCERPT_BINS].tobytes() for v in inputs.streams.values())))
    opening = inputs[: min(EXCERPT_BINS, len(inputs))]
    restart = [excerpt for _ in range(N_EXCERPTS) if len(excerpt := _excerpt(inputs, rng)) > 1]
    first = [stream(worker, excerpt, part.session).outputs for excerpt in restart]
    future = [_future(worker, e, seen, part, rng) for e, seen in zip(restart, first, strict=True)]
    noise = noise_session(inputs, rng)
    answered = stream(worker, noise, part.session).outputs
    again = [stream(worker, excerpt, part.session).outputs for excerpt in restart]
    once_more = stream(worker, opening, part.session).outputs
    pairs = [(outputs[: len(opening)], once_more), *zip(first, again, strict=True)]
    repeated = [same(before, after, "streamed again after other bins and a reset") for before, after in pairs]
    return {
        "restart_changes_nothing": worst(repeated),
        "future_has_no_effect": worst(future),
        "noise_session_gives_chance": chance(part, answered, metric=metric, rng=rng, of="a session of noise"),
    }


def _future(worker: Worker, excerpt: Inputs, seen: np.ndarray, part: Recording, rng: np.random.Generator) -> Finding:
    """Answers up to a random bin, with all bins after it replaced by noise, reversed and cut off."""
    k = int(rng.integers(1, len(excerpt)))
    found = []
    for manner in MANNERS:
        streams = {name: changed_after(values, k, manner, rng) for name, values in excerpt.streams.items()}
        changed = Inputs(streams, excerpt.starts[: len(next(iter(streams.values())))], excerpt.bin_s)
        outputs = stream(worker, changed, part.session).outputs
        found.append(same(seen[:k], outputs[:k], f"with the bins from {k} on {manner}"))
    return worst(found)


def same(before: np.ndarray, after: np.ndarray, when: str, *, allowed: float = TOLERANCE) -> Finding:
    """Two runs of answers to the same bins, (n_bins, n_outputs) each, that should be equal."""
    found = difference(before, after)
    ok = found.worst <= allowed
    why = f"bin {found.row} differs by {found.worst:.3g} of the largest output, {when} (allowed: {allowed:g})"
    return Finding(ok, "" if ok else why, found.worst)


def chance(part: Recording, outputs: np.ndarray, *, metric: Metric, rng: np.random.Generator, of: str) -> Finding:
    """Whether outputs that can know nothing score like it: no better than against labels shifted in time.

    The bound is the best of 200 scores against labels shifted by random amounts, and of the labels' own mean; plus 0.05.
    """
    y_true, y_pred = part.targets[part.scored], outputs[part.scored]
    n = len(y_true)
    if n < 3:
        return Finding(True, f"{n} scored bins: too few to tell")
    sign = 1 if metric.higher_is_better else -1
    shifts = rng.integers(n // 10 + 1, n - n // 10, size=N_SHIFTS)
    scores = [sign * metric(np.roll(y_true, s, axis=0), y_pred) for s in shifts]
    scores.append(sign * metric(y_true, np.broadcast_to(y_true.mean(axis=0), y_true.shape)))
    defined = [s for s in scores if math.isfinite(s)]
    if not defined:
        return Finding(True, f"{metric.name} is not defined for {of}")
    bound, score = max(defined) + CHANCE_MARGIN, sign * metric(y_true, y_pred)
    # Not a number, for constant answers: no score at all.
    ok = not score > bound
    return Finding(ok, "" if ok else f"{of} scores {sign * score:.3g}; chance reaches {sign * bound:.3g}")


def noise_session(inputs: Inputs, rng: np.random.Generator) -> Inputs:
    """The same values in each channel, in random order in time: nothing can be decoded from them."""
    streams = {name: _shuffled(values, rng) for name, values in inputs.streams.items()}
    return Inputs(streams, inputs.starts, inputs.bin_s)


def memory_is_bounded(looks: list[int | None]) -> Finding:
    """Memory of the worker after each quarter of the stream, in bytes: the most of later ones against the first."""
    known = [n for n in looks if n is not None]
    if len(known) < 2:
        return Finding(True, "the kernel does not tell a process's memory here")
    growth = max(known[1:]) - known[0]
    why = f"grew by {growth / 2**20:.1f} MiB after the first quarter; {MEMORY_GROWTH_BYTES / 2**20:g} MiB are allowed"
    return Finding(growth <= MEMORY_GROWTH_BYTES, "" if growth <= MEMORY_GROWTH_BYTES else why)


def step_time_is_steady(streamed: Streamed) -> Finding:
    """Round trips of the last quarter against the first: their fast tenth, which other work on the machine spares."""
    ns = streamed.round_trip_ns
    if len(ns) < FEW_BINS:
        return Finding(True, f"{len(ns)} bins: too few to tell")
    early, late = (float(np.percentile(part, 10)) for part in (ns[: len(ns) // 4], ns[-len(ns) // 4 :]))
    ok = late <= STEP_TIME_GROWTH * early + STEP_TIME_SLACK_NS
    return Finding(ok, "" if ok else f"a step took {early / 1e3:.0f} us at first and {late / 1e3:.0f} us at the end")


def rests_between_bins(idle_ns: np.ndarray, round_trip_ns: np.ndarray) -> Finding:
    """Processor time between an answer and the next bin of a paced pass: work there would be hidden from the clock."""
    if not idle_ns.size:
        return Finding(True, "the kernel does not tell a process's processor time here")
    idle, limit = float(np.median(idle_ns)), IDLE_LIMIT_NS + IDLE_SHARE * float(np.median(round_trip_ns))
    ok = idle <= limit
    why = f"used {idle / 1e3:.0f} us of processor time between bins; {limit / 1e3:.0f} us are allowed"
    return Finding(ok, "" if ok else why)


def worst(findings: list[Finding]) -> Finding:
    """The first that fails, else the one with the largest difference; fine if there is none."""
    failed = [f for f in findings if not f.ok]
    ranked = failed or sorted(findings, key=lambda f: f.max_difference or 0.0)
    return ranked[0] if failed else ranked[-1] if ranked else Finding(True, "the recording is too short")


def _excerpt(inputs: Inputs, rng: np.random.Generator) -> Inputs:
    """Some bins from a random one on, at most to the end of its segment."""
    start = int(rng.integers(0, max(1, len(inputs) - 2)))
    stop = min(next(s.stop for s in inputs.segments() if s.stop > start), start + EXCERPT_BINS)
    return inputs[start:stop]


def _shuffled(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Each channel of (n_bins, ..., n_channels) in an order of its own; the samples of a bin stay together."""
    shuffled = np.empty_like(values)
    for channel in range(values.shape[-1]):
        shuffled[..., channel] = values[rng.permutation(len(values)), ..., channel]
    return shuffled

"""What each evaluated decoder is put through beside the score: rules with numbers, written into its record.

A function that returns a `Finding` is a rule; the rule's name in records is the key it is filed under.
"""

import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from harness.data.causality import MANNERS, TOLERANCE, Manner, changed_after, difference
from harness.judge.chance import chance
from harness.judge.finding import Finding, worst
from harness.judge.host import Worker
from harness.judge.resources import Memory
from harness.judge.stream import stream
from harness.score.metrics import Metric
from harness.types import Delay, Inputs, Recording

EXCERPT_BINS = 256
N_EXCERPTS = 3
LONGEST_REPLAY = 20_000
MEMORY_GROWTH_BYTES = 1 << 20
STEP_TIME_GROWTH = 2.0
STEP_TIME_SLACK_NS = 20_000
FEW_BINS = 400
RESTS_S = (0.0, 0.5, 2.0)
IDLE_LIMIT_NS = 200_000
IDLE_SHARE = 0.1


@dataclass(frozen=True)
class Judged:
    """The scored pass, against which later ones are held.

    part: The test recording; its labels stay in this process.
    outputs: (n_bins, n_outputs), what was answered.
    delay: Which bin an answer is about.
    """

    part: Recording
    outputs: np.ndarray
    delay: Delay = field(default_factory=Delay)

    @functools.cached_property
    def scale(self) -> float:
        """What a difference is measured in: the upper quartile of scored bins' largest outputs."""
        largest = np.abs(self.outputs[self.part.scored]).max(axis=1, initial=0.0).astype(np.float64)
        positive = largest[largest > 0]
        return float(np.percentile(positive, 75)) if positive.size else 1.0

    def same(self, before: np.ndarray, after: np.ndarray, when: str, *, allowed: float = TOLERANCE) -> Finding:
        """Two runs of answers to the same bins, (n_bins, n_outputs) each, that should be equal."""
        return same(before, after, when, scale=self.scale, allowed=allowed)

    def replay(self, worker: Worker, bins: slice, when: str) -> Finding:
        """Stream some bins, which begin where the judged pass had a reset, once more."""
        outputs = stream(worker, self.part.inputs[bins], self.part.session).outputs
        return self.same(self.outputs[bins], outputs, f"{when}, from bin {bins.start} on")


def audit(worker: Worker, judged: Judged, *, metric: Metric) -> dict[str, Finding]:
    """Stream parts of the recording, and a session of noise, through the worker that has just been judged.

    Places are drawn anew each time: a decoder can read this source, and must not know where it is looked at.

    Args:
        worker: The worker.
        judged: What it answered.
        metric: The suite's first.

    Raises:
        WorkerFault: If the decoder, which has just answered the whole recording, fails now.
    """
    part, rng = judged.part, np.random.default_rng()
    excerpts = [_excerpt(part.inputs, rng) for _ in range(N_EXCERPTS)]
    first = [stream(worker, excerpt, part.session).outputs for excerpt in excerpts]
    future = [_future(worker, e, seen, judged, rng) for e, seen in zip(excerpts, first, strict=True)]
    noise = _noise(worker, judged, metric, rng)
    again = [stream(worker, excerpt, part.session).outputs for excerpt in excerpts]
    repeated = [judged.same(a, b, "streamed again after a reset") for a, b in zip(first, again, strict=True)]
    repeated += [judged.replay(worker, bins, "streamed again after a reset") for bins in replays(part.inputs, rng)]
    return {
        "restart_changes_nothing": worst(repeated),
        "future_has_no_effect": worst(future),
        "noise_session_gives_chance": noise,
    }


def replays(inputs: Inputs, rng: np.random.Generator) -> list[slice]:
    """Where the judged pass is looked at again: the openings of some segments, and a whole one, drawn by its length."""
    segments = inputs.segments()
    chosen = [segments[i] for i in {0, len(segments) - 1, *rng.integers(len(segments), size=2).tolist()}]
    openings = [slice(s.start, min(s.stop, s.start + EXCERPT_BINS)) for s in chosen]
    somewhere = int(rng.integers(len(inputs)))
    whole = next(s for s in reversed(segments) if s.start <= somewhere)
    return [*openings, slice(whole.start, min(whole.stop, whole.start + LONGEST_REPLAY))]


def _future(worker: Worker, excerpt: Inputs, seen: np.ndarray, judged: Judged, rng: np.random.Generator) -> Finding:
    """Answers up to a random bin, with all bins after it shuffled in time, reversed and cut off."""
    k = int(rng.integers(1, max(2, len(excerpt))))
    found = []
    for manner in MANNERS:
        changed = _with_other_future(excerpt, k, manner, rng)
        outputs = stream(worker, changed, judged.part.session).outputs
        found.append(judged.same(seen[:k], outputs[:k], f"with the bins from {k} on {manner}"))
    return worst(found)


def _with_other_future(inputs: Inputs, k: int, manner: Manner, rng: np.random.Generator) -> Inputs:
    """Values that the channel has had: a decoder may rely on that."""
    if manner == "noise":
        later = noise_session(inputs[k:], rng).streams
        streams = {name: np.concatenate([v[:k], later[name]]) for name, v in inputs.streams.items()}
    else:
        streams = {name: changed_after(values, k, manner, rng) for name, values in inputs.streams.items()}
    return Inputs(streams, inputs.starts[: k if manner == "cut" else None], inputs.bin_s)


def _noise(worker: Worker, judged: Judged, metric: Metric, rng: np.random.Generator) -> Finding:
    """A session of noise must give chance; who fails is given another one, since luck does not strike twice."""
    finding = Finding(True, "")
    for _ in range(2):
        answers = stream(worker, noise_session(judged.part.inputs, rng), judged.part.session).outputs
        outputs = judged.delay.aligned(answers, judged.part.inputs)
        finding = chance(judged.part, outputs, metric=metric, rng=rng, of="a session of noise")
        if finding.ok:
            break
    return finding


def same(before: np.ndarray, after: np.ndarray, when: str, *, scale: float, allowed: float = TOLERANCE) -> Finding:
    """Two runs of answers to the same bins, (n_bins, n_outputs) each, that should be equal."""
    found = difference(before, after, scale=scale)
    ok = found.worst <= allowed
    why = f"bin {found.row} differs by {found.worst:.3g} of the outputs' size, {when} (allowed: {allowed:g})"
    return Finding(ok, "" if ok else why, found.worst)


def noise_session(inputs: Inputs, rng: np.random.Generator) -> Inputs:
    """The same values in each channel, in random order in time: nothing can be decoded from them."""
    streams = {name: _shuffled(values, rng) for name, values in inputs.streams.items()}
    return Inputs(streams, inputs.starts, inputs.bin_s)


def memory_is_bounded(looks: Sequence[Memory | None]) -> Finding:
    """Memory of the worker after each quarter of the stream: the most of later ones against the first.

    Address space must have grown too: the pages of a buffer that was there from the beginning are touched one by one.
    """
    known = [memory for memory in looks if memory is not None]
    if len(known) < 2:
        return Finding(True, "the kernel does not tell a process's memory here")
    used, reserved = (
        max(getattr(m, name) for m in known[1:]) - getattr(known[0], name) for name in ("used_bytes", "reserved_bytes")
    )
    growth = min(used, reserved)
    why = f"grew by {growth / 2**20:.1f} MiB after the first quarter; {MEMORY_GROWTH_BYTES / 2**20:g} MiB are allowed"
    return Finding(growth <= MEMORY_GROWTH_BYTES, "" if growth <= MEMORY_GROWTH_BYTES else why)


def step_time_is_steady(round_trip_ns: np.ndarray, again: Callable[[], np.ndarray]) -> Finding:
    """Round trips of the last quarter against the first: their fast tenth and their median.

    Args:
        round_trip_ns: (n_bins,) of the scored pass.
        again: Makes another pass. It is asked for if this one slowed down, which a busy machine can do too: a decoder
            is at fault only if the ends of three more passes, two of them after a rest, are all slow as well.
    """
    n = len(round_trip_ns)
    if n < FEW_BINS:
        return Finding(True, f"{n} bins: too few to tell")
    early = round_trip_ns[: n // 4]
    why = _slower(early, round_trip_ns[-n // 4 :])
    for rest_s in RESTS_S:
        if not why:
            break
        time.sleep(rest_s)
        why = _slower(early, again()[-n // 4 :])
    return Finding(not why, why)


def _slower(early_ns: np.ndarray, late_ns: np.ndarray) -> str:
    for percent in (10, 50):
        early, late = (float(np.percentile(part, percent)) for part in (early_ns, late_ns))
        if late > STEP_TIME_GROWTH * early + STEP_TIME_SLACK_NS:
            return f"a step took {early / 1e3:.0f} us at first and {late / 1e3:.0f} us at the end"
    return ""


def rests_between_bins(idle_ns: np.ndarray, round_trip_ns: np.ndarray) -> Finding:
    """Processor time between an answer and the next bin of a paced pass: work there would be hidden from the clock."""
    if not idle_ns.size:
        return Finding(True, "too few bins, or the kernel does not tell a process's processor time here")
    idle, limit = float(np.mean(idle_ns)), IDLE_LIMIT_NS + IDLE_SHARE * float(np.median(round_trip_ns))
    why = f"used {idle / 1e3:.0f} us of processor time between bins; {limit / 1e3:.0f} us are allowed"
    return Finding(idle <= limit, "" if idle <= limit else why)


def _excerpt(inputs: Inputs, rng: np.random.Generator) -> Inputs:
    """Some bins from a random one on, with the resets among them."""
    start = int(rng.integers(0, max(1, len(inputs) - 1)))
    return inputs[start : start + EXCERPT_BINS]


def _shuffled(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Each channel of (n_bins, ..., n_channels) in an order of its own; the samples of a bin stay together."""
    shuffled = np.empty_like(values)
    for channel in range(values.shape[-1]):
        shuffled[..., channel] = values[rng.permutation(len(values)), ..., channel]
    return shuffled

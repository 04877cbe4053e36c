"""One cell: fit a decoder in one worker, judge what it learned in others. Knows no store."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from harness.data.causality import CLOSE
from harness.errors import UsageError
from harness.judge import artifact, audit, sandbox
from harness.judge.audit import Judged
from harness.judge.chance import chance
from harness.judge.finding import Finding, worst
from harness.judge.hardware import pinned
from harness.judge.host import Worker
from harness.judge.notes import Notes
from harness.judge.paced import Paced, paced
from harness.judge.passes import Passes, Whole, in_phase, repeated, whole
from harness.judge.profiles import Profile
from harness.judge.replies import WorkerFault
from harness.judge.turn import Turn, machine
from harness.registry import DecoderRef
from harness.score.cost import UNKNOWN, Operations, WrongDeclaration, operations_from, packed_bytes
from harness.score.metrics import Metric
from harness.types import Delay, Recording, SessionInfo


@dataclass(frozen=True)
class Candidate:
    """A decoder with its hyper-parameters, to be run on a profile."""

    ref: DecoderRef
    settings: Mapping[str, Any]
    causal: bool
    profile: Profile


@dataclass(frozen=True)
class Lesson:
    """One stage of learning.

    parts: The recordings that `harness.judge.worker.STAGES` names for it.
    """

    stage: Literal["pretrain", "fit", "adapt"]
    parts: Mapping[str, Sequence[Recording]]

    @property
    def sessions(self) -> list[SessionInfo]:
        """Those of its first part, without repeats."""
        return list({r.session.id: r.session for r in next(iter(self.parts.values()))}.values())


@dataclass(frozen=True)
class Fitted:
    """What a stage of learning left: the artefact, or why there is none; and the sessions that it was learned from."""

    status: str
    error: str | None
    artifact: bytes
    fit_s: float
    sessions: Sequence[SessionInfo] = ()


@dataclass(frozen=True)
class Asked:
    """What is asked of a test beside the outputs.

    metric: The suite's first; labels are compared in this process only.
    paced: Whether the recording is also streamed in real time, in a second process.
    delay: Which bin an answer is about.
    """

    metric: Metric
    paced: bool = False
    delay: Delay = field(default_factory=Delay)


@dataclass(frozen=True)
class Tested:
    """What the test left.

    outputs: (n_bins, n_outputs) float32; empty when the status is not `ok`.
    fast: Passes as fast as bins are answered, the first of them scored; None for a decoder that looks ahead.
    paced: Passes in real time over the beginning; None if none was asked for.
    packed_bytes: Footprint with the widths that the decoder declares; None if it declares none.
    """

    status: str
    error: str | None
    outputs: np.ndarray
    isolation: str
    findings: Mapping[str, Finding] = field(default_factory=dict)
    fast: Passes[Whole] | None = None
    paced: Passes[Paced] | None = None
    operations: Operations = UNKNOWN
    packed_bytes: int | None = None


def learn(candidate: Candidate, lesson: Lesson, *, after: Fitted | None = None, notes: Notes | None = None) -> Fitted:
    """Go through a stage of learning in a worker of its own; a decoder's failure is a status.

    Args:
        candidate: The decoder.
        lesson: What it is given.
        after: What an earlier stage left, which is restored first.
        notes: Where it may note how far it is.
    """
    if after and after.status != "ok":
        return replace(after, fit_s=0.0)
    started = time.perf_counter()
    try:
        with _worker(candidate, fitting=True) as worker:
            if after:
                worker.restore(after.artifact, after.sessions)
            started = time.perf_counter()
            content = worker.learn(lesson.stage, lesson.parts, notes)
    except WorkerFault as fault:
        return Fitted(fault.status, f"{lesson.stage}: {fault}", b"", time.perf_counter() - started)
    earlier = after.sessions if after and lesson.stage == "adapt" else ()
    return Fitted("ok", None, content, time.perf_counter() - started, [*lesson.sessions, *earlier])


def fit(candidate: Candidate, train: Sequence[Recording], validation: Sequence[Recording]) -> Fitted:
    """The stage that every decoder has."""
    return learn(candidate, Lesson("fit", {"train": train, "validation": validation}))


def test(candidate: Candidate, fitted: Fitted, part: Recording, asked: Asked, *, turn: Turn | None = None) -> Tested:
    """Restore the artefact in a fresh worker, stream the test recording, audit and count.

    What is timed is timed alone, calibrated, and on the profile's cores.

    Args:
        candidate: The decoder.
        fitted: What it learned.
        part: The test recording.
        asked: What else is asked.
        turn: On this machine, if that is taken already.
    """
    nothing = Tested("ok", None, np.empty((0, len(part.session.outputs)), np.float32), sandbox.isolation())
    if fitted.status != "ok":
        return replace(nothing, status=fitted.status, error=fitted.error)
    with nullcontext(turn) if turn else machine() as mine:
        run = _Run(candidate, fitted, part, asked, mine)
        try:
            with run.at_home():
                return replace(nothing, **(run.streamed() if candidate.causal else run.predicted()))
        except WorkerFault as fault:
            return replace(nothing, status=fault.status, error=str(fault), findings=run.findings, fast=run.fast)


def same_fit(candidate: Candidate, fitted: Fitted, again: Fitted, part: Recording, _: Asked) -> Finding:
    """The rule `same_seed_gives_same_outputs`: a second fit with the same seed answers the same, within 1e-4."""
    before, after = (_answers(candidate, one, part) for one in (fitted, again))
    return Judged(part, before).same(before, after, "after a second fit with the same seed", allowed=CLOSE)


def blind_fit(candidate: Candidate, _: Fitted, blind: Fitted, part: Recording, asked: Asked) -> Finding:
    """The rule `shuffled_labels_give_chance`: fitted on `blinded` recordings, it must not know the test's labels."""
    outputs = asked.delay.aligned(_answers(candidate, blind, part), part.inputs)
    rng = np.random.default_rng(len(part))
    return chance(part, outputs, metric=asked.metric, rng=rng, of="a fit on shuffled labels")


def _answers(candidate: Candidate, fitted: Fitted, part: Recording) -> np.ndarray:
    if fitted.status != "ok":
        raise WorkerFault(fitted.status, fitted.error or "")
    with _restored(candidate, fitted) as worker:
        if not candidate.causal:
            return worker.predict(part.inputs, part.session)
        return whole(worker, part).streamed.outputs


class _Run:
    """One test and what it has gathered so far."""

    def __init__(self, candidate: Candidate, fitted: Fitted, part: Recording, asked: Asked, turn: Turn) -> None:
        self.candidate, self.fitted, self.part, self.asked, self.turn = candidate, fitted, part, asked, turn
        self.findings: dict[str, Finding] = {}
        self.fast: Passes[Whole] | None = None

    def predicted(self) -> dict[str, Any]:
        """Of a decoder that looks ahead: its outputs, never timed."""
        with self._worker() as worker:
            return {"outputs": worker.predict(self.part.inputs, self.part.session)}

    def streamed(self) -> dict[str, Any]:
        part, repeats = self.part, self.candidate.profile.timing.repeats
        with self._worker() as worker:
            with self._timed(worker):
                fast = repeated(lambda: whole(worker, part), lambda one: one.streamed.round_trip_ns, most=repeats)
            first, self.fast = fast.all[0], fast
            judged = Judged(part, first.streamed.outputs, self.asked.delay)
            self.findings["memory_is_bounded"] = audit.memory_is_bounded(first.memory)
            self.findings["step_time_is_steady"] = audit.step_time_is_steady(
                first.streamed.round_trip_ns, lambda: self._timed_again(worker)
            )
            self.findings |= in_phase("audit", lambda: audit.audit(worker, judged, metric=self.asked.metric))
            counted = self._count(worker, judged)
        pace = self._paced(judged) if self.asked.paced else None
        return {"outputs": judged.outputs, "fast": fast, "paced": pace, "findings": self.findings, **counted}

    def _count(self, worker: Worker, judged: Judged) -> dict[str, Any]:
        """Operations, and what the decoder declares of itself, held against what it learned.

        A decoder that fails here has been judged: its score stands, and its operations are unknown.
        """
        excerpt = self.part.inputs[: min(audit.EXCERPT_BINS, len(self.part))]
        try:
            told = worker.count(self.fitted.artifact, self.fitted.sessions, excerpt, self.part.session)
        except WorkerFault as fault:
            return {"operations": Operations("unknown", f"counting failed: {fault}")}
        self.findings["counted_as_judged"] = judged.same(
            judged.outputs[: len(excerpt)], told.outputs, "while operations are counted", allowed=CLOSE
        )
        try:
            operations, bits = operations_from(told.operations)
            packed = packed_bytes(artifact.unpack(self.fitted.artifact), bits) if bits else None
        except WrongDeclaration as error:
            self.findings["declaration_holds"] = Finding(False, str(error))
            return {"operations": Operations("unknown", str(error))}
        self.findings["declaration_holds"] = Finding(True, "")
        return {"operations": operations, "packed_bytes": packed}

    def _paced(self, judged: Judged) -> Passes[Paced]:
        timing, part = self.candidate.profile.timing, self.part
        excerpt = part.inputs[: max(2, min(len(part), round(timing.paced_s / part.session.bin_s)))]
        with self._worker() as worker:
            with self._timed(worker):
                found = in_phase(
                    "paced pass",
                    lambda: repeated(
                        lambda: paced(worker, excerpt, part.session),
                        lambda one: one.streamed.round_trip_ns,
                        most=timing.repeats,
                    ),
                )
            places = audit.replays(part.inputs, np.random.default_rng())
            again = in_phase("paced pass", lambda: [judged.replay(worker, p, "in a second process") for p in places])
        first = found.all[0]
        pace = judged.same(judged.outputs[: len(excerpt)], first.streamed.outputs, "in a second process, paced")
        self.findings["same_in_two_processes"] = worst([pace, *again])
        self.findings["rests_between_bins"] = audit.rests_between_bins(first.idle_ns, found.round_trip_ns)
        return found

    def at_home(self) -> AbstractContextManager[None]:
        """Where the rest is done: on one core too, but one of its own."""
        return pinned(None, among=self.turn.home if self.candidate.profile.n_cores == 1 else self.turn.cores)

    @contextmanager
    def _timed(self, worker: Worker) -> Iterator[None]:
        """What is done in here is timed."""
        with self.turn.alone(), pinned(self.candidate.profile.n_cores, among=self.turn.cores, worker=worker.resources):
            yield

    def _timed_again(self, worker: Worker) -> np.ndarray:
        with self._timed(worker):
            return whole(worker, self.part).streamed.round_trip_ns

    @contextmanager
    def _worker(self) -> Iterator[Worker]:
        with _restored(self.candidate, self.fitted) as worker:
            worker.before_stream = self.turn.give_way
            yield worker


@contextmanager
def _restored(candidate: Candidate, fitted: Fitted) -> Iterator[Worker]:
    """A fresh worker that has restored an artefact."""
    with _worker(candidate) as worker:
        worker.restore(fitted.artifact, fitted.sessions)
        yield worker


@contextmanager
def _worker(candidate: Candidate, *, fitting: bool = False) -> Iterator[Worker]:
    """A fresh worker; settings that it refuses were its own when it was described, so that is no user's mistake."""
    worker = Worker(candidate.ref, candidate.settings, candidate.profile, fitting=fitting)
    try:
        worker.__enter__()
    except UsageError as error:
        raise WorkerFault("failed", f"UsageError: {error}") from None
    try:
        yield worker
    finally:
        worker.end()

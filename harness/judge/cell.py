"""One cell: fit a decoder in one worker, stream the test recording through another. Knows no store."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.judge import sandbox
from harness.judge.audit import Finding, audit
from harness.judge.hardware import calibrate, noisy, pinned
from harness.judge.host import Worker, WorkerFault
from harness.judge.profiles import Profile
from harness.judge.stream import Streamed, stream
from harness.registry import DecoderRef
from harness.types import Inputs, Recording, SessionInfo


@dataclass(frozen=True)
class Candidate:
    """A decoder with its hyper-parameters, to be run on a profile."""

    ref: DecoderRef
    settings: Mapping[str, Any]
    causal: bool
    profile: Profile


@dataclass(frozen=True)
class Fitted:
    """What fitting left: the artefact, or why there is none; and the sessions that were fitted on."""

    status: str
    error: str | None
    artifact: bytes
    fit_s: float
    sessions: Sequence[SessionInfo] = ()


@dataclass(frozen=True)
class Tested:
    """What the test pass left.

    outputs: (n_bins, n_outputs) float32; empty when the status is not `ok`.
    round_trip_ns: (n_bins,) int64; empty for a decoder that looks ahead.
    calibration: Kernel times in ms, `before.` and `after.` the pass.
    """

    status: str
    error: str | None
    outputs: np.ndarray
    round_trip_ns: np.ndarray
    findings: Mapping[str, Finding]
    calibration: Mapping[str, float]
    noisy: bool
    isolation: str


def fit(candidate: Candidate, train: Sequence[Recording], validation: Sequence[Recording]) -> Fitted:
    """Fit in a worker of its own; a decoder's failure is a status."""
    started = time.perf_counter()
    try:
        with Worker(candidate.ref, candidate.settings, candidate.profile, fitting=True) as worker:
            started = time.perf_counter()
            content = worker.fit(train, validation)
    except WorkerFault as fault:
        return Fitted(fault.status, f"fit: {fault}", b"", time.perf_counter() - started)
    return Fitted("ok", None, content, time.perf_counter() - started, [r.session for r in train])


def test(candidate: Candidate, fitted: Fitted, inputs: Inputs, session: SessionInfo) -> Tested:
    """Restore the artefact in a fresh worker and stream the test recording, pinned and calibrated."""
    run = _Run(candidate, fitted, inputs, session)
    if fitted.status != "ok":
        return run.result(status=fitted.status, error=fitted.error)
    with pinned(candidate.profile.n_cores):
        before = calibrate()
        error: WorkerFault | None = None
        try:
            run.go()
        except WorkerFault as fault:
            error = fault
        after = calibrate()
    run.calibration = {f"before.{k}": v for k, v in before.items()} | {f"after.{k}": v for k, v in after.items()}
    run.noisy = noisy(before, after)
    return run.result(status=error.status if error else "ok", error=str(error) if error else None)


class _Run:
    """One test pass and what it has gathered so far."""

    def __init__(self, candidate: Candidate, fitted: Fitted, inputs: Inputs, session: SessionInfo) -> None:
        self.candidate, self.fitted, self.inputs, self.session = candidate, fitted, inputs, session
        self.streamed = Streamed(np.empty((0, len(session.outputs)), np.float32), np.empty(0, np.int64))
        self.findings: dict[str, Finding] = {}
        self.isolation = sandbox.isolation()
        self.calibration: dict[str, float] = {}
        self.noisy = False

    def go(self) -> None:
        c = self.candidate
        with Worker(c.ref, c.settings, c.profile) as worker:
            worker.restore(self.fitted.artifact, self.fitted.sessions)
            if not c.causal:
                outputs = worker.predict(self.inputs, self.session)
                self.streamed = Streamed(outputs, np.empty(0, np.int64))
                return
            streamed = stream(worker, self.inputs, self.session)
            try:
                self.findings = audit(worker, self.inputs, self.session, streamed.outputs)
            except WorkerFault as fault:
                raise WorkerFault(fault.status, f"audit: {fault}") from None
            self.streamed = streamed

    def result(self, *, status: str, error: str | None) -> Tested:
        return Tested(
            status=status,
            error=error,
            outputs=self.streamed.outputs,
            round_trip_ns=self.streamed.round_trip_ns,
            findings=self.findings,
            calibration=self.calibration,
            noisy=self.noisy,
            isolation=self.isolation,
        )

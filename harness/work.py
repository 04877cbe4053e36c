"""The work of an evaluation: fits and tests, each of which is done once and then lies in the store."""

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from filelock import FileLock

from harness.data.identity import content_id
from harness.data.prepare import look_ahead, prepare
from harness.data.split import Parts, find_leaks
from harness.data.suites import Session, Split, Suite
from harness.judge import cell as judge
from harness.judge.budget import Track, shipped_tracks
from harness.judge.finding import Finding
from harness.judge.profiles import Profile
from harness.judge.replies import WorkerFault
from harness.registry import DecoderRef
from harness.results import cells
from harness.results.assemble import Run
from harness.results.records import canonical, sha256
from harness.results.scored import cell_files
from harness.results.store import Store, write_whole
from harness.score.metrics import metric
from harness.types import Recording

Rerun = Literal["nothing", "failed", "all"]
Audit = Literal["standard", "full"]
Purpose = Literal["score", "again", "blind"]
"""What a fit is for: to be scored; to learn the same again from the same seed; to learn nothing from wrong labels."""


@dataclass(frozen=True)
class Plan:
    """What is to be evaluated.

    files: session id -> NWB file, for every session of the tier.
    settings: Hyper-parameters from the command line, given to every decoder.
    seeds: Overrides the suite's seeds for stochastic decoders.
    rerun: Which finished work to run again all the same.
    audit: `full` also fits every decoder again, and once more on labels of other times.
    tracks: Which budgets each run is compared with.
    """

    suite: Suite
    tier: str
    files: Mapping[str, Path]
    decoders: Sequence[DecoderRef]
    profile: Profile
    store: Store
    settings: Mapping[str, Any] = field(default_factory=dict)
    seeds: Sequence[int] = ()
    n_workers: int = 1
    rerun: Rerun = "nothing"
    audit: Audit = "standard"
    tracks: Sequence[Track] = field(default_factory=shipped_tracks)


class Recordings:
    """Prepared sessions, the last few kept in memory."""

    KEPT = 4

    def __init__(self, plan: Plan) -> None:
        self._plan, self._kept, self._lock = plan, OrderedDict[str, Parts](), threading.Lock()

    def __call__(self, session: Session, streams: Sequence[str]) -> Parts:
        with self._lock:
            if session.id not in self._kept:
                self._kept[session.id] = prepare(self._plan.suite, session, self._plan.files[session.id])
            self._kept.move_to_end(session.id)
            while len(self._kept) > self.KEPT:
                self._kept.popitem(last=False)
            parts = self._kept[session.id]
        train, validation, test = (p.with_streams(streams) for p in (parts.train, parts.validation, parts.test))
        return replace(parts, train=train, validation=validation, test=test)


class Fit:
    """One fit that is, or will be, in the store."""

    def __init__(
        self,
        plan: Plan,
        run: Run,
        sessions: tuple[Session, ...],
        recordings: Recordings,
        *,
        purpose: Purpose = "score",
    ) -> None:
        self.plan, self.run, self.sessions, self.recordings, self.purpose = plan, run, sessions, recordings, purpose
        data = [content_id(s, plan.files[s.id]) for s in sessions]
        rules = [plan.suite.protocol_sha256(s) for s in sessions]
        profile = plan.profile.model_dump(mode="json")
        self.key = cells.key(run=run.identity(), data=data, rules=rules, profile=profile, purpose=purpose)
        self.folder = plan.store.root / "fits" / self.key[:2] / self.key

    def do(self) -> str:
        with _lock(self.plan.store, self.key):
            if _is_due(self.plan, self.folder / "fit.json"):
                self._fit()
        return f"fit {self.run.ref.name} on {', '.join(s.id for s in self.sessions)}"

    def _fit(self) -> None:
        fault = self.run.fault
        if fault:
            fitted = judge.Fitted(fault.status, str(fault), b"", 0.0)
        else:
            parts = [self.recordings(s, self.run.inputs) for s in self.sessions]
            train, validation = [p.train for p in parts], [p.validation for p in parts]
            if self.purpose == "blind":
                train, validation = list(map(blinded, train)), list(map(blinded, validation))
            fitted = judge.fit(self.candidate(), train, validation)
        kept = {
            "status": fitted.status,
            "error": fitted.error,
            "fit_s": fitted.fit_s,
            "artifact": sha256(fitted.artifact),
        }
        files = {"fit.json": canonical(kept), "artifact.safetensors": fitted.artifact}
        cells.write_folder(self.folder, files)

    def candidate(self) -> judge.Candidate:
        return judge.Candidate(self.run.ref, self.run.parameters, self.run.causal, self.plan.profile)

    def read(self) -> judge.Fitted:
        """What the store holds of it; not kept here, for all artefacts of a run together may be large."""
        kept = cells.read_json(self.folder / "fit.json")
        content = (self.folder / "artifact.safetensors").read_bytes()
        fitted_on = [self.recordings(s, self.run.inputs).train.session for s in self.sessions]
        return judge.Fitted(kept["status"], kept["error"], content, kept["fit_s"], fitted_on)

    @property
    def outcome(self) -> str:
        """Hash of what was learned: a test pass belongs to it."""
        return str(cells.read_json(self.folder / "fit.json")["artifact"])


class Test:
    """One cell that is, or will be, in the store.

    extra: The fits of a full audit beside the scored one, by purpose; empty for the standard audit.
    paced: Whether this recording is streamed in real time too.
    """

    def __init__(self, fit: Fit, session: Session, *, extra: Mapping[Purpose, Fit], paced: bool) -> None:
        self.plan, self.fit, self.session, self.extra, self.paced = fit.plan, fit, session, extra, paced
        self.data = content_id(session, self.plan.files[session.id])
        asked = {"paced": paced, "audit": sorted(extra)}
        self.key = cells.key(fit=fit.key, session=session.id, data=self.data, asked=asked)

    def do(self) -> str:
        with _lock(self.plan.store, self.key):
            if self._is_due():
                self._test()
        return f"stream {self.session.id} through {self.fit.run.ref.name}"

    def _is_due(self) -> bool:
        """Not run yet, wanted again, or run with what an earlier fit had learned."""
        outcome = self.plan.store.cell(self.key) / "cell.json"
        return _is_due(self.plan, outcome) or cells.read_json(outcome)["artifact"] != self.fit.outcome

    def _test(self) -> None:
        fit, suite = self.fit, self.plan.suite
        parts = fit.recordings(self.session, fit.run.inputs)
        part, rule = parts.test, suite.splits[self.session.split]
        started = time.perf_counter()
        asked = judge.Asked(metric(suite.metrics[0]), paced=self.paced)
        tested = judge.test(fit.candidate(), fit.read(), part, asked)
        more = {"parts_are_apart": _apart(parts, rule), "preparation_is_causal": self._prepared()}
        if tested.status == "ok":
            more |= self._fitted_again(part, asked)
        tested = replace(tested, findings={**tested.findings, **more})
        seconds = time.perf_counter() - started
        files = cell_files(tested, part, suite=suite, seconds=seconds, artifact=fit.outcome)
        cells.write_folder(self.plan.store.cell(self.key), files)

    def _fitted_again(self, part: Recording, asked: judge.Asked) -> dict[str, Finding]:
        """What a full audit adds."""
        rules = {
            "again": ("same_seed_gives_same_outputs", judge.same_fit),
            "blind": ("shuffled_labels_give_chance", judge.blind_fit),
        }
        found = {}
        for purpose, fit in self.extra.items():
            name, rule = rules[purpose]
            try:
                found[name] = rule(self.fit.candidate(), self.fit.read(), fit.read(), part, asked)
            except WorkerFault as fault:
                found[name] = Finding(False, f"{fault.status}: {fault}")
        return found

    def _prepared(self) -> Finding:
        """Whether the recording's own bins look ahead: found out once, for it does not depend on a decoder."""
        plan = self.plan
        rules = plan.suite.protocol_sha256(self.session)
        path = plan.store.root / "preparations" / f"{cells.key(data=self.data, rules=rules)}.json"
        if not path.exists():
            why = look_ahead(plan.suite, self.session, plan.files[self.session.id])
            write_whole(path, canonical({"why": why}))
        why = cells.read_json(path)["why"]
        return Finding(not why, why)


def blinded(recording: Recording) -> Recording:
    """The recording with the labels of another time: nothing true can be learned from it."""
    n = len(recording)
    shift = n // 4 + int(np.random.default_rng(n).integers(max(1, n // 2)))
    return replace(
        recording, targets=np.roll(recording.targets, shift, axis=0), scored=np.roll(recording.scored, shift)
    )


def _apart(parts: Parts, rule: Split) -> Finding:
    """The audit's finding on train, validation and test: no scored bin in two of them, gaps kept."""
    leaks = find_leaks(parts, gap_s=rule.gap_s)
    return Finding(not leaks, "; ".join(leaks), None)


def _is_due(plan: Plan, outcome: Path) -> bool:
    """Whether a fit or cell has to be run: it is not there, or finished work of its kind is wanted again."""
    if plan.rerun == "all" or not outcome.exists():
        return True
    return plan.rerun == "failed" and cells.read_json(outcome)["status"] != "ok"


def _lock(store: Store, key: str) -> FileLock:
    folder = store.root / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / f"{key[:3]}.lock")


def alone() -> FileLock:
    """Only one test pass of this user at a time on this machine, whichever run it belongs to."""
    # Not where the environment says: runs with another TMPDIR would not wait for each other. Nor in /run/user, which
    # ends with a login while runs go on, or in the home folder, which several machines may share.
    return FileLock(Path("/tmp") / f"neural-decoder-harness-{os.geteuid()}.lock")

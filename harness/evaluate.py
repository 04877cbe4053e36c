"""fit -> save -> stream -> score -> record: composition only.

All fits come first, several at a time; then every test pass alone on its core, so that no latency is measured beside
other work of ours. Finished fits and cells are kept by content and never run twice.
"""

import os
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol

from filelock import FileLock

from harness import engine
from harness.data.identity import content_id
from harness.data.prepare import prepare
from harness.data.split import Parts, find_leaks
from harness.data.suites import Session, Split, Suite
from harness.errors import UsageError
from harness.judge import cell as judge
from harness.judge.audit import Finding
from harness.judge.host import Description, WorkerFault, describe, end_all
from harness.judge.profiles import Profile
from harness.registry import DecoderRef, source_sha256
from harness.results import cells
from harness.results.assemble import Context, Run, SessionCell, assemble
from harness.results.records import Record, canonical, sha256
from harness.results.scored import cell_files
from harness.results.store import Store, write_whole

Rerun = Literal["nothing", "failed", "all"]


@dataclass(frozen=True)
class Plan:
    """What is to be evaluated.

    files: session id -> NWB file, for every session of the tier.
    settings: Hyper-parameters from the command line, given to every decoder.
    seeds: Overrides the suite's seeds for stochastic decoders.
    rerun: Which finished work to run again all the same.
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


class Watch(Protocol):
    """Is told of progress."""

    def total(self, n_jobs: int) -> None: ...
    def done(self, what: str) -> None: ...


def evaluate(plan: Plan, watch: Watch) -> list[Record]:
    """Run a plan and return one record per decoder and seed; whatever fails is in its record."""
    _refuse_unserved(plan)
    sessions = plan.suite.in_tier(plan.tier)
    runs = [run for ref in plan.decoders for run in _runs(plan, ref)]
    recordings = _Recordings(plan)
    fits = [_Fit(plan, run, group, recordings) for group in _fit_groups(plan.suite, sessions) for run in runs]
    tests = [_Test(plan, fit, session, recordings) for fit in fits for session in fit.sessions]
    watch.total(len(fits) + len(tests))
    for name in engine.run([fit.do for fit in fits], n_workers=plan.n_workers, stop=end_all):
        watch.done(name)
    for test in tests:
        with _alone():
            watch.done(test.do())
    return [_record(plan, run, [test for test in tests if test.fit.run is run]) for run in runs]


def _refuse_unserved(plan: Plan) -> None:
    """Say no to what this version would silently do in another way."""
    suite, profile = plan.suite, plan.profile
    if suite.pretraining or suite.calibration_s:
        raise UsageError(f"suite {suite.label} asks for pretraining or calibration, which this version does not run")
    if profile.device != "cpu":
        raise UsageError(f"profile {profile.label} wants a {profile.device} device; this version streams on CPUs only")
    if "seed" in plan.settings:
        raise UsageError("--set seed would be overruled by the suite's seeds; choose seeds with --seed")


def _runs(plan: Plan, ref: DecoderRef) -> list[Run]:
    """One run per seed, or one for a decoder that is deterministic."""
    source = source_sha256(ref)
    found = _description(plan, ref, source)
    seeds = list(plan.seeds or plan.suite.seeds)
    if isinstance(found, WorkerFault):
        return [Run(ref, plan.settings, source, plan.suite.task.inputs, True, seeds[0], fault=found)]
    wanted = found.inputs or plan.suite.task.inputs
    if not set(wanted) <= set(plan.suite.task.inputs):
        offered = ", ".join(plan.suite.task.inputs)
        raise UsageError(f"decoder {ref.name!r} reads {', '.join(wanted)}; suite {plan.suite.label} gives {offered}")
    seeded = "seed" in found.parameters
    chosen = seeds[:1] if found.deterministic or not seeded else seeds
    return [
        Run(ref, dict(found.parameters) | ({"seed": s} if seeded else {}), source, wanted, found.causal, s)
        for s in chosen
    ]


def _description(plan: Plan, ref: DecoderRef, source: str) -> Description | WorkerFault:
    """What the decoder says of itself, asked once per source and settings; or why it cannot even be asked."""
    path = plan.store.root / "descriptions" / f"{cells.key(source=source, settings=dict(plan.settings))}.json"
    if path.exists():
        kept = cells.read_json(path)
        return Description(tuple(kept["inputs"]), kept["causal"], kept["deterministic"], kept["parameters"])
    try:
        found = describe(ref, plan.settings, plan.profile)
    except WorkerFault as fault:
        return fault
    write_whole(path, canonical(asdict(found)))
    return found


def _fit_groups(suite: Suite, sessions: Sequence[Session]) -> list[tuple[Session, ...]]:
    """Which sessions are fitted together."""
    return [tuple(sessions)] if suite.fit == "joint" else [(s,) for s in sessions]


class _Recordings:
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


class _Fit:
    """One fit that is, or will be, in the store."""

    def __init__(self, plan: Plan, run: Run, sessions: tuple[Session, ...], recordings: _Recordings) -> None:
        self.plan, self.run, self.sessions, self.recordings = plan, run, sessions, recordings
        data = [content_id(s, plan.files[s.id]) for s in sessions]
        rules = [plan.suite.protocol_sha256(s) for s in sessions]
        self.key = cells.key(run=run.identity(), data=data, rules=rules, profile=plan.profile.model_dump(mode="json"))
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
            fitted = judge.fit(self.candidate(), [p.train for p in parts], [p.validation for p in parts])
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


class _Test:
    """One cell that is, or will be, in the store."""

    def __init__(self, plan: Plan, fit: _Fit, session: Session, recordings: _Recordings) -> None:
        self.plan, self.fit, self.session, self.recordings = plan, fit, session, recordings
        self.data = content_id(session, plan.files[session.id])
        self.key = cells.key(fit=fit.key, session=session.id, data=self.data)

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
        parts = self.recordings(self.session, self.fit.run.inputs)
        part, rule = parts.test, self.plan.suite.splits[self.session.split]
        started = time.perf_counter()
        tested = judge.test(self.fit.candidate(), self.fit.read(), part.inputs, part.session)
        tested = replace(tested, findings={**tested.findings, "parts_are_apart": _apart(parts, rule)})
        seconds = time.perf_counter() - started
        files = cell_files(tested, part, suite=self.plan.suite, seconds=seconds, artifact=self.fit.outcome)
        cells.write_folder(self.plan.store.cell(self.key), files)


def _apart(parts: Parts, rule: Split) -> Finding:
    """The audit's finding on train, validation and test: no scored bin in two of them, gaps kept."""
    leaks = find_leaks(parts, gap_s=rule.gap_s)
    return Finding(not leaks, "; ".join(leaks), None)


def _is_due(plan: Plan, outcome: Path) -> bool:
    """Whether a fit or cell has to be run: it is not there, or finished work of its kind is wanted again."""
    if plan.rerun == "all" or not outcome.exists():
        return True
    return plan.rerun == "failed" and cells.read_json(outcome)["status"] != "ok"


def _record(plan: Plan, run: Run, tests: Sequence[_Test]) -> Record:
    """The record of a run: the one that was written for the same cells, or a new one."""
    done = [SessionCell(t.session, t.data, plan.files[t.session.id], t.key, t.fit.folder) for t in tests]
    return assemble(Context(plan.store, plan.suite, plan.tier, plan.profile), run, done)


def _lock(store: Store, key: str) -> FileLock:
    folder = store.root / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / f"{key[:3]}.lock")


def _alone() -> FileLock:
    """Only one test pass at a time on this machine, whichever run it belongs to."""
    return FileLock(Path(tempfile.gettempdir()) / f"neural-decoder-harness-{os.geteuid()}.lock")

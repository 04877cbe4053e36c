"""fit -> save -> stream -> score -> record: composition only.

All fits come first, several at a time; then every test pass alone on its core, so that no latency is measured beside
other work of ours. Finished fits and cells are kept by content and never run twice.
"""

import itertools
from collections.abc import Sequence
from dataclasses import asdict
from typing import Protocol

from harness import engine
from harness.data.suites import Session, Suite
from harness.errors import UsageError
from harness.judge.hardware import why_not_served
from harness.judge.host import describe, end_all
from harness.judge.replies import Description, WorkerFault
from harness.registry import DecoderRef, source_sha256
from harness.results import cells
from harness.results.assemble import Context, Run, SessionCell, assemble
from harness.results.records import Record, canonical
from harness.results.store import write_whole
from harness.work import Fit, Plan, Purpose, Recordings, Test, alone


class Watch(Protocol):
    """Is told of progress."""

    def total(self, n_jobs: int) -> None: ...
    def done(self, what: str) -> None: ...


def evaluate(plan: Plan, watch: Watch) -> list[Record]:
    """Run a plan and return one record per decoder and seed; whatever fails is in its record."""
    _refuse_unserved(plan)
    sessions = plan.suite.in_tier(plan.tier)
    runs = [run for ref in plan.decoders for run in _runs(plan, ref)]
    recordings = Recordings(plan)
    purposes: tuple[Purpose, ...] = ("again", "blind") if plan.audit == "full" else ()
    fits, tests = [], []
    for group, run in itertools.product(_fit_groups(plan.suite, sessions), runs):
        fit = Fit(plan, run, group, recordings)
        extra = {purpose: Fit(plan, run, group, recordings, purpose=purpose) for purpose in purposes}
        fits += [fit, *extra.values()]
        tests += [Test(fit, session, extra=extra, paced=session is sessions[0]) for session in group]
    watch.total(len(fits) + len(tests))
    for name in engine.run([fit.do for fit in fits], n_workers=plan.n_workers, stop=end_all):
        watch.done(name)
    for test in tests:
        with alone():
            watch.done(test.do())
    return [_record(plan, run, [test for test in tests if test.fit.run is run]) for run in runs]


def _refuse_unserved(plan: Plan) -> None:
    """Say no to what this version would silently do in another way."""
    suite, profile = plan.suite, plan.profile
    if suite.pretraining or suite.calibration_s:
        raise UsageError(f"suite {suite.label} asks for pretraining or calibration, which this version does not run")
    if why := why_not_served(profile):
        raise UsageError(f"profile {profile.label} cannot be served here: {why}; `harness hardware` shows which can")
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


def _record(plan: Plan, run: Run, tests: Sequence[Test]) -> Record:
    """The record of a run: the one that was written for the same cells, or a new one."""
    done = [SessionCell(t.session, t.data, plan.files[t.session.id], t.key, t.fit.folder) for t in tests]
    return assemble(Context(plan.store, plan.suite, plan.tier, plan.profile, plan.tracks), run, done)

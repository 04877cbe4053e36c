"""fit -> save -> stream -> score -> record: composition only.

All fits come first, several at a time; then every test pass alone on its core, so that no latency is measured beside
other work of ours. Finished fits and cells are kept by content and never run twice.
"""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Protocol

from harness import engine
from harness.data.identity import content_id
from harness.data.suites import Session
from harness.errors import UsageError
from harness.judge.hardware import why_not_served
from harness.judge.host import describe, end_all
from harness.judge.replies import Description, WorkerFault
from harness.learning import Purpose, Share, lessons, stages_of
from harness.plan import Plan, Recordings
from harness.registry import DecoderRef, source_sha256
from harness.results import cells
from harness.results.assemble import Context, Run, SessionCell, assemble
from harness.results.records import Record, canonical
from harness.results.store import write_whole
from harness.types import Delay
from harness.work import Test, alone


class Watch(Protocol):
    """Is told of progress."""

    def total(self, n_jobs: int) -> None: ...
    def done(self, what: str) -> None: ...


def evaluate(plan: Plan, watch: Watch) -> list[Record]:
    """Run a plan and return one record per decoder and seed; whatever fails is in its record."""
    refuse_unserved(plan)
    runs = [run for ref in plan.decoders for run in _runs(plan, ref)]
    tests = _tests(plan, runs)
    stages = stages_of([stage for test in tests for stage in (test.learned, *test.extra.values())])
    watch.total(sum(map(len, stages)) + len(tests))
    for stage in stages:
        for name in engine.run([one.do for one in stage], n_workers=plan.n_workers, stop=end_all):
            watch.done(name)
    for test in tests:
        with alone():
            watch.done(test.do())
    return [_record(plan, run, [test for test in tests if test.share.run is run]) for run in runs]


def _tests(plan: Plan, runs: Sequence[Run]) -> list[Test]:
    """All test passes, with the stages of learning that each needs; sessions of the tier in its order."""
    suite, recordings = plan.suite, Recordings(plan)
    sessions = suite.in_tier(plan.tier)
    scored = [s for s in sessions if s.role != "source"]
    purposes: tuple[Purpose, ...] = ("score", "again", "blind") if plan.audit == "full" else ("score",)
    tests = []
    for run in runs:
        learned = {purpose: lessons(Share(plan, run, recordings, purpose), sessions) for purpose in purposes}
        for s in scored:
            extra = {purpose: learned[purpose][s.id] for purpose in purposes[1:]}
            tests.append(Test(learned["score"][s.id], s, extra=extra, paced=s is scored[0]))
    return tests


def refuse_unserved(plan: Plan) -> None:
    """Say no to what would silently be done in another way than its author thinks.

    Raises:
        UsageError: If no session is scored or there is none to fit; if one file is in two sessions with other splits,
            so that a stage of learning could see what is the test of another session; if the profile cannot be served.
    """
    profile, sessions = plan.profile, plan.suite.in_tier(plan.tier)
    if all(s.role == "source" for s in sessions):
        raise UsageError(f"no session of tier {plan.tier!r} is scored; give one the role 'scored' or 'new'")
    if all(s.role == "new" for s in sessions):
        raise UsageError(f"tier {plan.tier!r} has new sessions only, so there is nothing to fit; add source sessions")
    seen: dict[str, Session] = {}
    for s in sessions:
        twin = seen.setdefault(content_id(s, plan.files[s.id]), s)
        if twin.split != s.split:
            raise UsageError(
                f"sessions {twin.id!r} and {s.id!r} are one file with two splits, {twin.split!r} and {s.split!r}: what "
                f"is learned from one may be the other's test; put them into different tiers"
            )
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
    one = Run(ref, found.parameters, source, wanted, found.causal, seeds[0], found.stages, found.delay)
    return [replace(one, parameters={**found.parameters, **({"seed": s} if seeded else {})}, seed=s) for s in chosen]


def _description(plan: Plan, ref: DecoderRef, source: str) -> Description | WorkerFault:
    """What the decoder says of itself, asked once per source and settings; or why it cannot even be asked."""
    path = plan.store.root / "descriptions" / f"{cells.key(source=source, settings=dict(plan.settings))}.json"
    if path.exists():
        kept = cells.read_json(path)
        lists = {name: tuple(kept[name]) for name in ("inputs", "stages")}
        return Description(**{**kept, **lists, "delay": Delay(**kept["delay"])})
    try:
        found = describe(ref, plan.settings, plan.profile)
    except WorkerFault as fault:
        return fault
    write_whole(path, canonical(asdict(found)))
    return found


def _record(plan: Plan, run: Run, tests: Sequence[Test]) -> Record:
    """The record of a run: the one that was written for the same cells, or a new one."""
    done = [
        SessionCell(t.session, t.data, plan.files[t.session.id], t.key, t.learned.folder, t.learned.history)
        for t in tests
    ]
    return assemble(Context(plan.store, plan.suite, plan.tier, plan.profile, plan.tracks), run, done)

"""fit -> save -> stream -> score -> record: composition only.

All fits come first, several at a time; then the test passes, of which one at a time is timed and nothing of ours is at
work beside it. Finished fits and cells are kept by content and never run twice.
"""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from harness.data.identity import content_id
from harness.data.suites import Physionet, Session, Suite
from harness.engine.jobs import Engine, Trouble, trouble_of
from harness.errors import DecoderError, UsageError
from harness.judge.hardware import why_not_served
from harness.judge.host import describe
from harness.judge.replies import Description, WorkerFault, description_from
from harness.learning import Purpose, Share
from harness.lessons import lessons
from harness.plan import Plan, Recordings
from harness.registry import DecoderRef, known, module_of_file
from harness.results import cells
from harness.results.assemble import Context, Run, SessionCell, assemble
from harness.results.records import Record, canonical
from harness.results.store import write_whole
from harness.rounds import Unfinished, Watch, run_tests
from harness.source import source_sha256
from harness.work import Test


def evaluate(plan: Plan, watch: Watch, engine: Engine | None = None) -> list[Record]:
    """Run a plan and return one record per decoder and seed; whatever a decoder does wrong is in its record.

    Args:
        plan: What to evaluate.
        watch: Is told of progress.
        engine: Where its work is done; by default in as many processes of this machine as the plan says.

    Raises:
        UsageError: If the suite cannot be evaluated as asked, or its task does not give what a decoder reads.
        Unfinished: If some work could not be done; with the records of those runs that are whole.
    """
    tests = tests_of(plan, here=engine is None or engine.is_local)
    missing: dict[str, tuple[str, Trouble]] = {}
    try:
        run_tests(plan, tests, watch, engine)
    except Unfinished as error:
        missing = dict(error.missing)
    runs: dict[int, list[Test]] = {}
    for test in tests:
        runs.setdefault(id(test.share.run), []).append(test)
    records = []
    for own in [own for own in runs.values() if not any(test.key in missing for test in own)]:
        run = own[0].share.run
        try:
            records.append(_record(plan, run, own))
        except OSError as error:
            missing[f"{run.ref.name} {run.seed}"] = f"record of {run.ref.name}", trouble_of(error, own[0])
    if missing:
        raise Unfinished(missing, records)
    return records


def tests_of(plan: Plan, *, here: bool = True) -> list[Test]:
    """All test passes of a plan, by runs, none of them done; `here`: on this machine.

    Raises:
        UsageError: As `evaluate`.
    """
    refuse_unserved(plan, here=here)
    return _tests(plan, [run for ref in plan.decoders for run in _runs(plan, ref)])


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


def shared_out(plan: Plan, variants: Sequence[Suite], *, asked_for: bool = True) -> list[Plan]:
    """A plan for each task of a suite, with the decoders that can read what it gives; tasks without any left out.

    Args:
        plan: Of the whole suite.
        variants: One suite per task.
        asked_for: Whether the decoders were named one by one, so that none may be left out without a word.

    Raises:
        UsageError: If a decoder that was asked for reads what none of the tasks gives.
    """
    plans = [replace(plan, suite=variant) for variant in variants]
    served: dict[int, list[DecoderRef]] = {i: [] for i in range(len(plans))}
    for ref in plan.decoders:
        found = _description(plan, ref, source_sha256(ref))
        reads = () if isinstance(found, WorkerFault) else found.inputs
        serving = [i for i, one in enumerate(plans) if _offered(one, reads) == reads]
        if not serving and asked_for:
            offered = " or ".join(sorted({", ".join(variant.task.inputs) for variant in variants}))
            raise UsageError(f"decoder {ref.name!r} reads {', '.join(reads)}; suite {plan.suite.label} gives {offered}")
        for i in serving:
            served[i].append(ref)
    return [replace(plans[i], decoders=refs) for i, refs in served.items() if refs]


def refuse_unserved(plan: Plan, *, here: bool = True) -> None:
    """Say no to what would silently be done in another way than its author thinks.

    Args:
        plan: What is asked for.
        here: Whether it is this machine that has to serve the profile.

    Raises:
        UsageError: If no session is scored or there is none to fit; if one file is in two sessions with other splits or
            beside other files, so that a stage of learning could see what is the test of another session; if the
            profile cannot be served.
    """
    profile, sessions = plan.profile, plan.suite.in_tier(plan.tier)
    if all(s.role == "source" for s in sessions):
        raise UsageError(f"no session of tier {plan.tier!r} is scored; give one the role 'scored' or 'new'")
    if all(s.role == "new" for s in sessions):
        raise UsageError(f"tier {plan.tier!r} has new sessions only, so there is nothing to fit; add source sessions")
    seen: dict[str, Session] = {}
    of_file: dict[str, Session] = {}
    for s in sessions:
        for name in s.source.paths if isinstance(s.source, Physionet) else ():
            other = of_file.setdefault(name, s)
            if other.source != s.source:
                raise UsageError(
                    f"sessions {other.id!r} and {s.id!r} share the file {name}: what is learned from one may be "
                    f"the other's test; put them into different tiers or tasks"
                )
        twin = seen.setdefault(content_id(s, plan.files[s.id]), s)
        if twin.split != s.split:
            raise UsageError(
                f"sessions {twin.id!r} and {s.id!r} are one file with two splits, {twin.split!r} and {s.split!r}: what "
                f"is learned from one may be the other's test; put them into different tiers"
            )
    if here and (why := why_not_served(profile)):
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
    if _offered(plan, wanted) != wanted:
        offered = ", ".join(plan.suite.task.inputs)
        raise UsageError(f"decoder {ref.name!r} reads {', '.join(wanted)}; suite {plan.suite.label} gives {offered}")
    seeded = "seed" in found.parameters
    chosen = seeds[:1] if found.deterministic or not seeded else seeds
    try:
        parents = [(one, _beginning(ref, one.where)) for one in found.parents]
        sources = [source_sha256(where) for _, where in parents]
    except DecoderError as error:
        return [replace(_run(ref, found, source, s, wanted), fault=WorkerFault("failed", str(error))) for s in chosen]
    return [
        replace(
            _run(ref, found, source, s, wanted),
            parents=tuple(
                _run(where, one, its_source, s, _offered(plan, one.inputs) or wanted)
                for (one, where), its_source in zip(parents, sources, strict=True)
            ),
        )
        for s in chosen
    ]


def _offered(plan: Plan, inputs: Sequence[str]) -> tuple[str, ...]:
    """Those of these streams that the task gives at test time."""
    return tuple(name for name in inputs if name in plan.suite.task.inputs)


def _run(ref: DecoderRef, found: Description, source: str, seed: int, inputs: tuple[str, ...]) -> Run:
    """A described decoder with a seed."""
    parameters = {**found.parameters, **({"seed": seed} if "seed" in found.parameters else {})}
    return Run(ref, parameters, source, inputs, found.causal, seed, found.stages, found.delay)


def _beginning(ref: DecoderRef, where: str) -> DecoderRef:
    """A decoder that `ref` begins with: beside it in its file or package, or in a package that brings decoders.

    Any other module that a foreign decoder names would be laid open to its worker.

    Args:
        ref: The decoder that names it.
        where: `module:Class`, as its worker says.

    Raises:
        DecoderError: If it is anywhere else.
    """
    module, _, name = where.partition(":")
    if ref.is_file and module == module_of_file(Path(ref.module)):
        return DecoderRef(f"{Path(ref.module).name}:{name}", f"{ref.module}:{name}", ref.version)
    decoders = {one.entry_point: one for one in known().values()}
    packages = {one.module.partition(".")[0] for one in (ref, *decoders.values()) if not one.is_file}
    if module.partition(".")[0] not in packages:
        raise DecoderError(
            f"decoder {ref.name!r} begins with {where!r}, which is not beside it and in no package of decoders; "
            f"write it into the same file or package"
        )
    return decoders.get(where) or DecoderRef(name, where, ref.version)


def _description(plan: Plan, ref: DecoderRef, source: str) -> Description | WorkerFault:
    """What the decoder says of itself, asked once per source and settings; or why it cannot even be asked."""
    path = plan.store.root / "descriptions" / f"{cells.key(source=source, settings=dict(plan.settings))}.json"
    if path.exists():
        return description_from(cells.read_json(path))
    try:
        found = describe(ref, plan.settings, plan.profile)
    except WorkerFault as fault:
        return fault
    write_whole(path, canonical(asdict(found)))
    return found


def _record(plan: Plan, run: Run, tests: Sequence[Test]) -> Record:
    """The record of a run: the one that was written for the same cells, or a new one."""
    done = [SessionCell(t.session, t.data, plan.files[t.session.id], t.key, t.folders, t.history) for t in tests]
    return assemble(Context(plan.store, plan.suite, plan.tier, plan.profile, plan.tracks), run, done)

"""`harness eval`: evaluate decoders on a suite."""

from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from harness.data.cache import Cache
    from harness.data.download import Access
    from harness.data.suites import Suite
    from harness.engine.jobs import Engine, Trouble
    from harness.plan import Plan
    from harness.results.records import Record
    from harness.rounds import Unfinished

DECODER_FAILED = 3
INTERRUPTED = 130


class AuditLevel(StrEnum):
    """How much each decoder is asked beside its score."""

    standard = "standard"
    full = "full"


class EngineName(StrEnum):
    """Where work runs."""

    local = "local"
    dask = "dask"


class Rerun(StrEnum):
    """What to run again although it is finished."""

    nothing = "nothing"
    failed = "failed"
    all = "all"


def command(
    suite: Annotated[str, typer.Option(help="A suite's name, or a YAML file.")],
    decoder: Annotated[list[str] | None, typer.Option(help="Name or path/to/file.py:Class; repeat it.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="Hyper-parameter as field=value; repeat it.")] = None,
    tier: Annotated[
        str, typer.Option(help="A tier of the suite; auto: mini if it can be had, else simulated.")
    ] = "auto",
    task: Annotated[list[str] | None, typer.Option(help="Only this task of the suite; repeat it.")] = None,
    seed: Annotated[list[int] | None, typer.Option(help="Seeds instead of the suite's; repeat it.")] = None,
    profile: Annotated[str, typer.Option(help="Hardware profile.")] = "cpu-1",
    track: Annotated[list[Path] | None, typer.Option(help="YAML file of a track of your own; repeat it.")] = None,
    audit: Annotated[
        AuditLevel, typer.Option(help="full: fit again with the same seed, and once more on wrong labels.")
    ] = AuditLevel.standard,
    store: Annotated[Path, typer.Option(help="Folder of results.")] = Path("results"),
    data_root: Annotated[Path | None, typer.Option(help="Folder of a suite's local files.")] = None,
    dandi_api: Annotated[str | None, typer.Option(help="API of a DANDI mirror instead of the archive's.")] = None,
    physionet_url: Annotated[str | None, typer.Option(help="Folder of the data sets at a mirror of PhysioNet.")] = None,
    workers: Annotated[
        int, typer.Option(min=0, help="Worker processes that learn at a time; 0: one per core; 1: none but this one.")
    ] = 0,
    engine: Annotated[EngineName, typer.Option(help="Where work runs.")] = EngineName.local,
    scheduler: Annotated[str, typer.Option(help="With --engine dask: its scheduler's address, or slurm.")] = "",
    slurm: Annotated[
        list[str] | None, typer.Option(help="With --scheduler slurm: queue=..., cores=..., walltime=...; repeat it.")
    ] = None,
    rerun: Annotated[Rerun, typer.Option(help="Finished work to run again.")] = Rerun.nothing,
    json_: Annotated[bool, typer.Option("--json", help="Print records as JSON lines.")] = False,
) -> None:
    """Fit, stream and score decoders; without --decoder, the suite's own set."""
    from harness.cli.data import access_from
    from harness.cli.show import settings_from, workers_from
    from harness.data.cache import default_cache
    from harness.data.download import excluded, locate
    from harness.data.progress import bars
    from harness.data.suites import load_suite
    from harness.judge.budget import tracks_with
    from harness.judge.profiles import load_profile
    from harness.judge.sandbox import why_no_sandbox
    from harness.plan import Plan
    from harness.registry import find
    from harness.results.store import Store, make_store

    chosen, hardware, cache = load_suite(suite), load_profile(profile), default_cache()
    tracks = tracks_with(track or [])
    make_store(store)
    if why := why_no_sandbox():
        typer.echo(f"Decoders run as plain processes (isolation: process), for {why}.", err=True)
    settings = settings_from(set_ or [])
    decoders = [find(name) for name in decoder or chosen.decoders]
    access = access_from(dandi_api, physionet_url)
    tier = _tier(chosen, tier, cache, access)
    with bars() as watcher:
        files = locate(chosen.in_tier(tier), cache, data_root=data_root, access=access, watcher=watcher)
    left_out = excluded(chosen.in_tier(tier), cache)
    chosen = _without(chosen, tier, left_out, json_=json_)
    plan = Plan(
        suite=chosen,
        tier=tier,
        files=files,
        decoders=decoders,
        profile=hardware,
        store=Store(store),
        settings=settings,
        seeds=tuple(seed or ()),
        n_workers=workers_from(workers),
        rerun=rerun.value,
        audit=audit.value,
        tracks=tracks,
        cache=cache,
    )
    variants = _variants(chosen, tier, task or [])
    with _opened(engine, scheduler, slurm or [], plan.n_workers) as opened:
        records, unfinished = _records(plan, variants, opened, asked_for=bool(decoder))
    _show(records, store, json_=json_)
    if unfinished:
        raise unfinished
    if any(record.status != "ok" for record in records):
        raise typer.Exit(DECODER_FAILED)


def _show(records: "list[Record]", store: Path, *, json_: bool) -> None:
    from harness.cli.scoreboard import show_records

    if json_:
        for record in records:
            typer.echo(record.model_dump_json(by_alias=True))
    else:
        show_records(records, store=store)


def _without(suite: "Suite", tier: str, left_out: dict[str, str], *, json_: bool) -> "Suite":
    """A suite without the sessions that a rule excludes, each of them named with the reason.

    Raises:
        Excluded: If none is left in the tier.
    """
    import json

    from harness.errors import Excluded

    for name, why in left_out.items():
        typer.echo(f"Session {name} is left out: {why}.", err=True)
        if json_:
            typer.echo(json.dumps({"excluded": name, "reason": why}))
    kept = tuple(s for s in suite.sessions if s.id not in left_out)
    if left_out and not any(tier in s.tiers for s in kept):
        raise Excluded(
            f"all {len(left_out)} sessions of tier {tier!r} of {suite.label} are excluded, the first because "
            f"{next(iter(left_out.values()))}; choose another tier"
        )
    pretraining = tuple(name for name in suite.pretraining if name not in left_out)
    return suite.model_copy(update={"sessions": kept, "pretraining": pretraining}) if left_out else suite


def _variants(suite: "Suite", tier: str, tasks: list[str]) -> "list[Suite]":
    """A suite for each of its tasks that the tier serves, or for the ones that are asked for."""
    from harness.errors import UsageError

    served = {v.name.partition("/")[2] or v.task.target: v for v in suite.variants(tier)}
    if unknown := set(tasks) - set(served):
        raise UsageError(
            f"tier {tier!r} of {suite.label} has no task {min(unknown)!r}; it has: {', '.join(sorted(served))}"
        )
    return [variant for name, variant in served.items() if not tasks or name in tasks]


def _opened(
    engine: EngineName, scheduler: str, slurm: list[str], n_workers: int
) -> "AbstractContextManager[Engine | None]":
    """A cluster if one is asked for; None leaves it to the plan."""
    from contextlib import nullcontext

    from harness.cli.show import settings_from
    from harness.errors import UsageError

    if engine is EngineName.dask:
        from harness.cluster.opened import opened

        found = opened(scheduler, settings_from(slurm, option="--slurm", example="queue=long"), n_workers=n_workers)
        if not found.n_workers:
            typer.echo(f"No worker of {found.name} is there yet; the run begins with the first that comes.", err=True)
        return found
    if scheduler or slurm:
        raise UsageError(f"--scheduler and --slurm are for --engine dask; {engine} needs neither")
    return nullcontext()


def _records(
    plan: "Plan", variants: "list[Suite]", engine: "Engine | None", *, asked_for: bool
) -> "tuple[list[Record], Unfinished | None]":
    """Evaluate each variant of a plan's suite; the records, and what could not be done."""
    from harness.cli.progress import Progress
    from harness.evaluate import evaluate, refuse_unserved, shared_out
    from harness.rounds import Unfinished

    records: list[Record] = []
    missing: dict[str, tuple[str, Trouble]] = {}
    for variant in variants:
        refuse_unserved(replace(plan, suite=variant), here=engine is None or engine.is_local)
    try:
        for one in shared_out(plan, variants, asked_for=asked_for):
            with Progress(one.suite.label) as progress:
                try:
                    records += evaluate(one, progress, engine)
                except Unfinished as error:
                    records += error.records
                    missing |= error.missing
    except KeyboardInterrupt:
        typer.echo("harness: stopped; what is finished is kept, the same command goes on from there", err=True)
        raise typer.Exit(INTERRUPTED) from None
    return records, Unfinished(missing) if missing else None


def _tier(suite: "Suite", wanted: str, cache: "Cache", access: "Access") -> str:
    """Resolve `auto`: mini if it is cached or can be fetched, else simulated, saying so."""
    from harness.data.download import missing, reachable

    tiers = suite.tiers()
    if wanted != "auto":
        suite.in_tier(wanted)
        return wanted
    if "mini" not in tiers:
        return next(iter(tiers))
    absent = missing(suite.in_tier("mini"), cache)
    if not absent or "simulated" not in tiers or reachable(absent, access=access):
        return "mini"
    typer.echo(
        f"{len(absent)} of the {tiers['mini']} recordings of tier mini are not in the cache and cannot be fetched now, "
        f"so this is the SIMULATED tier: good for a first look, never ranked with real recordings. "
        f"To insist on real ones: --tier mini.",
        err=True,
    )
    return "simulated"

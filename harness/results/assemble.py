"""From finished cells to a record: one for each run, written once."""

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from harness.data.simulate import best_score
from harness.data.suites import Session, Suite
from harness.judge import artifact
from harness.judge.budget import Measured, Track, why_not
from harness.judge.profiles import Profile
from harness.judge.replies import WorkerFault
from harness.registry import DecoderRef
from harness.results import cells, records
from harness.results.reading import read_record
from harness.results.records import LearningStage
from harness.results.store import Store, write_whole
from harness.results.summaries import Costs, Timing, filter_delay_s, worst_verdicts
from harness.score import stats
from harness.score.metrics import metric
from harness.source import source_bytes
from harness.types import Delay

STREAMED = "future_has_no_effect"
"""A rule that every streamed run is held to."""


@dataclass(frozen=True)
class Run:
    """One decoder with one seed: what a record is about.

    parents: Those whose pretraining comes before its own, the nearest first.
    fault: Why it cannot even be constructed.
    """

    ref: DecoderRef
    parameters: Mapping[str, Any]
    source: str
    inputs: tuple[str, ...]
    causal: bool
    seed: int
    stages: tuple[str, ...] = ("fit",)
    delay: Delay = field(default_factory=Delay)
    parents: "tuple[Run, ...]" = ()
    fault: WorkerFault | None = None

    def identity(self) -> dict[str, Any]:
        """What decides its outcome, for a cell's key."""
        where = Path(self.ref.entry_point).name if self.ref.is_file else self.ref.entry_point
        code = {"entry_point": where, "source": self.source, "parameters": dict(self.parameters)}
        said = {"inputs": self.inputs, "causal": self.causal, "stages": self.stages, "delay": asdict(self.delay)}
        return code | said


@dataclass(frozen=True)
class Context:
    """What all records of one evaluation share."""

    store: Store
    suite: Suite
    tier: str
    profile: Profile
    tracks: Sequence[Track]


@dataclass(frozen=True)
class SessionCell:
    """A finished cell: its recording with its content's hash and file, its key, and what was learned before it.

    learned: Where the artefact of each fold is.
    """

    session: Session
    data: str
    file: Path
    key: str
    learned: Sequence[Path]
    history: Sequence[LearningStage]


def assemble(context: Context, run: Run, done: Sequence[SessionCell]) -> records.Record:
    """One record from all cells of a run, in the tier's order; the same cells give the record written before."""
    store = context.store
    outcomes = [records.sha256((store.cell(c.key) / "cell.json").read_bytes()) for c in done]
    tracks = [track.model_dump() for track in context.tracks]
    note = (
        store.root / "runs" / f"{cells.key(cells=outcomes, tier=context.tier, run=run.identity(), tracks=tracks)}.json"
    )
    if note.exists():
        path = store.root / cells.read_json(note)["record"]
        if path.exists():
            return read_record(path)
    gathered = _Gathered(context, run, done)
    record = records.sealed(gathered.record())
    for path, content in (
        (store.predictions(record), gathered.predictions),
        (store.artifact(record), gathered.learned),
    ):
        if content:
            write_whole(path, content)
    path = store.save(record)
    write_whole(note, records.canonical({"record": path.relative_to(store.root).as_posix()}))
    return record


class _Gathered:
    """All cells of a run, read from the store, and what follows from them.

    predictions, learned: One file each for all recordings; `learned` is empty if every fit failed.
    """

    def __init__(self, context: Context, run: Run, done: Sequence[SessionCell]) -> None:
        self.context, self.run, self.done = context, run, done
        cell = context.store.cell
        self.seen = [cells.read_json(cell(c.key) / "cell.json") for c in done]
        self.stages = list({stage.key: stage for c in done for stage in c.history}.values())
        answered = [(c.session.id, cells.npz_to_arrays(cell(c.key) / "predictions.npz")) for c in done]
        self.arrays = cells.merged(answered)
        self.timing = Timing(self.seen, self.arrays, bin_s=context.suite.task.bin_s)
        self.predictions = cells.arrays_to_npz(self.arrays)
        kept = [(name, (path / "artifact.safetensors").read_bytes()) for c in done for name, path in _folds(c)]
        arrays = [(name, artifact.unpack(content)) for name, content in kept if content]
        self.costs = Costs(
            self.seen,
            [learned for _, learned in arrays],
            artifact_bytes=max(len(content) for _, content in kept),
            stages=self.stages,
        )
        bits = cells.merged([(name, artifact.widths(content)) for name, content in kept if content])
        self.learned = artifact.pack(cells.merged(arrays), bits=bits) if arrays else b""

    @functools.cached_property
    def sessions(self) -> list[records.SessionResult]:
        return [self._session(c, seen) for c, seen in zip(self.done, self.seen, strict=True)]

    @functools.cached_property
    def bad(self) -> records.SessionResult | None:
        return next((s for s in self.sessions if s.status != "ok"), None)

    def record(self) -> records.Record:
        context, run, bad = self.context, self.run, self.bad
        bin_s = context.suite.task.bin_s
        latency, pace = self.timing.latency("fast"), self.timing.latency("paced")
        profile, audit = self.timing.profile(context.profile.label), worst_verdicts(self.seen)
        cost = self.costs.record(bin_s=bin_s, calibration=profile.calibration)
        slower = max((one for one in (latency, pace) if one), key=lambda one: one.p99, default=None)
        layouts = [context.suite.layouts[c.session.layout] for c in self.done]
        waits_s = filter_delay_s(context.suite.task, layouts, run.inputs)
        delays = self.timing.delays(context.suite.task, slower, run.delay, waits_s)
        return records.Record(
            schema=records.SCHEMA,
            suite=context.suite.label,
            tier=context.tier,
            simulated=any(c.session.source.host == "simulated" for c in self.done),
            seed=run.seed,
            status=bad.status if bad else "ok",
            error=f"{bad.session}: {bad.error}" if bad else None,
            decoder=self._identity(),
            sessions=self.sessions,
            metric=context.suite.metrics[0],
            chance=self._chance(),
            bin_s=bin_s,
            scores={} if bad else self._scores(),
            latency_ms=latency,
            paced_latency_ms=pace,
            delays_ms=delays,
            cost=cost,
            learning=self.stages,
            answer_delay_bins=run.delay.bins,
            label_look_ahead_s=context.suite.task.label_look_ahead_s,
            audit=audit,
            tracks=self._tracks(cost, latency, pace, delays, audit),
            isolation="sandbox" if all(s["isolation"] == "sandbox" for s in self.seen) else "process",
            profile=profile,
            environment=self._environment(),
            predictions_sha256=records.sha256(self.predictions),
            artifact_sha256=records.sha256(self.learned) if self.learned else None,
            started_utc=min(s["started_utc"] for s in self.seen),
            seconds=sum(s["seconds"] for s in self.seen) + sum(stage.seconds for stage in self.stages),
        )

    def _session(self, c: SessionCell, seen: Mapping[str, Any]) -> records.SessionResult:
        # What a file states is of bins and their own labels, not of another benchmark's grid.
        stated = c.session.source.host == "simulated" and self.context.suite.task.grid == "bins"
        return records.SessionResult(
            session=c.session.id,
            subject=c.session.subject,
            group=c.session.group,
            sha256=c.data,
            status=seen["status"],
            error=seen["error"],
            n_scored_bins=seen.get("n_scored_bins", 0),
            scores=seen.get("scores", {}),
            interval=seen.get("interval", {}),
            floor=seen.get("floor", {}),
            trials=seen.get("trials"),
            reference=best_score(c.file) if stated else {},
            latency_ms=self.timing.latency("fast", session=c.session.id),
            fit_s=sum(stage.seconds for stage in c.history if stage.stage != "pretrain"),
            cell=c.key,
        )

    def _scores(self) -> dict[str, records.Score]:
        """Means over sessions; the primary metric's interval resamples sessions, and blocks within each."""
        metrics = self.context.suite.metrics
        drawn = [self.arrays[f"{s.session}/draws"].astype(float) for s in self.sessions]
        span = stats.over_sessions(drawn, rng=np.random.default_rng(stats.PROTOCOL.seed))
        means = {name: float(np.mean([s.scores[name] for s in self.sessions])) for name in self._shared_metrics()}
        known = math.isfinite(span.low)
        first: dict[str, Any] = {metrics[0]: {"low": span.low, "high": span.high}} if known else {}
        return {name: records.Score(value=mean, **first.get(name, {})) for name, mean in means.items()}

    def _chance(self) -> float | None:
        """What knowing nothing scores, where that depends on the number of classes alone."""
        suite = self.context.suite
        level = metric(suite.metrics[0]).chance
        at = suite.layouts[self.done[0].session.layout].targets[suite.task.target]
        return level(len(at.outputs)) if level else None

    def _shared_metrics(self) -> list[str]:
        """Metrics that every recording has, and whose unit is the same in all of them."""
        one = len(self.sessions) == 1
        return [
            name
            for name in self.context.suite.metrics
            if all(name in s.scores for s in self.sessions) and (one or metric(name).unit != "target")
        ]

    def _environment(self) -> dict[str, Any]:
        """Where the cells were run; `mixed` if not all of them in one environment."""
        first: dict[str, Any] = self.seen[0]["environment"]
        return first | ({} if all(s["environment"] == first for s in self.seen) else {"mixed": True})

    def _tracks(
        self,
        cost: records.Cost,
        fast: records.Latency | None,
        pace: records.Latency | None,
        delays: Mapping[str, float],
        audit: Mapping[str, records.Verdict],
    ) -> dict[str, records.TrackVerdict]:
        bin_s, effective = self.context.suite.task.bin_s, cost.effective_per_bin
        # A budget is kept by what was counted, not by a decoder's word.
        counted = cost.operations == "counted"

        def slower(name: str) -> float:
            """Of the two kinds of passes: nothing may be slow where the other does not look."""
            return float(max(getattr(one, name) for one in (fast, pace) if one is not None))

        measured = Measured(
            causal=self.run.causal and STREAMED in audit,
            audit_failed=tuple(name for name, verdict in audit.items() if not verdict.ok),
            p99_bins=slower("p99") / 1e3 / bin_s if pace else None,
            p99_ms=slower("p99") if pace else None,
            deadline_miss_rate=slower("deadline_miss_rate") if pace else None,
            delay_ms=delays.get("total"),
            answer_delay_bins=self.run.delay.bins,
            parameters=cost.parameters,
            artifact_bytes=cost.artifact_bytes,
            state_bytes=cost.state_bytes,
            synaptic_operations_per_s=effective / bin_s if counted and effective is not None else None,
            energy_nj_per_bin=cost.energy_nj_per_bin,
        )
        failed = f"status {self.bad.status}" if self.bad else ""
        verdicts = [(track, failed or why_not(track, measured)) for track in self.context.tracks]
        return {t.name: records.TrackVerdict(ok=not why, why=why, version=t.version) for t, why in verdicts}

    def _identity(self) -> records.DecoderIdentity:
        run = self.run
        return records.DecoderIdentity(
            name=run.ref.name,
            version=run.ref.version,
            entry_point=run.identity()["entry_point"],
            parameters=dict(run.parameters),
            source_sha256=run.source,
            source_bytes=source_bytes(run.ref),
        )


def _folds(cell: SessionCell) -> list[tuple[str, Path]]:
    """Name and folder of each artefact of a recording."""
    if len(cell.learned) == 1:
        return [(cell.session.id, cell.learned[0])]
    return [(f"{cell.session.id}/fold-{i}", folder) for i, folder in enumerate(cell.learned, 1)]

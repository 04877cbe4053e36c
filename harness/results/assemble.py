"""From what the judge saw to a record: scores of one cell, then one record of all cells of a run."""

import json
import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from harness.data.simulate import best_score
from harness.data.suites import Session, Suite
from harness.judge import artifact
from harness.judge.budget import Measured, shipped_tracks, why_not
from harness.judge.cell import Fitted, Tested
from harness.judge.hardware import fingerprint
from harness.judge.profiles import Profile
from harness.registry import DecoderRef
from harness.results import cells, records
from harness.results.store import Store, read_record, write_whole
from harness.score import stats
from harness.score.metrics import Metric, metric
from harness.types import Recording

PACKAGES = ("numpy", "scipy", "scikit-learn", "torch", "pynwb", "h5py", "safetensors")


@dataclass(frozen=True)
class Run:
    """One decoder with one seed: what a record is about."""

    ref: DecoderRef
    parameters: Mapping[str, Any]
    source: str
    inputs: tuple[str, ...]
    causal: bool
    seed: int

    def identity(self) -> dict[str, Any]:
        """What decides its outcome, for a cell's key."""
        where = Path(self.ref.entry_point).name if self.ref.is_file else self.ref.entry_point
        return {"entry_point": where, "source": self.source, "parameters": dict(self.parameters)}


@dataclass(frozen=True)
class SessionCell:
    """A finished cell, and where its fit is."""

    session: Session
    data: str
    file: Path
    key: str
    fit: Path


def cell_files(tested: Tested, part: Recording, *, suite: Suite, seconds: float) -> dict[str, bytes]:
    """The files of one cell: `cell.json` and `predictions.npz`.

    Args:
        tested: What the judge saw.
        part: The test recording with its labels, which no worker has.
        suite: Gives metrics.
        seconds: How long the test pass took.
    """
    kept: dict[str, Any] = {
        "status": tested.status,
        "error": tested.error,
        "findings": {name: asdict(finding) for name, finding in tested.findings.items()},
        "calibration": dict(tested.calibration),
        "noisy": tested.noisy,
        "isolation": tested.isolation,
        "seconds": seconds,
        "started_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "session": part.session.id,
    }
    arrays: dict[str, np.ndarray] = {"round_trip_ns": tested.round_trip_ns}
    if tested.status == "ok":
        drawn = _draws(part, tested.outputs, metric(suite.metrics[0]))
        arrays |= {"outputs": tested.outputs, "draws": drawn.astype(np.float32)}
        kept |= _scores(part, tested.outputs, suite)
        low_high = stats.interval(drawn)
        kept["interval"] = {suite.metrics[0]: [low_high.low, low_high.high]}
    return {"cell.json": json.dumps(kept, indent=1).encode(), "predictions.npz": cells.arrays_to_npz(arrays)}


def assemble(store: Store, run: Run, done: Sequence[SessionCell], *, context: Mapping[str, Any]) -> records.Record:
    """One record from all cells of a run; the same cells give the record that was written for them.

    Args:
        store: Where cells are and the record goes.
        run: Which decoder.
        done: Its cells, in the order of the tier.
        context: `suite`, `tier`, `profile`.
    """
    note = store.root / "runs" / f"{cells.key(cells=[c.key for c in done], tier=context['tier'], seed=run.seed)}.json"
    if note.exists():
        path = store.root / cells.read_json(note)["record"]
        if path.exists():
            return read_record(path)
    seen = [cells.read_json(store.cell(c.key) / "cell.json") for c in done]
    predictions, kept = _gathered(store, done)
    record = records.sealed(_record(run, done, seen, parts=(predictions, kept), **context))
    for path, content in ((store.predictions(record), predictions), (store.artifact(record), kept)):
        if content:
            write_whole(path, content)
    path = store.save(record)
    write_whole(note, cells.canonical({"record": path.relative_to(store.root).as_posix()}))
    return record


def _gathered(store: Store, done: Sequence[SessionCell]) -> tuple[bytes, bytes]:
    """Predictions and artefacts of all sessions, each as one file; empty if there are none."""
    outputs = [(c.session.id, cells.npz_to_arrays(store.cell(c.key) / "predictions.npz")) for c in done]
    learned = [(c.session.id, (c.fit / "artifact.safetensors").read_bytes()) for c in done]
    arrays = cells.merged([(session, artifact.unpack(content)) for session, content in learned if content])
    return cells.arrays_to_npz(cells.merged(outputs)), artifact.pack(arrays) if arrays else b""


def _draws(part: Recording, outputs: np.ndarray, primary: Metric) -> np.ndarray:
    timeline = stats.Timeline(part.session.bin_s, starts=part.inputs.starts, scored=part.scored)
    return stats.draws(primary, part.targets, outputs, time=timeline)


def _scores(part: Recording, outputs: np.ndarray, suite: Suite) -> dict[str, Any]:
    """Scores on scored bins, and what decoders without knowledge would get."""
    y_true, y_pred = part.targets[part.scored], outputs[part.scored]
    scores = {name: metric(name)(y_true, y_pred) for name in suite.metrics}
    shifted = np.roll(y_true, len(y_true) // 2, axis=0)
    floor = {"shifted_labels": metric(suite.metrics[0])(y_true, shifted)}
    return {"scores": _finite(scores), "floor": _finite(floor), "n_scored_bins": len(y_true)}


def _finite(values: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in values.items() if math.isfinite(value)}


def _record(
    run: Run,
    done: Sequence[SessionCell],
    seen: Sequence[Any],
    *,
    parts: tuple[bytes, bytes],
    suite: Suite,
    tier: str,
    profile: Profile,
) -> records.Record:
    predictions = cells.npz_to_arrays(parts[0])
    fits = {c.fit: cells.read_json(c.fit / "fit.json") for c in done}
    sessions = [_session_result(c, s, predictions, fits[c.fit], suite) for c, s in zip(done, seen, strict=True)]
    bad = next((s for s in sessions if s.status != "ok"), None)
    latency = _latency(_all(predictions, "round_trip_ns"), suite.task.bin_s)
    sizes = [(c.fit / "artifact.safetensors").read_bytes() for c in done]
    cost = records.Cost(
        fit_s=sum(f["fit_s"] for f in fits.values()),
        parameters=max((artifact.n_parameters(artifact.unpack(content)) for content in sizes if content), default=0),
        artifact_bytes=max(len(content) for content in sizes),
    )
    audit = _audit(seen)
    measured = Measured(
        causal=run.causal,
        audit_failed=tuple(name for name, verdict in audit.items() if not verdict.ok),
        p99_bins=latency.p99 / 1e3 / suite.task.bin_s if latency else None,
        deadline_miss_rate=latency.deadline_miss_rate if latency else None,
        artifact_bytes=cost.artifact_bytes,
    )
    return records.Record(
        schema=records.SCHEMA,
        suite=suite.label,
        tier=tier,
        simulated=any(c.session.source.host == "simulated" for c in done),
        seed=run.seed,
        status=bad.status if bad else "ok",
        error=f"{bad.session}: {bad.error}" if bad else None,
        decoder=_identity(run),
        sessions=sessions,
        metric=suite.metrics[0],
        bin_s=suite.task.bin_s,
        scores={} if bad else _over_sessions(sessions, predictions, suite),
        latency_ms=latency,
        cost=cost,
        audit=audit,
        tracks=_tracks(measured, bad),
        isolation="sandbox" if all(s["isolation"] == "sandbox" for s in seen) else "process",
        profile=records.Profile(
            name=f"{profile.name}@{profile.version}",
            calibration=_medians([s["calibration"] for s in seen]),
            noisy=any(s["noisy"] for s in seen),
        ),
        environment=_environment(),
        predictions_sha256=records.sha256(parts[0]) if parts[0] else None,
        artifact_sha256=records.sha256(parts[1]) if parts[1] else None,
        started_utc=min(s["started_utc"] for s in seen),
        seconds=sum(s["seconds"] for s in seen) + cost.fit_s,
    )


def _session_result(
    c: SessionCell, seen: Any, predictions: Mapping[str, np.ndarray], fit: Any, suite: Suite
) -> records.SessionResult:
    ok = seen["status"] == "ok"
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
        reference=best_score(c.file) if c.session.source.host == "simulated" else {},
        latency_ms=_latency(predictions[f"{c.session.id}/round_trip_ns"], suite.task.bin_s) if ok else None,
        fit_s=fit["fit_s"],
        cell=c.key,
    )


def _over_sessions(
    sessions: Sequence[records.SessionResult], predictions: Mapping[str, np.ndarray], suite: Suite
) -> dict[str, records.Score]:
    """Means over sessions; the primary metric's interval resamples sessions and blocks."""
    primary = suite.metrics[0]
    drawn = [predictions[f"{s.session}/draws"].astype(float) for s in sessions]
    span = stats.over_sessions(drawn, rng=np.random.default_rng(stats.PROTOCOL.seed))
    spans = {primary: (span.low, span.high)}
    means = {
        name: float(np.mean([s.scores[name] for s in sessions]))
        for name in suite.metrics
        if all(name in s.scores for s in sessions)
    }
    return {
        name: records.Score(value=mean, low=spans.get(name, (None, None))[0], high=spans.get(name, (None, None))[1])
        for name, mean in means.items()
    }


def _audit(seen: Sequence[Any]) -> dict[str, records.Verdict]:
    """Each rule's worst outcome over the sessions."""
    verdicts: dict[str, records.Verdict] = {}
    for s in seen:
        for name, finding in s["findings"].items():
            why = f"{s['session']}: {finding['why']}" if finding["why"] else ""
            new = records.Verdict(ok=finding["ok"], why=why, max_difference=finding["max_difference"])
            old = verdicts.get(name)
            if old is None or (new.max_difference or 0.0) > (old.max_difference or 0.0):
                verdicts[name] = new
    return verdicts


def _tracks(measured: Measured, bad: records.SessionResult | None) -> dict[str, records.Verdict]:
    reasons = {t.label: f"status {bad.status}" if bad else why_not(t, measured) for t in shipped_tracks()}
    return {label: records.Verdict(ok=not why, why=why) for label, why in reasons.items()}


def _latency(round_trip_ns: np.ndarray, bin_s: float) -> records.Latency | None:
    if not round_trip_ns.size:
        return None
    ms = round_trip_ns / 1e6
    p50, p99, p999 = np.percentile(ms, [50, 99, 99.9]).tolist()
    missed = float(np.mean(ms > bin_s * 1e3))
    return records.Latency(
        p50=p50, p99=p99, p999=p999, max=float(ms.max()), deadline_miss_rate=missed, n=len(round_trip_ns)
    )


def _all(predictions: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    found = [values for key, values in predictions.items() if key.endswith(f"/{name}")]
    return np.concatenate(found) if found else np.empty(0, np.int64)


def _medians(calibrations: Sequence[Mapping[str, float]]) -> dict[str, float]:
    names = sorted({name for c in calibrations for name in c})
    return {name: float(np.median([c[name] for c in calibrations if name in c])) for name in names}


def _identity(run: Run) -> records.DecoderIdentity:
    return records.DecoderIdentity(
        name=run.ref.name,
        version=run.ref.version,
        entry_point=run.identity()["entry_point"],
        parameters=dict(run.parameters),
        source_sha256=run.source,
    )


def _environment() -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
        "harness": version("neural-decoder-harness"),
        "harness_source_sha256": cells.code_sha256(),
        **fingerprint(),
    }

"""Records made up for tests: realistic in shape and size, clearly fake in name and content."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harness.results.records import (
    Cost,
    DecoderIdentity,
    Latency,
    Profile,
    Record,
    Score,
    SessionResult,
    TrackVerdict,
    Verdict,
    sealed,
)
from harness.results.store import Store

SUITE = "made-up-reaching@1"


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def make_latency(p50_ms: float = 0.05, *, bin_s: float = 0.02, n: int = 6000) -> Latency:
    """Round trips with a tail twenty times as long as the median."""
    worst_ms = 20 * p50_ms
    missed = 0.0 if worst_ms < bin_s * 1000 else 0.004
    return Latency(p50=p50_ms, p99=2.2 * p50_ms, p999=6 * p50_ms, max=worst_ms, deadline_miss_rate=missed, n=n)


def make_session(name: str, score: float, **changes: Any) -> SessionResult:
    """One session; `reference` is there as in a simulated one unless changed."""
    content: dict[str, Any] = {
        "session": name,
        "subject": "nobody",
        "group": "made-up",
        "sha256": sha256(name),
        "status": "ok",
        "n_scored_bins": 6000,
        "scores": {"r2": score, "pearson_r": score**0.5 if score > 0 else 0.0},
        "interval": {"r2": (score - 0.04, score + 0.03)},
        "floor": {"shifted labels": -0.2},
        "reference": {"linear oracle": 0.82},
        "latency_ms": make_latency(),
        "fit_s": 0.8,
        "cell": sha256(f"{name}{score}"),
    }
    return SessionResult(**(content | changes))


def make_decoder(name: str = "example-filter", **changes: Any) -> DecoderIdentity:
    content: dict[str, Any] = {
        "name": name,
        "version": "0.0.0",
        "entry_point": f"made_up.{name.replace('-', '_')}:Example",
        "parameters": {"history_bins": 10},
        "source_sha256": sha256(name),
    }
    return DecoderIdentity(**(content | changes))


def make_record(name: str = "example-filter", score: float = 0.7, **changes: Any) -> Record:
    """A sealed record of one decoder and one seed on two sessions; any field can be given."""
    content: dict[str, Any] = {
        "suite": SUITE,
        "tier": "simulated",
        "simulated": True,
        "seed": 42,
        "status": "ok",
        "error": None,
        "decoder": make_decoder(name),
        "sessions": [make_session("made-up-1", score - 0.05), make_session("made-up-2", score + 0.05)],
        "metric": "r2",
        "bin_s": 0.02,
        "scores": {"r2": Score(value=score, low=score - 0.03, high=score + 0.02)},
        "latency_ms": make_latency(),
        "cost": Cost(fit_s=1.6, parameters=1922, artifact_bytes=8192),
        "audit": {"future_has_no_effect": Verdict(ok=True, max_difference=0.0)},
        "tracks": {"causal": {"ok": True, "version": 1}},
        "isolation": "sandbox",
        "profile": Profile(name="cpu-1@1", calibration={"gemv_before": 0.004, "gemv_after": 0.004}, noisy=False),
        "environment": {"note": "made up for tests", "python": "3.11"},
        "predictions_sha256": sha256("predictions"),
        "artifact_sha256": sha256("artifact"),
        "started_utc": "2026-01-01T12:00:00Z",
        "seconds": 12.0,
    }
    return sealed(Record(**(content | changes)))


def make_verdicts(**why: str) -> dict[str, TrackVerdict]:
    """A verdict on each shipped track: not qualified where `why` says so, e.g. `realtime="p99_bins is 2"`."""
    names = ("causal", "implant", "offline", "realtime")
    return {name: TrackVerdict(ok=name not in why, why=why.get(name, ""), version=1) for name in names}


def make_judged(name: str = "example-filter", score: float = 0.7, *, p50_ms: float = 0.05, **changes: Any) -> Record:
    """A record with all that a run holds today: paced pass, counted operations, delays, a verdict on each track."""
    fast = make_latency(p50_ms).model_copy(
        update={"p95": 1.6 * p50_ms, "jitter": 0.1 * p50_ms, "spread": {"p99": (2.1 * p50_ms, 2.5 * p50_ms)}}
    )
    paced_ms = {"p50": 1.5 * fast.p50, "p99": 1.5 * fast.p99}
    cost = Cost(
        fit_s=1.6,
        parameters=1922,
        artifact_bytes=8192,
        footprint_bytes=7688,
        operations="counted",
        macs_per_s=90_000.0,
        acs_per_s=5_000.0,
        dense_per_s=96_000.0,
        elementwise_per_s=1_000.0,
        effective_per_bin=1_920.0,
        connection_sparsity=0.0,
        state_bytes=7680,
        memory_floor_ms=0.001,
        energy_nj_per_bin=8.8,
        energy_model="horowitz-2014@1",
    )
    content: dict[str, Any] = {
        "latency_ms": fast,
        "paced_latency_ms": fast.model_copy(update=paced_ms),
        "delays_ms": {"bin": 20.0, "compute": paced_ms["p99"], "total": 20.0 + paced_ms["p99"]},
        "cost": cost,
        "tracks": make_verdicts(),
    }
    return make_record(name, score, **(content | changes))


def make_failure(name: str = "example-broken", error: str = "step returned NaN", **changes: Any) -> Record:
    """A record of a decoder whose output was invalid on its second session."""
    failed = make_session("made-up-2", 0.0, status="invalid-output", error=error, scores={}, latency_ms=None)
    content: dict[str, Any] = {
        "status": "invalid-output",
        "error": error,
        "sessions": [make_session("made-up-1", 0.3), failed],
        "scores": {},
        "latency_ms": None,
        "cost": Cost(fit_s=0.1, parameters=0, artifact_bytes=0),
        "tracks": {"causal": {"ok": False, "why": "the run did not finish", "version": 1}},
        "predictions_sha256": None,
        "artifact_sha256": None,
    }
    return make_record(name, **(content | changes))


def make_field(seed: int = 0) -> list[Record]:
    """Eight decoders from poor and fast to good and slow, the last three with three seeds, and one failure."""
    rng = np.random.default_rng(seed)
    names = ("mean", "shifted", "linear", "cascade", "kalman", "mlp", "gru", "lstm")
    scores = (-0.01, -0.02, 0.61, 0.64, 0.66, 0.70, 0.76, 0.75)
    records = [make_failure()]
    for i, (name, score) in enumerate(zip(names, scores, strict=True)):
        for decoder_seed in (42, 123, 456) if i >= 5 else (42,):
            value = score + rng.normal(0, 0.008) * (i >= 5)
            timing = make_latency(0.017 * 1.7**i, n=12_000)
            cost = Cost(fit_s=0.2 * 2.5**i, parameters=int(4 * 6**i), artifact_bytes=int(600 + 17 * 6**i))
            values = {"r2": Score(value=value, low=value - 0.02, high=value + 0.02)}
            changes = {"seed": decoder_seed, "scores": values, "latency_ms": timing, "cost": cost}
            records.append(make_record(f"example-{name}", value, **changes))
    return records


def make_judged_field() -> list[Record]:
    """Rows that differ in track, operations and disturbance, from a small linear one to one without a causal step."""
    small = make_judged().cost
    large = {"parameters": 4_900_000, "artifact_bytes": 19_600_000, "effective_per_bin": 9_800_000.0}
    too_large = "artifact_bytes is 1.96e+07; 131072 is allowed"
    slow = {"realtime": "p99_bins is 1.53; 1 is allowed", "implant": "p99_bins is 1.53; 1 is allowed"}
    aside = dict.fromkeys(("causal", "realtime", "implant"), "the decoder has no causal step")
    unseen = {"operations": "unknown", "operations_why": "scipy.linalg.solve works out of sight"}
    none = {"effective_per_bin": None, "macs_per_s": None, "acs_per_s": None, "dense_per_s": None}
    gone = {"implant": "synaptic_operations_per_s was not measured"}
    busy = Profile(name="cpu-1@1", calibration={}, noisy=True, noisy_why="the reference kernel took 1.4 times as long")
    declared = small.model_copy(update={"operations": "declared", "effective_per_bin": 2_400.0})
    wide = make_verdicts(implant=too_large)
    return [
        make_judged("example-linear", 0.61),
        make_judged("example-declared", 0.64, cost=declared, p50_ms=0.08),
        make_judged("example-solver", 0.66, cost=small.model_copy(update=unseen | none), tracks=make_verdicts(**gone)),
        make_judged(
            "example-student", 0.76, cost=small.model_copy(update=large), p50_ms=0.9, tracks=wide, profile=busy
        ),
        make_judged(
            "example-teacher", 0.79, cost=small.model_copy(update=large), p50_ms=9.3, tracks=make_verdicts(**slow)
        ),
        make_judged(
            "example-smoother",
            0.81,
            latency_ms=None,
            paced_latency_ms=None,
            delays_ms={},
            tracks=make_verdicts(**aside),
        ),
        make_failure(tracks=make_verdicts(**dict.fromkeys(make_verdicts(), "status invalid-output"))),
    ]


def write_store(root: Path, records: Sequence[Record]) -> Path:
    """Save records under `root` and give it back."""
    for record in records:
        Store(root).save(record)
    return root

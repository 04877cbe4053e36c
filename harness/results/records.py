"""The record: everything that one run of one decoder on one suite left behind, in one JSON document.

The schema is fixed (docs: design of the record); numbers are raw, unrounded; times are UTC. A record is never
edited: its `id` is the hash of its own content.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

SCHEMA = 1

Status = Literal["ok", "failed", "timed-out", "out-of-memory", "invalid-output"]


class Part(BaseModel):
    """Strict and frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DecoderIdentity(Part):
    """Which code, with which hyper-parameters.

    version: Of the package that brings it; "file" for a loose file.
    entry_point: `package.module:Class`.
    source_sha256: Over the names and contents of the decoder's own files and of the helpers that they use.
    source_bytes: Size of all that the hash covers, data files too.
    """

    name: str
    version: str
    entry_point: str
    parameters: dict[str, Any]
    source_sha256: str
    source_bytes: int | None = None


class Score(Part):
    """A mean over recordings with its 95 % bootstrap interval; only the suite's first metric has one."""

    value: float
    low: float | None = None
    high: float | None = None


class Latency(Part):
    """Round trips of streamed bins, in milliseconds, by the judge's clock; of several passes the one in the middle.

    p50, p95, p99, p999, max: Of all bins of the recordings.
    deadline_miss_rate: Share of bins that took longer than a bin lasts.
    n: Round trips.
    jitter: Mean difference of neighbouring round trips, without sign.
    histogram: Lower edge in microseconds -> number of round trips, ten bars to a decade.
    passes: How many there were, for a disturbed one is repeated.
    spread: Lowest and highest p50 and p99 of all passes and recordings.
    """

    p50: float
    p95: float | None = None
    p99: float
    p999: float
    max: float
    jitter: float | None = None
    deadline_miss_rate: float
    n: int
    histogram: dict[str, int] = Field(default_factory=dict)
    passes: int = 1
    spread: dict[str, tuple[float, float]] = Field(default_factory=dict)


class Trials(Part):
    """Decisions of one recording's trials.

    confusion: Trials by true class (rows) and decided class, in the order of `classes`, at the decision time.
    offset_s, balanced_accuracy: How good the answers are at other times since the cue.
    """

    classes: tuple[str, ...]
    confusion: tuple[tuple[int, ...], ...]
    offset_s: tuple[float, ...]
    balanced_accuracy: tuple[float, ...]


class SessionResult(Part):
    """One recording's part of a run.

    subject, group: Of the suite's own list.
    sha256: Of the recording's content: of the file, or of the generator with its parameters.
    status: What became of the fit and of the test pass; `error` says why if it is not ok.
    n_scored_bins: Bins that the scores are of.
    scores: Metric -> value.
    interval: 95 % bootstrap interval of the primary metric.
    latency_ms: As fast as bins are answered; null for a decoder that looks ahead.
    fit_s: Of fitting and adapting; pretraining is in `learning`.
    cell: Key of the finished work in the store that it was measured in.
    floor: The primary metric of the test labels shifted by half the test set; of classes, the chance level.
    reference: The best reachable score that a simulated session states, by name; empty for real ones.
    trials: Of classes: what is known of its trials beside their score.
    """

    session: str
    subject: str
    group: str
    sha256: str
    status: Status
    error: str | None = None
    n_scored_bins: int = 0
    scores: dict[str, float] = Field(default_factory=dict)
    interval: dict[str, tuple[float, float]] = Field(default_factory=dict)
    floor: dict[str, float] = Field(default_factory=dict)
    reference: dict[str, float] = Field(default_factory=dict)
    trials: Trials | None = None
    latency_ms: Latency | None = None
    fit_s: float = 0.0
    cell: str


class LearningStage(Part):
    """One stage of learning behind a run.

    key: Of its content in the store.
    seconds: Its wall time, without the start of its process.
    sessions: Whose train and validation parts (of an adaptation: the last minutes of the train part) it was given.
    labels: Whether it was given their labels.
    decoder: Whose stage it is: a pretraining may be another decoder's, such as a teacher's.
    artifact_sha256: Of the arrays that it left.
    backend: Which of several implementations ran, where the decoder notes it in an array named `..backend_`.
    """

    stage: Literal["pretrain", "fit", "adapt"]
    key: str
    seconds: float
    sessions: tuple[str, ...]
    labels: bool
    decoder: str = ""
    artifact_sha256: str = ""
    backend: str = ""


class Cost(Part):
    """What training took, what was kept and what a bin takes; the dearest of a run's recordings. None is unknown.

    pretrain_s, fit_s, adapt_s: Of learning, by stage.
    parameters: Learned values.
    artifact_bytes: Of the file that holds them.
    activation_sparsity, connection_sparsity: Shares of zeros, as NeuroBench counts them.
    effective_per_bin: Operations of one bin that do not meet a zero.
    footprint_bytes: Of what was learned, in the dtypes in which it is stored; `packed_bytes` with declared widths.
    operations: Whether they were counted, declared by the decoder, or are unknown; `operations_why` says why.
    macs_per_s, acs_per_s: Effective products in contractions; dense: zeros included; elementwise: gates, gains.
    state_bytes: What the decoder holds while it streams, beyond what it learned.
    memory_floor_ms: What reading everything learned once takes from this machine's memory.
    energy_nj_per_bin: Modelled, by the table that `energy_model` names.
    """

    pretrain_s: float = 0.0
    fit_s: float
    adapt_s: float = 0.0
    parameters: int
    artifact_bytes: int
    footprint_bytes: int | None = None
    packed_bytes: int | None = None
    operations: Literal["counted", "declared", "unknown"] = "unknown"
    operations_why: str = ""
    macs_per_s: float | None = None
    acs_per_s: float | None = None
    dense_per_s: float | None = None
    elementwise_per_s: float | None = None
    effective_per_bin: float | None = None
    activation_sparsity: float | None = None
    connection_sparsity: float | None = None
    state_bytes: int | None = None
    memory_floor_ms: float | None = None
    energy_nj_per_bin: float | None = None
    energy_model: str = ""


class Verdict(Part):
    """Whether a rule holds, and why not."""

    ok: bool
    why: str = ""
    max_difference: float | None = None


class TrackVerdict(Part):
    """Whether a run qualifies for a track, by which version of its rules, and why not."""

    ok: bool
    why: str = ""
    version: int


class Profile(Part):
    """Where and how the run was timed; `calibration` holds kernel times in ms before and after.

    noisy: Most passes over one of its recordings were disturbed; `noisy_why` says by what.
    """

    name: str
    calibration: dict[str, float]
    noisy: bool
    noisy_why: str = ""


class Record(Part):
    """One run: (suite@version, tier, decoder, seed, profile) over the tier's sessions.

    schema: Of this document.
    id: SHA-256 of the canonical document without `id` and `signature`.
    suite: `name@version`, or `name/task@version`.
    tier: Which of the suite's recordings.
    simulated: Whether a generator made them; such records are never ranked with others.
    seed: Of the decoder.
    status: Of the worst recording; `error` names it.
    sessions: One result for each recording, in the tier's order.
    metric: The primary one.
    bin_s: Length of a bin.
    scores: Metric -> mean over recordings.
    latency_ms: As fast as bins are answered.
    paced_latency_ms: Bins sent at their real times.
    delays_ms: From neural activity to the answer: filters, bin, computing, and the decoder's own; `total` is their sum.
    learning: Every stage that led to the artefacts.
    audit: Rule -> whether it was kept.
    tracks: Track -> whether the run is in it.
    isolation: Whether workers had a sandbox, or were plain processes.
    environment: Python, packages, the harness's version and the hash of its source, the machine.
    predictions_sha256, artifact_sha256: Of the files beside the record.
    started_utc: When the first cell began.
    seconds: Of all learning and testing.
    signature: `ed25519:<public key>:<signature of the id>`, or null.
    chance: The metric of answers that know nothing; None where there is no such number.
    answer_delay_bins: How many bins ago that was of which an answer speaks, by the decoder's word; scored as such.
    label_look_ahead_s: How far the task's labels look beyond the right edge of their bin; above 0 the task is not
        strictly causal, though the decoder may be.
    """

    schema_: int = Field(SCHEMA, alias="schema")
    id: str = ""
    suite: str
    tier: str
    simulated: bool
    seed: int
    status: Status
    error: str | None
    decoder: DecoderIdentity
    sessions: list[SessionResult]
    metric: str
    chance: float | None = None
    bin_s: float
    scores: dict[str, Score]
    latency_ms: Latency | None
    paced_latency_ms: Latency | None = None
    delays_ms: dict[str, float] = Field(default_factory=dict)
    cost: Cost
    learning: list[LearningStage] = Field(default_factory=list)
    answer_delay_bins: int = 0
    label_look_ahead_s: float = 0.0
    audit: dict[str, Verdict]
    tracks: dict[str, TrackVerdict]
    isolation: Literal["sandbox", "process"]
    profile: Profile
    environment: dict[str, Any]
    predictions_sha256: str | None
    artifact_sha256: str | None
    started_utc: str
    seconds: float
    signature: str | None = None


def canonical(document: Any) -> bytes:
    """The one JSON text of a document: sorted keys, no spaces, UTF-8."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def sha256(content: bytes) -> str:
    """Digest of a file's content, as records state it."""
    return hashlib.sha256(content).hexdigest()


def document_id(document: Mapping[str, Any]) -> str:
    """SHA-256 of a canonical record without `id` and `signature`: of what is written, by whichever version."""
    return sha256(canonical({name: value for name, value in document.items() if name not in ("id", "signature")}))


def sealed(record: Record) -> Record:
    """The record with its id filled in."""
    return record.model_copy(update={"id": document_id(record.model_dump(mode="json", by_alias=True))})

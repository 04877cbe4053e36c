"""The record: everything that one run of one decoder on one suite left behind, in one JSON document.

The schema is fixed (docs: design of the record); numbers are raw, unrounded; times are UTC. A record is never
edited: its `id` is the hash of its own content.
"""

import hashlib
import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

SCHEMA = 1

Status = Literal["ok", "failed", "timed-out", "out-of-memory", "invalid-output"]


class Part(BaseModel):
    """Strict and frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DecoderIdentity(Part):
    """Which code, with which hyper-parameters."""

    name: str
    version: str
    entry_point: str
    parameters: dict[str, Any]
    source_sha256: str


class Score(Part):
    """A mean over recordings with its 95 % bootstrap interval; only the suite's first metric has one."""

    value: float
    low: float | None = None
    high: float | None = None


class Latency(Part):
    """Round trips of all streamed bins, in milliseconds, by the judge's clock."""

    p50: float
    p99: float
    p999: float
    max: float
    deadline_miss_rate: float
    n: int


class SessionResult(Part):
    """One recording's part of a run.

    floor: The primary metric of the test labels shifted by half the test set.
    reference: The best reachable score that a simulated session states, by name; empty for real ones.
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
    latency_ms: Latency | None = None
    fit_s: float = 0.0
    cell: str


class Cost(Part):
    """What training took and what was kept. None: not counted in this version of the harness."""

    pretrain_s: float = 0.0
    fit_s: float
    parameters: int
    artifact_bytes: int
    macs_per_s: float | None = None
    acs_per_s: float | None = None
    activation_sparsity: float | None = None
    connection_sparsity: float | None = None


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
    """Where and how the run was timed; `calibration` holds kernel times in ms before and after."""

    name: str
    calibration: dict[str, float]
    noisy: bool


class Record(Part):
    """One run: (suite@version, tier, decoder, seed, profile) over the tier's sessions."""

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
    bin_s: float
    scores: dict[str, Score]
    latency_ms: Latency | None
    cost: Cost
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


def record_id(record: Record) -> str:
    """SHA-256 of the canonical record without `id` and `signature`."""
    content = record.model_dump(mode="json", by_alias=True, exclude={"id", "signature"})
    return sha256(canonical(content))


def sealed(record: Record) -> Record:
    """The record with its id filled in."""
    return record.model_copy(update={"id": record_id(record)})

"""Tracks: which budgets a run kept. One run is judged once and then qualifies for each track, or says why not."""

from dataclasses import dataclass
from pathlib import Path

from harness.data.suites import Model, read_model, shipped


class Track(Model):
    """A set of budgets; what is None is not limited. `p99_bins` is the p99 round trip in bin widths."""

    name: str
    version: int
    description: str
    causal: bool = False
    p99_bins: float | None = None
    deadline_miss_rate: float | None = None
    artifact_bytes: int | None = None
    synaptic_operations_per_s: float | None = None

    @property
    def label(self) -> str:
        return f"{self.name}@{self.version}"


@dataclass(frozen=True)
class Measured:
    """What budgets are compared with; None where nothing was measured."""

    causal: bool
    audit_failed: tuple[str, ...] = ()
    p99_bins: float | None = None
    deadline_miss_rate: float | None = None
    artifact_bytes: int | None = None
    synaptic_operations_per_s: float | None = None


def shipped_tracks() -> list[Track]:
    """The tracks of `datasets/tracks`."""
    return [read_model(path, Track) for path in sorted(shipped("tracks").glob("*.yaml"))]


def load_track(path: Path) -> Track:
    """A lab's own track."""
    return read_model(path, Track)


def why_not(track: Track, measured: Measured) -> str:
    """The first budget that a run broke, with its number; empty if it kept them all."""
    if track.causal and not measured.causal:
        return "the decoder has no causal step"
    if track.causal and measured.audit_failed:
        return f"audit failed: {', '.join(measured.audit_failed)}"
    for name in ("p99_bins", "deadline_miss_rate", "artifact_bytes", "synaptic_operations_per_s"):
        limit, value = getattr(track, name), getattr(measured, name)
        if limit is not None and value is None:
            return f"{name} was not measured"
        if limit is not None and value > limit:
            return f"{name} is {value:.6g}; {limit:.6g} is allowed"
    return ""

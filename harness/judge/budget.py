"""Tracks: which budgets a run kept. One run is judged once and then qualifies for each track, or says why not."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path

from pydantic import Field, NonNegativeFloat, PositiveInt

from harness.data.suites import Model, read_model, shipped
from harness.errors import UsageError


class Track(Model):
    """A set of budgets; what is None is not limited. A budget is on the number of the same name in `Measured`."""

    name: str = Field(pattern=r"^[a-z][a-z0-9-]*$")
    version: PositiveInt
    description: str
    causal: bool = False
    p99_bins: NonNegativeFloat | None = None
    p99_ms: NonNegativeFloat | None = None
    deadline_miss_rate: NonNegativeFloat | None = None
    delay_ms: NonNegativeFloat | None = None
    answer_delay_bins: NonNegativeFloat | None = None
    parameters: NonNegativeFloat | None = None
    artifact_bytes: NonNegativeFloat | None = None
    state_bytes: NonNegativeFloat | None = None
    synaptic_operations_per_s: NonNegativeFloat | None = None
    energy_nj_per_bin: NonNegativeFloat | None = None

    @property
    def label(self) -> str:
        return f"{self.name}@{self.version}"


@dataclass(frozen=True)
class Measured:
    """What budgets are compared with; None where nothing was measured.

    p99_bins, p99_ms, deadline_miss_rate: Of the paced pass; p99 in bin widths and in ms.
    delay_ms: From neural activity to the answer: look-ahead, interpolation, filters, the bin and computing.
    answer_delay_bins: How many bins ago that was of which an answer speaks; 0 is the bin that has just ended.
    synaptic_operations_per_s: Effective products of all kinds.
    """

    causal: bool
    audit_failed: tuple[str, ...] = ()
    p99_bins: float | None = None
    p99_ms: float | None = None
    deadline_miss_rate: float | None = None
    delay_ms: float | None = None
    answer_delay_bins: float | None = None
    parameters: float | None = None
    artifact_bytes: float | None = None
    state_bytes: float | None = None
    synaptic_operations_per_s: float | None = None
    energy_nj_per_bin: float | None = None


BUDGETS = tuple(f.name for f in fields(Measured) if f.name not in ("causal", "audit_failed"))


def shipped_tracks() -> list[Track]:
    """The tracks of `datasets/tracks`, the one that asks least first."""
    tracks = [read_model(path, Track) for path in shipped("tracks").glob("*.yaml")]
    return sorted(tracks, key=lambda t: (t.causal, sum(getattr(t, name) is not None for name in BUDGETS), t.name))


def tracks_with(own: Iterable[Path]) -> list[Track]:
    """The shipped tracks and a lab's own ones, from YAML files.

    Raises:
        UsageError: If a file is no track, or takes a name that is there.
    """
    tracks = shipped_tracks()
    for path in own:
        if not path.is_file():
            raise UsageError(f"there is no track file {path}; give a YAML file as those in datasets/tracks")
        track = read_model(path, Track)
        taken = [t.name for t in tracks]
        if track.name in taken:
            raise UsageError(f"{path}: the name {track.name!r} is taken ({', '.join(taken)}); choose another")
        tracks.append(track)
    return tracks


def why_not(track: Track, measured: Measured) -> str:
    """The first rule that a run broke, with its number; empty if it kept them all."""
    if track.causal and not measured.causal:
        return "the decoder has no causal step"
    if track.causal and measured.audit_failed:
        return f"audit failed: {', '.join(measured.audit_failed)}"
    for name in BUDGETS:
        limit, value = getattr(track, name), getattr(measured, name)
        if limit is not None and value is None:
            return f"{name} was not measured"
        if limit is not None and value > limit:
            return f"{name} is {value:.6g}; {limit:.6g} is allowed"
    return ""

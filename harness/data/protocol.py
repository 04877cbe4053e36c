"""What a suite says of its task: where things are in a file, what is decoded, and which part is for what."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    model_validator,
)


class Model(BaseModel):
    """Strict and frozen: a typo in a suite is an error, not a default; numbers are finite."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class SpikesAt(Model):
    """Where the spikes are.

    units: A Units table (spike times).
    counts: A TimeSeries (n_bins, n_units); the time of a sample is the left edge of its bin.
    clock_hz: Ticks per second in which time is counted; a bin must be a whole number of them.
    """

    units: str | None = None
    counts: str | None = None
    clock_hz: PositiveInt = 30_000

    @model_validator(mode="after")
    def one_of_both(self) -> "SpikesAt":
        if (self.units is None) == (self.counts is None):
            raise ValueError("give either `units` (spike times) or `counts` (binned), not both")
        return self


class TargetAt(Model):
    """Where a behaviour is, and how it becomes a target.

    derive: `as_is`, the value at t_k + lag, linearly interpolated; `difference`, the backward difference of the
        linearly interpolated position over one bin, per second.
    columns: Columns of the series, in the order of `outputs`; all of them by default.
    members: Where `path` is a group of one-channel series: their names, in the order of `outputs`.
    mask: A series of the same length; samples where it is 0 count as not measured.
    clock: `nwb`, or `falcon-h1`, whose files keep the sample period in the attribute `rate` and the time of the
        first sample in the attribute `offset` of the data.
    """

    path: str
    outputs: tuple[str, ...]
    derive: Literal["as_is", "difference"] = "as_is"
    columns: tuple[int, ...] | None = None
    members: tuple[str, ...] | None = None
    mask: str | None = None
    clock: Literal["nwb", "falcon-h1"] = "nwb"

    @model_validator(mode="after")
    def one_output_per_channel(self) -> "TargetAt":
        for name, given in (("columns", self.columns), ("members", self.members)):
            if given is not None and len(given) != len(self.outputs):
                raise ValueError(f"{len(given)} {name} for {len(self.outputs)} outputs; give one for each")
        return self


class Layout(Model):
    """Where things are in the files of one family; object paths below the file's root.

    format: `matlab` lists recordings that this version can fetch and check, but not yet read.
    """

    format: Literal["nwb", "matlab"] = "nwb"
    spikes: SpikesAt | None = None
    targets: Mapping[str, TargetAt]
    trials: str | None = None


def _whole(fractions: tuple[float, float, float]) -> tuple[float, float, float]:
    if abs(sum(fractions) - 1) > 1e-9:
        raise ValueError(f"the fractions of train, validation and test must sum to 1, not to {sum(fractions):g}")
    return fractions


Fractions = Annotated[tuple[PositiveFloat, PositiveFloat, PositiveFloat], AfterValidator(_whole)]
"""Shares of train, validation and test."""


class TimeSplit(Model):
    """Contiguous parts in time, every bin of them scored.

    fractions: Shares of the session's bins.
    gap_s: Dropped before each boundary, from the end of the earlier part, so that test is exactly its share.
    """

    kind: Literal["time"] = "time"
    fractions: Fractions
    gap_s: NonNegativeFloat = 1.0


class Window(Model):
    """The scored stretch of a trial: from a trial column plus an offset to another.

    A column with several times per trial gives its first; a trial whose start or stop is NaN is in no part.
    """

    start: str = "start_time"
    start_offset_s: float = 0.0
    stop: str = "stop_time"
    stop_offset_s: float = 0.0


class TrialSplit(Model):
    """Parts made of whole trials: a bin is in the part in whose window (start, stop] its right edge lies.

    keep: Column -> allowed values; other trials are in no part.
    column: A trial column that names the part, with `train` and `test` values; validation is then the last
        `validation_fraction` of the train trials. Without it, kept trials are cut by `fractions` in time order.
    gap_s: Bins nearer than this to another part's window are not scored.
    context_s: Unscored bins before each scored stretch, through which state may run. Context never holds a scored
        bin of a later part, in the order train, validation, test.
    """

    kind: Literal["trials"]
    window: Window = Window()
    keep: Mapping[str, tuple[str | int | float | bool, ...]] = {}
    column: str | None = None
    train: tuple[str, ...] = ("train",)
    test: tuple[str, ...] = ("val",)
    validation_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2
    fractions: Fractions = (0.7, 0.1, 0.2)
    gap_s: NonNegativeFloat = 0.0
    context_s: NonNegativeFloat = 1.0


Split = Annotated[TimeSplit | TrialSplit, Field(discriminator="kind")]


class Task(Model):
    """What is decoded from what."""

    inputs: tuple[str, ...]
    privileged: tuple[str, ...] = ()
    target: str
    kind: Literal["regression", "classification"] = "regression"
    bin_s: PositiveFloat
    lag_s: float = 0.0

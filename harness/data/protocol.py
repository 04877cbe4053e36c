"""What a suite says of its task: where things are in a file, what is decoded, and which part is for what."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)


class Model(BaseModel):
    """Strict and frozen: a typo in a suite is an error, not a default; numbers are finite."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Grown(Model):
    """A model that got fields since it was first hashed: one left at its default is not written.

    So what a protocol that does not use them means, and with it the hash in its records, stays as it was.
    """

    added: ClassVar[frozenset[str]] = frozenset()

    @model_serializer(mode="wrap")
    def without_unused_additions(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields = type(self).model_fields
        unused = {name for name in self.added if getattr(self, name) == fields[name].default}
        return {name: value for name, value in write(self).items() if name not in unused}


class SpikesAt(Grown):
    """Where the spikes are.

    units: A Units table (spike times); in a MATLAB file, the cells of spike times (units, channels), of which all
        units of a channel make one column.
    counts: A TimeSeries (n_bins, n_units); the time of a sample is the left edge of its bin.
    clock_hz: Ticks per second in which time is counted; a bin must be a whole number of them.
    areas: Keep the units of these areas alone, as the file names them; all by default.
    phantom_spikes: Take the numbers that MATLAB stores for an empty cell, its shape, for spike times, as NeuroBench
        does: a spike at 0 s, and perhaps one at 1 s, wherever the recording covers them.
    """

    added = frozenset({"areas", "phantom_spikes"})

    units: str | None = None
    counts: str | None = None
    clock_hz: PositiveInt = 30_000
    areas: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    phantom_spikes: bool = False

    @model_validator(mode="after")
    def one_of_both(self) -> "SpikesAt":
        if (self.units is None) == (self.counts is None):
            raise ValueError("give either `units` (spike times) or `counts` (binned), not both")
        if self.counts is not None and self.areas is not None:
            raise ValueError("`areas` chooses among `units`; a file does not say where a column of `counts` is from")
        return self


class TargetAt(Model):
    """Where a behaviour is, and how it becomes a target.

    derive: `as_is`, the value at t_k + lag, linearly interpolated; `difference`, the backward difference of the
        linearly interpolated position over one bin, per second; `gradient`, half the difference of the samples after
        and before, per bin and in float32: NeuroBench's, which looks one bin ahead and needs the grid `samples`.
    columns: Columns of the series, in the order of `outputs`; all of them by default.
    members: Where `path` is a group of one-channel series: their names, in the order of `outputs`.
    mask: A series of the same length; samples where it is 0 count as not measured.
    clock: `nwb`, or `falcon-h1`, whose files keep the sample period in the attribute `rate` and the time of the
        first sample in the attribute `offset` of the data.
    """

    path: str
    outputs: tuple[str, ...]
    derive: Literal["as_is", "difference", "gradient"] = "as_is"
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


class Layout(Grown):
    """Where things are in the files of one family; object paths below the file's root.

    format: `matlab` is MATLAB's v7.3 as O'Doherty and others filled it: axes reversed, one clock `t` for behaviour.
    goals: A series of where the animal is to reach, sampled with the targets; a reach ends where it changes.
    """

    added = frozenset({"goals"})

    format: Literal["nwb", "matlab"] = "nwb"
    spikes: SpikesAt | None = None
    targets: Mapping[str, TargetAt]
    trials: str | None = None
    goals: str | None = None


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


class ReachSplit(Model):
    """Contiguous parts whose boundaries are changes of the layout's `goals`, every bin of them scored.

    Of S reaches, those before the first change and after the last included, the first floor(train S) are train, the
    next floor((S - train) / 2) validation, the rest test: NeuroBench's rule.

    gap_s: As in `TimeSplit`.
    """

    kind: Literal["reaches"]
    train: Annotated[float, Field(gt=0, lt=1)] = 0.5
    gap_s: NonNegativeFloat = 0.0


Split = Annotated[TimeSplit | TrialSplit | ReachSplit, Field(discriminator="kind")]


class Task(Grown):
    """What is decoded from what.

    grid: `bins`, bins cut on the layout's clock; `samples`, a row per behaviour sample t_k with the spikes of
        [t_k - 2 bin_s, t_k - bin_s), as NeuroBench's loader has it: a bin older than need be.
    binary: A bin holds 1 where it has any spike.
    label_look_ahead_s: How much later than a bin's right edge its label looks; a task whose labels do so at all is not
        strictly causal, whatever the decoder is.
    """

    added = frozenset({"grid", "binary", "label_look_ahead_s"})

    inputs: tuple[str, ...]
    privileged: tuple[str, ...] = ()
    target: str
    kind: Literal["regression", "classification"] = "regression"
    bin_s: PositiveFloat
    lag_s: float = 0.0
    grid: Literal["bins", "samples"] = "bins"
    binary: bool = False
    label_look_ahead_s: NonNegativeFloat = 0.0

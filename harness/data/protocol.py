"""What a suite says of its task: where things are in a file, and what is decoded."""

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
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

SPIKES = "spikes"
"""The stream of counts."""
CUE = "cue"
"""The stream that is 1 in the bin in which a trial's cue appears; every other stream is made from a signal."""


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


class TargetAt(Grown):
    """Where a behaviour is, and how it becomes a target.

    derive: `as_is`, the value at t_k + lag, linearly interpolated; `difference`, the backward difference of the
        linearly interpolated position over one bin, per second; `gradient`, half the difference of the samples after
        and before, per bin and in float32: NeuroBench's, which looks one bin ahead and needs the grid `samples`;
        `peer`, that of the LFP papers (`harness.data.peer`), z-scored over the session, which needs `goals`.
    columns: Columns of the series, in the order of `outputs`; all of them by default.
    members: Where `path` is a group of one-channel series: their names, in the order of `outputs`.
    mask: A series of the same length; samples where it is 0 count as not measured.
    clock: `nwb`, or `falcon-h1`, whose files keep the sample period in the attribute `rate` and the time of the
        first sample in the attribute `offset` of the data.
    between_goals: Whether it counts as measured only from the first change of the layout's `goals` to the last.
    """

    added = frozenset({"between_goals"})

    path: str
    outputs: tuple[str, ...]
    derive: Literal["as_is", "difference", "gradient", "peer"] = "as_is"
    columns: tuple[int, ...] | None = None
    members: tuple[str, ...] | None = None
    mask: str | None = None
    clock: Literal["nwb", "falcon-h1"] = "nwb"
    between_goals: bool = False

    @model_validator(mode="after")
    def one_output_per_channel(self) -> "TargetAt":
        for name, given in (("columns", self.columns), ("members", self.members)):
            if given is not None and len(given) != len(self.outputs):
                raise ValueError(f"{len(given)} {name} for {len(self.outputs)} outputs; give one for each")
        return self


class ClassesAt(Model):
    """Which of some classes each trial of the layout's `trials` is, and when that is to be known.

    Labels are one-hot from the first bin after the cue until `until_s` after it, or the trial's end if that is earlier;
    the scored bin is the last whose right edge is at most `decision_s` after the cue.

    column: The trial column that tells the class.
    classes: Output -> values of that column; trials of other values are no trials, and their cues no cues.
    keep: Further columns and the values that they must have.
    cue, stop: The columns of the cue's time and of the trial's end.
    """

    column: str
    classes: Annotated[Mapping[str, tuple[str, ...]], Field(min_length=2)]
    keep: Mapping[str, tuple[str | int | bool, ...]] = {}
    cue: str = "start_time"
    stop: str = "stop_time"
    decision_s: PositiveFloat = 2.0
    until_s: PositiveFloat = 4.0

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the classes."""
        return tuple(self.classes)

    @property
    def columns(self) -> tuple[str, ...]:
        """The trial columns that it reads."""
        return tuple(dict.fromkeys((self.column, self.cue, self.stop, *self.keep)))

    @model_validator(mode="after")
    def each_value_once(self) -> "ClassesAt":
        values = [value for chosen in self.classes.values() for value in chosen]
        if len(set(values)) < len(values) or not all(self.classes.values()):
            raise ValueError("each class needs values of its own, and no value can be of two classes")
        if self.decision_s > self.until_s:
            raise ValueError(f"decision_s {self.decision_s:g} is after until_s {self.until_s:g}, where labels end")
        return self


class SignalAt(Model):
    """Where a continuous signal is: an ElectricalSeries, or any TimeSeries.

    columns: Which of its channels; all of them by default.
    delay_s: By how much filters that were applied before it was stored have delayed it, at low frequency.
    """

    path: str
    columns: Annotated[tuple[int, ...], Field(min_length=1)] | None = None
    delay_s: NonNegativeFloat = 0.0


class Layout(Grown):
    """Where things are in the files of one family; object paths below the file's root.

    signals: Name -> continuous signal, of which a task makes its streams.
    format: `matlab` is MATLAB's v7.3 as O'Doherty and others filled it: axes reversed, one clock `t` for behaviour.
    goals: A series of where the animal is to reach, sampled with the targets; a reach ends where it changes.
    """

    added = frozenset({"goals", "signals"})

    format: Literal["nwb", "matlab"] = "nwb"
    spikes: SpikesAt | None = None
    targets: Mapping[str, TargetAt | ClassesAt]
    trials: str | None = None
    goals: str | None = None
    signals: Mapping[str, SignalAt] = {}


class Butterworth(Model):
    """A filter of this order and cut-off, in one pass: what it lets through comes later than it went in."""

    order: Annotated[int, Field(ge=1, le=12)]
    hz: PositiveFloat

    @property
    def low_pass_delay_s(self) -> float:
        """Group delay of the low-pass at low frequency: 1 / (w sin(pi / 2n)), its poles being evenly on a circle."""
        return 1 / (2 * math.pi * self.hz * math.sin(math.pi / (2 * self.order)))


class SignalStream(Model):
    """How a stream is made from a signal: reference, high-pass, low-pass, then the latest sample of each instant.

    A bin gets `samples_per_bin` evenly spaced instants, the last of them its right edge.

    signal: Its name in the layout.
    reference: `average` takes the mean of all channels off each.
    chain: `causal`, or `peer`: the published preprocessing of the whole session at once, which looks ahead; it takes
        no filters of its own.
    """

    signal: str
    samples_per_bin: PositiveInt
    reference: Literal["none", "average"] = "none"
    high_pass: Butterworth | None = None
    low_pass: Butterworth | None = None
    chain: Literal["causal", "peer"] = "causal"

    @property
    def delay_s(self) -> float:
        """By how much its low-pass delays it, at low frequency."""
        return self.low_pass.low_pass_delay_s if self.low_pass else 0.0


class Task(Grown):
    """What is decoded from what.

    signals: Stream name -> how it is made, for every stream that is not `spikes` or `cue`.
    within: Further signals of the layout, where alone bins exist: so that two tasks have the same bins.

    grid: `bins`, bins cut on the layout's clock; `samples`, a row per behaviour sample t_k with the spikes of
        [t_k - 2 bin_s, t_k - bin_s), as NeuroBench's loader has it: a bin older than need be.
    binary: A bin holds 1 where it has any spike.
    label_look_ahead_s: How much later than a bin's right edge its label looks; a task whose labels do so at all is not
        strictly causal, whatever the decoder is.
    """

    added = frozenset({"grid", "binary", "label_look_ahead_s", "signals", "within"})

    inputs: tuple[str, ...]
    privileged: tuple[str, ...] = ()
    target: str
    kind: Literal["regression", "classification"] = "regression"
    bin_s: PositiveFloat
    lag_s: float = 0.0
    grid: Literal["bins", "samples"] = "bins"
    binary: bool = False
    label_look_ahead_s: NonNegativeFloat = 0.0
    signals: Mapping[str, SignalStream] = {}
    within: tuple[str, ...] = ()

    @property
    def streams(self) -> tuple[str, ...]:
        """All that is cut into bins: inputs and what is privileged."""
        return tuple(dict.fromkeys((*self.inputs, *self.privileged)))

    @model_validator(mode="after")
    def every_stream_is_made(self) -> "Task":
        if both := set(self.inputs) & set(self.privileged):
            raise ValueError(f"stream {min(both)!r} is an input and privileged; it can be one of them")
        if unknown := [name for name in self.streams if name not in (SPIKES, CUE, *self.signals)]:
            raise ValueError(
                f"stream {unknown[0]!r} is none of {SPIKES!r}, {CUE!r} and `signals`; say there how it is made"
            )
        if self.kind != "classification" and CUE in self.streams:
            raise ValueError(f"stream {CUE!r} is of classification; set the task's kind, or drop the stream")
        if self.grid == "samples" and self.streams != (SPIKES,):
            raise ValueError("the grid `samples` is for spikes alone; set grid to `bins`")
        return self

    def only(self, inputs: Sequence[str]) -> "Task":
        """The same task with some of its inputs, in the given order."""
        return self.model_copy(update={"inputs": tuple(inputs)})

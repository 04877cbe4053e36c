"""What a suite says of its parts: which stretch of a session is for training, validation and test."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from harness.data.protocol import Model

PARTS = ("train", "validation", "test")


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


class SegmentSplit(Model):
    """Segments of one length, dealt out to the parts at random: REALM's rule (`harness.data.segments`).

    Neighbours of a test segment are trained on, and no gap is kept: for comparison with published numbers alone.
    Every segment is a start.

    seed: Of the permutation, to which the session's name is added.
    """

    kind: Literal["segments"]
    segment_s: PositiveFloat = 5.0
    fractions: Fractions = (0.72, 0.08, 0.20)
    seed: int = 42
    gap_s: Literal[0] = 0


class RunSplit(Model):
    """Whole runs are tested by what was learned from the others.

    test: `each` run once, in folds of `test_runs` neighbours; or the `last` ones, `test_runs` of them. Where a run
        holds some of the classes alone, a fold needs as many runs as hold all of them: what the others hold would tell
        which are to come.
    runs: How many runs a session has.
    validation_fraction: Of the trials of a run, its end; in the last `test_runs` runs that are learned from.
    """

    kind: Literal["runs"]
    runs: Annotated[int, Field(ge=2)]
    test: Literal["each", "last"] = "each"
    test_runs: PositiveInt = 1
    validation_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2
    gap_s: Literal[0] = 0

    @property
    def n_folds(self) -> int:
        """How often a session is learned from and tested."""
        return self.runs // self.test_runs if self.test == "each" else 1

    @model_validator(mode="after")
    def something_is_learned_from(self) -> "RunSplit":
        if self.test_runs >= self.runs:
            raise ValueError(f"{self.test_runs} of {self.runs} runs are tested, so that nothing is left to learn from")
        if self.test == "each" and self.runs % self.test_runs:
            raise ValueError(f"{self.runs} runs make no whole folds of {self.test_runs}; choose a divisor")
        return self


class WholeSplit(Model):
    """The whole session is one part, and the others are empty: for sessions that are only learned from."""

    kind: Literal["whole"]
    part: Literal["train", "validation"]
    gap_s: Literal[0] = 0


Split = Annotated[
    TimeSplit | TrialSplit | ReachSplit | SegmentSplit | RunSplit | WholeSplit, Field(discriminator="kind")
]


def n_folds(rule: Split) -> int:
    """How often a session with this rule is learned from and tested."""
    return rule.n_folds if isinstance(rule, RunSplit) else 1

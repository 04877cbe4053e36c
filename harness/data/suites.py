"""A suite: which recordings, which task, which split, which metrics; read from YAML, unknown keys refused."""

import hashlib
import importlib.resources
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)

from harness.errors import UsageError

PINNED_TIERS = ("mini", "core", "full", "neurobench", "falcon", "local")
SUFFIX = ".yaml"

M = TypeVar("M", bound=BaseModel)


class Model(BaseModel):
    """Strict and frozen: a typo in a suite is an error, not a default."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Dandi(Model):
    """An asset of the DANDI archive."""

    host: Literal["dandi"]
    dandiset: str
    version: str
    asset_id: str
    path: str
    size: PositiveInt
    sha256: str
    s3_url: str | None = None
    licence: str


class Zenodo(Model):
    """A file behind plain HTTPS."""

    host: Literal["zenodo"]
    record: str
    path: str
    url: str
    size: PositiveInt | None = None
    sha256: str | None = None
    md5: str | None = None
    licence: str


class File(Model):
    """A file on this machine, relative to `--data-root`."""

    host: Literal["file"]
    path: str
    sha256: str | None = None
    licence: str = "not stated"


class Simulated(Model):
    """A session that the generator writes when it is needed."""

    host: Literal["simulated"]
    generator: Literal["reaching"] = "reaching"
    parameters: Mapping[str, Any] = {}
    licence: str = "CC0-1.0"


Source = Annotated[Dandi | Zenodo | File | Simulated, Field(discriminator="host")]


class SpikesAt(Model):
    """Where the spikes are: `units` is a Units table (spike times), `counts` a TimeSeries (n_bins, n_units)."""

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

    as_is: the value at t_k + lag, linearly interpolated.
    difference: backward difference of the linearly interpolated position over one bin, per second.
    """

    path: str
    outputs: tuple[str, ...]
    derive: Literal["as_is", "difference"] = "as_is"
    columns: tuple[int, ...] | None = None


class Layout(Model):
    """Where things are in the NWB files of one family; object paths below the file's root."""

    spikes: SpikesAt | None = None
    targets: Mapping[str, TargetAt]
    trials: str | None = None


class TimeSplit(Model):
    """Contiguous parts in time; `gap_s` of bins is dropped on each side of a boundary."""

    kind: Literal["time"] = "time"
    fractions: tuple[PositiveFloat, PositiveFloat, PositiveFloat]
    gap_s: float = 1.0


class Window(Model):
    """The scored stretch of a trial: from a trial column plus an offset to another."""

    start: str = "start_time"
    start_offset_s: float = 0.0
    stop: str = "stop_time"
    stop_offset_s: float = 0.0


class TrialSplit(Model):
    """Parts made of whole trials.

    keep: column -> allowed values; other trials are in no part.
    column: a trial column that names the part, with `train` and `test` values; validation is then the last
        `validation_fraction` of the train trials. Without it, kept trials are cut by `fractions` in time order.
    context_s: unscored bins before each test, validation or train stretch through which state may run.
    """

    kind: Literal["trials"]
    window: Window = Window()
    keep: Mapping[str, tuple[str | int | float | bool, ...]] = {}
    column: str | None = None
    train: tuple[str, ...] = ("train",)
    test: tuple[str, ...] = ("val",)
    validation_fraction: float = 0.2
    fractions: tuple[PositiveFloat, PositiveFloat, PositiveFloat] = (0.7, 0.1, 0.2)
    gap_s: float = 0.0
    context_s: float = 1.0


Split = Annotated[TimeSplit | TrialSplit, Field(discriminator="kind")]


class Task(Model):
    """What is decoded from what."""

    inputs: tuple[str, ...]
    privileged: tuple[str, ...] = ()
    target: str
    kind: Literal["regression", "classification"] = "regression"
    bin_s: PositiveFloat
    lag_s: float = 0.0


class Session(Model):
    """One recording. `tasks` are the names of the suite's tasks that it serves."""

    id: str
    subject: str
    group: str
    layout: str
    split: str
    tiers: tuple[str, ...]
    source: Source
    tasks: tuple[str, ...] = ()


class Suite(Model):
    """One scored suite: a task on sessions. A changed number is a new version."""

    name: str
    version: PositiveInt
    title: str
    task: Task
    further_tasks: Mapping[str, Task] = {}
    fit: Literal["each", "joint"] = "each"
    calibration_s: float = 0.0
    pretraining: tuple[str, ...] = ()
    pretraining_labels: bool = False
    metrics: tuple[str, ...]
    seeds: tuple[int, ...] = (42, 123, 456)
    decoders: tuple[str, ...]
    layouts: Mapping[str, Layout]
    splits: Mapping[str, Split]
    sessions: tuple[Session, ...]

    @property
    def label(self) -> str:
        """What records call it, e.g. `primate-reaching@1`."""
        return f"{self.name}@{self.version}"

    @model_validator(mode="after")
    def names_resolve(self) -> "Suite":
        seen: set[str] = set()
        for s in self.sessions:
            if s.id in seen:
                raise ValueError(f"session {s.id!r} is listed twice")
            seen.add(s.id)
            if s.layout not in self.layouts:
                raise ValueError(
                    f"session {s.id!r}: layout {s.layout!r} is none of {', '.join(self.layouts)}"
                )
            if s.split not in self.splits:
                raise ValueError(f"session {s.id!r}: split {s.split!r} is none of {', '.join(self.splits)}")
        return self

    def tiers(self) -> dict[str, int]:
        """Tier -> number of sessions."""
        names = dict.fromkeys(t for s in self.sessions for t in s.tiers)
        return {name: sum(name in s.tiers for s in self.sessions) for name in names}

    def in_tier(self, tier: str) -> tuple[Session, ...]:
        """The sessions of a tier that serve the suite's task.

        Raises:
            UsageError: If the suite has no such tier.
        """
        if tier not in self.tiers():
            raise UsageError(f"suite {self.label} has no tier {tier!r}; it has: {', '.join(self.tiers())}")
        return tuple(s for s in self.sessions if tier in s.tiers)

    def variants(self) -> tuple["Suite", ...]:
        """This suite and, for each further task, the same suite narrowed to it, named `suite/task`."""
        main = self.model_copy(update={"further_tasks": {}})
        further = (
            main.model_copy(
                update={
                    "name": f"{self.name}/{name}",
                    "task": task,
                    "sessions": tuple(s for s in self.sessions if name in s.tasks),
                }
            )
            for name, task in self.further_tasks.items()
        )
        return (main, *further)

    def protocol_sha256(self, session: Session) -> str:
        """Hash of all that decides what `session` means in this suite, apart from its file's content."""
        rules = {
            "suite": self.label,
            "task": self.task.model_dump(mode="json"),
            "fit": self.fit,
            "metrics": self.metrics,
            "layout": self.layouts[session.layout].model_dump(mode="json"),
            "split": self.splits[session.split].model_dump(mode="json"),
        }
        return hashlib.sha256(json.dumps(rules, sort_keys=True).encode()).hexdigest()


def shipped(folder: str) -> Path:
    """A folder of `datasets/` as installed (`harness/_datasets`) or as checked out."""
    root = Path(str(importlib.resources.files("harness")))
    installed = root / "_datasets" / folder
    return installed if installed.is_dir() else root.parent / "datasets" / folder


def known_suites() -> dict[str, Path]:
    """The shipped suites: name -> file."""
    return {p.stem: p for p in sorted(shipped("suites").glob(f"*{SUFFIX}"))}


def load_suite(name: str) -> Suite:
    """Read a suite by its shipped name or from a YAML file.

    Raises:
        UsageError: If there is no such suite, or its file is no valid suite.
    """
    path = Path(name) if name.endswith((SUFFIX, ".yml")) else known_suites().get(name)
    if path is None or not path.is_file():
        raise UsageError(
            f"unknown suite {name!r}; known: {', '.join(known_suites())}; or give a .yaml file that exists"
        )
    return read_model(path, Suite)


def read_model(path: Path, model: type[M]) -> M:
    """Read one strict model from a YAML file.

    Raises:
        UsageError: Naming the file, the key and what is wrong with it.
    """
    try:
        content = yaml.load(path.read_bytes(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        return model.model_validate(content)
    except yaml.YAMLError as error:
        raise UsageError(f"{path} is no valid YAML: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UsageError(
            f"{path}: {where or 'file'}: {first['msg']} (given: {str(first['input'])[:80]!r})"
        ) from None

"""What a simulated session is made from: strict parameters, their hash and their random streams."""

import functools
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, NonNegativeFloat, NonNegativeInt, ValidationError, model_validator

from harness.data.protocol import Model
from harness.errors import UsageError

GENERATOR_VERSION = 1
"""For people: counted up whenever the same parameters give other arrays. What is kept goes by the code itself."""

TEST_FRACTION = 0.2
"""The last part of a session is the test part: faults begin there and the best score is computed there."""

STREAMS = (
    "dynamics",
    "population",
    "behaviour",
    "latents",
    "spikes",
    "faults",
    "linear-gaussian",
    "lfp",
    "electrodes",
    "lfp-noise",
    "lfp-faults",
)

MAX_UNITS_WITH_LFP = 96
"""One unit per electrode."""

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]


class Faults(Model):
    """What goes wrong during the test part, each with its dose; zero is no fault.

    kill_fraction: Share of the channels that fall silent.
    noise_hz: Rate of the spurious threshold crossings added to every channel.
    gain_shift: Standard deviation of the log gain by which each unit's rate is multiplied.
    tuning_drift: Share d of new tuning: loadings become sqrt(1 - d^2) old + d new.
    """

    kill_fraction: Fraction = 0.0
    noise_hz: NonNegativeFloat = 0.0
    gain_shift: NonNegativeFloat = 0.0
    tuning_drift: Fraction = 0.0

    @property
    def any(self) -> bool:
        """Whether anything goes wrong at all."""
        return any(self.model_dump().values())


class Parameters(Model):
    """One session of one simulated subject.

    subject_seed: The subject: its dynamics and the cells that its first session meets.
    session: Which session of that subject; days go by between two of them.
    variant: `full` (log-linear spiking) or `linear-gaussian` (binned counts with a closed-form optimal filter).
    areas: Where the units lie, in equal shares; S1 lags the movement that M1 leads.
    lfp: Whether the field potentials of the array are recorded too; nothing else changes with it.
    """

    subject_seed: NonNegativeInt = 0
    session: NonNegativeInt = 0
    minutes: Annotated[float, Field(ge=0.25, le=120.0)] = 4.0
    n_units: Annotated[int, Field(ge=1, le=1000)] = 96
    task: Literal["random-target", "centre-out"] = "random-target"
    variant: Literal["full", "linear-gaussian"] = "full"
    areas: Annotated[tuple[Literal["M1", "S1"], ...], Field(min_length=1, max_length=2)] = ("M1",)
    faults: Faults = Faults()
    lfp: bool = False

    @model_validator(mode="after")
    def the_known_optimum_holds(self) -> "Parameters":
        if self.variant == "linear-gaussian" and self.faults.any:
            raise ValueError("variant 'linear-gaussian' takes no faults: its optimum would no longer be known")
        return self

    @model_validator(mode="after")
    def the_array_holds_the_units(self) -> "Parameters":
        one_array = self.variant == "full" and len(self.areas) == 1 and self.n_units <= MAX_UNITS_WITH_LFP
        if self.lfp and not one_array:
            raise ValueError(
                f"lfp is recorded by one array of {MAX_UNITS_WITH_LFP} electrodes: with it, variant must be 'full', "
                f"areas one area and n_units at most {MAX_UNITS_WITH_LFP}"
            )
        return self

    @property
    def n_bins(self) -> int:
        """Number of 20 ms bins; a session is a whole number of them."""
        return round(self.minutes * 60 / 0.02)

    @property
    def duration_s(self) -> float:
        return self.n_bins / 50

    @property
    def test_start_s(self) -> float:
        """When the test part, and with it every fault, begins."""
        return (1 - TEST_FRACTION) * self.duration_s


def parse(given: Mapping[str, Any]) -> Parameters:
    """Check parameters as a suite gives them.

    Raises:
        UsageError: Naming the key, the value and what is allowed.
    """
    try:
        return Parameters.model_validate(dict(given))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "all together"
        allowed = ", ".join(Parameters.model_fields)
        raise UsageError(
            f"parameters of a simulated session: {where}: {first['msg']} (given: {str(first['input'])[:80]!r}); "
            f"known: {allowed}; correct them in the suite's `source.parameters`"
        ) from None


def spec_sha256(parameters: Mapping[str, Any]) -> str:
    """Hash of the generator's code and the full parameters: what a session's arrays depend on."""
    spec = {"generator": GENERATOR_VERSION, "code": source_sha256(), **parse(parameters).model_dump(mode="json")}
    return hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()


def source_files() -> tuple[Path, ...]:
    """The code that decides what is in a simulated file."""
    folder = Path(__file__).parent
    return (*sorted(folder.glob("*.py")), folder.parent / "nwb_write.py")


@functools.cache
def source_sha256() -> str:
    """Hash of the generator's code, name by name: any change of it makes new sessions, lest an old one stay in use."""
    hashes = ((path.name, hashlib.sha256(path.read_bytes()).hexdigest()) for path in source_files())
    return hashlib.sha256(json.dumps(list(hashes)).encode()).hexdigest()


def random_stream(parameters: Parameters, stream: str, *, session: int | None = None) -> np.random.Generator:
    """An independent random stream: of the subject, or of one of its sessions.

    Args:
        parameters: Give the subject.
        stream: One of `STREAMS`.
        session: None for what all sessions of the subject share.
    """
    key = (STREAMS.index(stream), 0 if session is None else session + 1)
    return np.random.default_rng(np.random.SeedSequence(parameters.subject_seed, spawn_key=key))

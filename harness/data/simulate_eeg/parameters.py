"""What a simulated EEG recording is made from: strict parameters, their hash and their random streams."""

import functools
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field, NonNegativeFloat, NonNegativeInt, ValidationError, model_validator

from harness.data.protocol import Model
from harness.errors import UsageError

GENERATOR_VERSION = 1
"""For people: counted up whenever the same parameters give other arrays. What is kept goes by the code itself."""

STREAMS = (
    "subject",
    "cap",
    "schedule",
    "imagery",
    "rhythms",
    "background",
    "artefacts",
    "run-drift",
    "faults",
    "truth",
)
"""New ones are appended: a stream's place in this list is part of its seed."""

TASKS = {
    **dict.fromkeys((4, 8, 12), ("left_fist", "right_fist")),
    **dict.fromkeys((6, 10, 14), ("both_fists", "both_feet")),
}
"""Run number -> the two movements that are imagined in it."""

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]


class Faults(Model):
    """What goes wrong from the start of a run on, each with its dose; zero is no fault.

    from_run: Which run of the file is the first to have them, counted from 0; None is the last one.
    kill_fraction: Share of the channels that fall silent.
    noise_uv: Root mean square of the white noise that is added to every channel.
    gain_shift: Standard deviation of the log gain by which each channel is multiplied.
    topography_drift: Share d of new orientations of the motor sources: they become sqrt(1 - d^2) old + d new.
    """

    from_run: NonNegativeInt | None = None
    kill_fraction: Fraction = 0.0
    noise_uv: NonNegativeFloat = 0.0
    gain_shift: NonNegativeFloat = 0.0
    topography_drift: Fraction = 0.0


class Parameters(Model):
    """Some runs of one session of one simulated subject.

    subject_seed: The subject: its sources, frequencies and how strongly it desynchronises.
    session: Which session of that subject; the cap is put on anew for each.
    runs: Numbers of the runs as in EEGMMIDB; a run is the same whatever others are in the file.
    strength: Factor on the subject's own strength; 0 leaves nothing about the class in the recording.
    drift: Factor on all that changes between runs and within them.
    bad_electrodes: How many are bad all along; None draws it, often none.
    """

    subject_seed: NonNegativeInt = 0
    session: NonNegativeInt = 0
    runs: Annotated[tuple[int, ...], Field(min_length=1)] = (4, 8, 12)
    strength: Annotated[float, Field(ge=0.0, le=5.0)] = 1.0
    drift: Annotated[float, Field(ge=0.0, le=5.0)] = 1.0
    bad_electrodes: Annotated[int, Field(ge=0, le=16)] | None = None
    faults: Faults = Faults()

    @model_validator(mode="after")
    def the_runs_are_of_imagery_in_order(self) -> "Parameters":
        if list(self.runs) != sorted(set(self.runs)) or not set(self.runs) <= set(TASKS):
            known = ", ".join(map(str, sorted(TASKS)))
            raise ValueError(f"runs must be different ones of {known}, in rising order")
        return self

    @model_validator(mode="after")
    def the_faults_begin_within_the_file(self) -> "Parameters":
        if self.faults.from_run is not None and self.faults.from_run >= len(self.runs):
            raise ValueError(f"faults.from_run must be below the number of runs, {len(self.runs)}")
        return self

    @property
    def classes(self) -> tuple[str, ...]:
        """The movements of all runs, each once."""
        return tuple(dict.fromkeys(label for number in self.runs for label in TASKS[number]))

    def faulty(self, number: int) -> bool:
        """Whether faults act during this run."""
        first = len(self.runs) - 1 if self.faults.from_run is None else self.faults.from_run
        return self.runs.index(number) >= first


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
            f"parameters of simulated motor imagery: {where}: {first['msg']} (given: {str(first['input'])[:80]!r}); "
            f"known: {allowed}; correct them in the suite's `source.parameters`"
        ) from None


def spec_sha256(parameters: Mapping[str, Any]) -> str:
    """Hash of the generator's code and the full parameters: what a recording's arrays depend on."""
    checked = parse(parameters).model_dump(mode="json")
    spec = {"generator": f"motor-imagery-{GENERATOR_VERSION}", "code": source_sha256(), **checked}
    return hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()


def source_files() -> tuple[Path, ...]:
    """The code that decides what is in a simulated file."""
    folder = Path(__file__).parent
    return (*sorted(folder.glob("*.py")), folder.parent / "nwb_eeg.py")


@functools.cache
def source_sha256() -> str:
    """Hash of the generator's code, name by name: any change of it makes new recordings."""
    hashes = ((path.name, hashlib.sha256(path.read_bytes()).hexdigest()) for path in source_files())
    return hashlib.sha256(json.dumps(list(hashes)).encode()).hexdigest()


def random_stream(
    parameters: Parameters, stream: str, *, session: int | None = None, run: int = 0
) -> np.random.Generator:
    """An independent random stream: of the subject, of one of its sessions, or of a run of that session.

    Args:
        parameters: Give the subject.
        stream: One of `STREAMS`.
        session: None for what all sessions of the subject share.
        run: Number of the run; 0 for what all runs of the session share.
    """
    key = (STREAMS.index(stream), 0 if session is None else session + 1, run)
    return np.random.default_rng(np.random.SeedSequence(parameters.subject_seed, spawn_key=key))

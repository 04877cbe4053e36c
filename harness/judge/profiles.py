"""Hardware profiles: which cores, threads, memory and device a run gets, and how long a fit or a step may take."""

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from harness.data.suites import SUFFIX, Model, read_model, shipped
from harness.errors import UsageError

Seconds = Annotated[float, Field(ge=1e-3, le=1e7)]
Gibibytes = Annotated[float, Field(ge=0.01, le=1e6)]
Mebibytes = Annotated[float, Field(gt=0, le=1e9)]
"""What the kernel's own limits can hold, with room for every machine that there is."""


class Limits(Model):
    """What a decoder may use before the judge ends it.

    fit_seconds: One call of `fit`, or of `predict`.
    fit_memory_gib: Address space of the process that fits.
    stream_seconds: All answers of one test pass together.
    count_seconds: Answering an excerpt twice, and counting its operations.
    step_seconds: One answer, `reset` included; generous, for latency is measured and not limited.
    max_artifact_mib: All arrays that `state` returns.
    max_output_kib: What a decoder may print.
    """

    fit_seconds: Seconds
    fit_memory_gib: Gibibytes
    step_seconds: Seconds
    stream_seconds: Seconds
    count_seconds: Seconds
    max_artifact_mib: Mebibytes
    max_output_kib: Annotated[int, Field(gt=0, le=10**9)]


class Timing(Model):
    """How latency is measured.

    paced_s: Seconds of recording that are streamed at their real times.
    repeats: Latency passes in all, if one was disturbed.
    """

    paced_s: Seconds
    repeats: PositiveInt


class Kernels(Model):
    """Times of the calibration kernels, by the names that `hardware.calibrate` gives them."""

    gemv_small_ms: PositiveFloat
    gemv_20mb_ms: PositiveFloat
    python_loop_ms: PositiveFloat


class Reference(Model):
    """A machine that others are compared with: what it is, its numbers, and the command that made them."""

    machine: str
    calibration: Kernels
    command: str


class Profile(Model):
    """One kind of machine to be judged on; latencies are compared within one profile only.

    cores: Cores that judge and worker share; "all" leaves them free.
    threads: Threads that a numeric library may start; "all" is one for each core.
    memory_gib: Address space of the process that is streamed.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9-]*$")
    version: PositiveInt
    description: str
    device: Literal["cpu", "cuda"]
    cores: PositiveInt | Literal["all"]
    threads: PositiveInt | Literal["all"]
    memory_gib: Gibibytes
    limits: Limits
    timing: Timing
    reference: Reference | None = None

    @property
    def label(self) -> str:
        """What records call it, e.g. `cpu-1@1`."""
        return f"{self.name}@{self.version}"

    @property
    def n_cores(self) -> int | None:
        """Cores to be pinned to; None for all."""
        return None if self.cores == "all" else self.cores

    @property
    def n_threads(self) -> int:
        """Threads of a numeric library on this machine."""
        return len(os.sched_getaffinity(0)) if self.threads == "all" else self.threads


def known_profiles() -> dict[str, Path]:
    """The shipped profiles: name -> file."""
    return {path.stem: path for path in sorted(shipped("profiles").glob(f"*{SUFFIX}"))}


def load_profile(name_or_path: str) -> Profile:
    """Read a profile by its shipped name or from a YAML file.

    Raises:
        UsageError: If there is no such profile, or its file is no valid profile.
    """
    is_file = name_or_path.endswith((SUFFIX, ".yml"))
    path = Path(name_or_path) if is_file else known_profiles().get(name_or_path)
    if path is None or not path.is_file():
        known = ", ".join(known_profiles())
        raise UsageError(f"unknown profile {name_or_path!r}; known: {known}; or give a .yaml file that exists")
    return read_model(path, Profile)

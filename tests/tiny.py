"""A suite of two short simulated sessions, for tests of whole evaluations."""

import shutil
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import yaml

from harness.data.cache import Cache
from harness.data.download import locate
from harness.data.suites import Suite
from harness.judge.profiles import Profile, load_profile

TINY = """
name: tiny
version: 1
title: Two short simulated sessions
task: {inputs: [spikes], target: velocity, bin_s: 0.02}
metrics: [r2, pearson]
seeds: [1, 2]
decoders: [train-mean, wiener]
layouts:
  simulated:
    spikes: {units: units}
    targets:
      velocity: {path: processing/behavior/Position/cursor_pos, outputs: [x, y], derive: difference}
splits:
  time: {kind: time, fractions: [0.6, 0.2, 0.2], gap_s: 0.5}
sessions:
  - {id: tiny-0, subject: t, group: simulated, layout: simulated, split: time, tiers: [simulated],
     source: {host: simulated, parameters: {subject_seed: 1, session: 0, minutes: 1.0, n_units: 40}}}
  - {id: tiny-1, subject: t, group: simulated, layout: simulated, split: time, tiers: [simulated],
     source: {host: simulated, parameters: {subject_seed: 1, session: 1, minutes: 1.0, n_units: 40}}}
"""


def write_tiny_suite(folder: Path) -> Path:
    """Write the suite into a folder; return its path."""
    path = folder / "tiny.yaml"
    path.write_text(TINY)
    return path


@cache
def _simulated() -> "tempfile.TemporaryDirectory[str]":
    """A data folder with the two sessions, simulated once in each process."""
    folder = tempfile.TemporaryDirectory(prefix="tiny-")
    locate(Suite.model_validate(yaml.safe_load(TINY)).in_tier("simulated"), Cache(Path(folder.name)))
    return folder


def tiny_files(suite: Suite, data: Path) -> Mapping[str, Path]:
    """The files of the suite's sessions in a data folder, copied there rather than simulated again."""
    shutil.copytree(_simulated().name, data, dirs_exist_ok=True)
    return locate(suite.in_tier("simulated"), Cache(data))


def quick_profile() -> Profile:
    """cpu-1 with a paced pass of half a second, never repeated: for tests that look at other things than latency."""
    profile = load_profile("cpu-1")
    return profile.model_copy(update={"timing": profile.timing.model_copy(update={"paced_s": 0.5, "repeats": 1})})


def write_quick_profile(folder: Path) -> Path:
    """Write it into a folder for the command line; return its path."""
    path = folder / "quick.yaml"
    path.write_text(yaml.safe_dump(quick_profile().model_dump(mode="json", exclude_none=True)))
    return path


class Quiet:
    """Watches an evaluation without a word."""

    def total(self, n_jobs):
        pass

    def under_way(self, what, progress):
        pass

    def done(self, what):
        pass

"""A whole evaluation from the command line: the classical decoders of primate-reaching, simulated, and once more."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.perf.rows import keep, seconds

HARNESS = str(Path(sys.executable).with_name("harness"))
CLASSICAL = ("train-mean", "wiener", "wiener-cascade", "kalman")


@pytest.fixture
def evaluate_s(tmp_path):
    """Seconds of one run of the command on an empty data folder and store, which the next run finds filled."""
    command = [HARNESS, "eval", "--suite", "primate-reaching", "--tier", "simulated", "--store", tmp_path / "store"]
    command += [word for name in CLASSICAL for word in ("--decoder", name)]

    environment = {**os.environ, "NEURAL_DECODER_DATA": str(tmp_path / "data")}
    return lambda: seconds(lambda: subprocess.run(command, check=True, capture_output=True, env=environment))


def test_classical_decoders_are_evaluated_within_a_minute_and_again_within_two_seconds(evaluate_s, benchmark):
    first_s = evaluate_s()
    benchmark.pedantic(evaluate_s, rounds=5)
    suite = f"`harness eval --suite primate-reaching --tier simulated`, {len(CLASSICAL)} classical decoders"
    keep(benchmark, f"{suite}, first run", first_s, limit=60, unit="s")
    keep(benchmark, f"{suite}, from finished cells", benchmark.stats.stats.median, limit=2, unit="s")

"""Simulated recordings: a generator that does not know the claims. docs/simulation.md has its equations."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.data.nwb_write import read_truth
from harness.data.simulate.parameters import GENERATOR_VERSION, Faults, Parameters, parse, spec_sha256
from harness.data.simulate.session import write_session

__all__ = ["GENERATOR_VERSION", "Faults", "Parameters", "best_score", "parse", "spec_sha256", "write_session"]


def best_score(path: Path) -> dict[str, float]:
    """The best reachable R2 of a simulated file by reference; empty for a recording of anything real.

    kalman: The optimal filter on the test part. kalman_closed_form: The same, expected on an endless session.
    latent_readout: Least squares from the true latents; a reference, not a bound.
    """
    scores: Mapping[str, Any] = read_truth(path).get("best_scores", {})
    return {name: float(value) for name, value in scores.items()}

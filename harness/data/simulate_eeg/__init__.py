"""Simulated motor imagery EEG: a generator that does not know the claims. docs/simulation.md has its equations."""

from harness.data.simulate_eeg.parameters import GENERATOR_VERSION, Faults, Parameters, parse, spec_sha256
from harness.data.simulate_eeg.session import write_recording

__all__ = ["GENERATOR_VERSION", "Faults", "Parameters", "parse", "spec_sha256", "write_recording"]

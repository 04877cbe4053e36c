"""FALCON's loader and evaluator at work, in their own environment: `python -m tools.peers.with_falcon WORK ...`."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import falcon_challenge.evaluator as evaluator
import numpy as np
import torch
from falcon_challenge.config import FalconConfig, FalconTask
from falcon_challenge.dataloaders import load_nwb
from falcon_challenge.interface import BCIDecoder

from tools.peers.timing import Done, Rounds, serve, timed, used_s

M2, ARRAYS = "sub-MonkeyN-held-in-calib_ses-2020-10-19-Run1_behavior+ecephys.nwb", "m2.npz"
ROUNDS = 2


class Linear(BCIDecoder):
    """One line per output on the newest bin."""

    def __init__(self, decoder: np.ndarray) -> None:
        super().__init__(FalconConfig(FalconTask.m2), batch_size=1)
        self.decoder = decoder

    def reset(self, dataset_tags: Any = ("",)) -> None:
        """Nothing to forget."""

    def predict(self, neural_observations: np.ndarray) -> np.ndarray:
        """(1, n_channels) counts -> (1, 2)."""
        return neural_observations.astype(np.float32) @ self.decoder

    def on_done(self, dones: np.ndarray) -> None:
        """Trials are nothing to it."""


def load_m2(inputs: Path) -> Done:
    """Spikes at 20 ms, velocities, trial changes and the mask of one file."""
    rounds = timed(lambda: load_nwb(inputs / M2, dataset=FalconTask.m2), rounds=ROUNDS)
    counts, velocity = rounds.found[:2]
    # It labels a bin by its left edge, we by its right one.
    arrays = {"counts": counts.astype(np.float32), "velocity": velocity[1:].astype(np.float32)}
    return Done(rounds, 1, {"spikes": float(counts.sum()), "bins": len(counts)}, arrays)


def stream_m2(inputs: Path) -> Done:
    """The evaluator's own pass over a file, less the time in which it reads that file."""
    reading, cpu_s = [], []

    def read(*args: Any, **kwargs: Any) -> Any:
        start, cpu = time.perf_counter(), used_s()
        found = load_nwb(*args, **kwargs)
        reading.append(time.perf_counter() - start)
        cpu_s.append(used_s() - cpu)
        return found

    evaluator.load_nwb = read
    judge, decoder = evaluator.FalconEvaluator(split="m2", dataloader_workers=0), Linear(_decoder(inputs))
    rounds = timed(lambda: judge.predict_files(decoder, [inputs / M2]), rounds=ROUNDS)
    (outputs,), compute_s = rounds.found[0].values(), rounds.found[3]
    streaming = Rounds(_without(rounds.seconds, reading), _without(rounds.cpu_s, cpu_s))
    said = {"bins": len(outputs), "predict_us": 1e6 * float(np.median(compute_s))}
    return Done(streaming, len(outputs), said, {"outputs": outputs.astype(np.float32)})


def _without(whole: Sequence[float], parts: Sequence[float]) -> list[float]:
    return [a - b for a, b in zip(whole, parts[-len(whole) :], strict=True)]


def _decoder(inputs: Path) -> np.ndarray:
    with np.load(inputs / ARRAYS) as kept:
        return kept["decoder"]


if __name__ == "__main__":
    torch.set_num_threads(1)
    packages = ("falcon-challenge", "torch", "numpy", "pandas", "pynwb", "scikit-learn")
    serve({"load-m2": load_m2, "stream-m2": stream_m2}, packages)

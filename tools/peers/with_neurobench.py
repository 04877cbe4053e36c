"""NeuroBench at work, in its own environment: `python -m tools.peers.with_neurobench WORK INPUTS OUT.json`."""

import warnings
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from neurobench.benchmarks import Benchmark
from neurobench.datasets import PrimateReaching
from neurobench.metrics.workload import R2, SynapticOperations
from neurobench.models import TorchModel
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from tools.neurobench_reaching_oracle import SETTINGS
from tools.peers import network
from tools.peers.timing import Done, serve, timed

MAT, ARRAYS = "indy_20000101_01.mat", "m2.npz"
ROUNDS = 2


def load_mat(inputs: Path) -> Done:
    """Binary spikes at 4 ms and velocities of one of O'Doherty's files, with the settings of its own benchmark."""
    rounds = timed(lambda: PrimateReaching(str(inputs), MAT, **SETTINGS), rounds=1)
    dataset = rounds.found
    spikes = dataset.samples.numpy().T
    arrays = {"counts": spikes.astype(np.float32), "velocity": dataset.labels.numpy().T.astype(np.float32)}
    return Done(rounds, 1, {"spikes": float(spikes.sum()), "bins": len(spikes)}, arrays)


def stream_m2(inputs: Path) -> Done:
    """Its runner over a recording, one bin a batch, with R2 and no other metric."""
    return _streamed(inputs, batch=1)


def batch_m2(inputs: Path) -> Done:
    """The same with all bins in one batch, which is no stream but what the runner is made for."""
    return _streamed(inputs, batch=network.N_STREAMED)


def _streamed(inputs: Path, batch: int) -> Done:
    with np.load(inputs / ARRAYS) as kept:
        counts, decoder = torch.from_numpy(kept["counts"][: network.N_STREAMED]).float(), kept["decoder"]
    model = TorchModel(network.linear(decoder))
    loader = DataLoader(TensorDataset(counts, counts @ torch.from_numpy(decoder)), batch_size=batch)
    benchmark = Benchmark(model, loader, [], [], [[], [R2]])
    rounds = timed(lambda: benchmark.run(quiet=True), rounds=ROUNDS)
    with torch.no_grad():
        outputs = torch.cat([model(row) for row in counts.split(batch)])
    return Done(rounds, len(counts), dict(rounds.found), {"outputs": outputs.numpy()})


def count_reaching(inputs: Path) -> Done:
    """Operations of batches through the small network."""
    return _counted(network.reaching(), network.counts(), network.BATCH)


def count_wide(inputs: Path) -> Done:
    """Operations of batches through the wide network."""
    return _counted(network.wide(), network.counts(), network.BATCH)


def count_bins(inputs: Path) -> Done:
    """Operations of the small network, one bin after the other."""
    return _counted(network.reaching(), network.counts()[: network.N_BINS], 1)


def _counted(net: nn.Module, x: Tensor, batch: int) -> Done:
    loader = DataLoader(TensorDataset(x, torch.zeros(len(x), 1)), batch_size=batch)
    model = TorchModel(net)

    def run(metrics: list[Any]) -> Any:
        return Benchmark(model, loader, [], [], [[], metrics]).run(quiet=True)

    def plain() -> None:
        with torch.no_grad():
            for part in x.split(batch):
                net(part)

    forward, runner = timed(plain, rounds=ROUNDS), timed(lambda: run([]), rounds=ROUNDS)
    rounds = timed(lambda: run([SynapticOperations]), rounds=ROUNDS)
    operations = rounds.found["SynapticOperations"]
    said = {"macs": operations["Effective_MACs"], "acs": operations["Effective_ACs"], "dense": operations["Dense"]}
    return Done(rounds, len(x), said | {"forward_s": min(forward.cpu_s), "runner_s": min(runner.cpu_s)})


WORKS = {
    "load-mat": load_mat,
    "stream-m2-torch": stream_m2,
    "stream-m2-torch-batch": batch_m2,
    "count-reaching": count_reaching,
    "count-wide": count_wide,
    "count-bins": count_bins,
}

if __name__ == "__main__":
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        serve(WORKS, ("neurobench", "torch", "snntorch", "numpy", "h5py"))

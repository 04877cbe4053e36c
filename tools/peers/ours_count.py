"""This project counting operations: `python -m tools.peers.ours_count WORK INPUTS OUT.json`."""

from pathlib import Path

import torch
from torch import Tensor, nn

from harness.judge.count.in_torch import counting, storages
from harness.judge.count.tally import Tally
from harness.judge.count.torch_factors import Factors
from tools.peers import network
from tools.peers.timing import Done, serve, timed

ROUNDS = 2


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
    def plain() -> None:
        with torch.inference_mode():
            for part in x.split(batch):
                net(part)

    def count() -> Tally:
        tally = Tally()
        factors = Factors(tally, storages(net))
        with torch.inference_mode():
            for part in x.split(batch):
                with counting(tally, factors):
                    net(part)
        return tally

    forward, rounds = timed(plain, rounds=ROUNDS), timed(count, rounds=ROUNDS)
    tally, n = rounds.found, len(x)
    said = {"macs": tally.macs / n, "acs": tally.acs / n, "dense": tally.dense / n, "forward_s": min(forward.cpu_s)}
    return Done(rounds, n, said)


if __name__ == "__main__":
    torch.set_num_threads(1)
    works = {"count-reaching": count_reaching, "count-wide": count_wide, "count-bins": count_bins}
    serve(works, ("neural-decoder-harness", "torch", "numpy"))

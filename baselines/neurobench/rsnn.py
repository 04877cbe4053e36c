"""Recurrent spiking networks of the NeuroBench challenge: `TinyRsnn` for few operations, `BigRsnn` for the best score.

Liu et al. 2024, arXiv 2409.01762: one recurrent layer of current-based leaky integrate-and-fire units, each with time
constants of its own, and leaky integrators that read it out.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from baselines.features import in_bins
from baselines.neurobench.network import CountsDecoder, n_units
from baselines.neurobench.scan import Units, scan
from baselines.neurobench.training import Recipe, learn
from baselines.neurobench.weights import fit_to_inputs, on_grid
from baselines.spiking import superspike
from harness import Bin, SessionInfo
from harness.torch_decoder import PREFIX, Schedule, Segment

SUPERSPIKE_BETA = 20.0
READ_OUTS_S = ((0.010, 0.050), (0.005, 0.020), (0.020, 0.020), (0.010, 0.030), (0.030, 0.100))
"""Time constants of synapse and membrane that the read-outs start from, head by head; as published."""
WARM_UP_S = 0.3


class RecurrentSpikes(torch.nn.Module):
    """Counts -> recurrent spiking units -> `n_heads` sets of leaky integrators -> their mean.

    unit_log_s, integrator_log_s: (2, n) natural logarithms of the time constants in seconds, of synapse and membrane.
        A unit's start anywhere between 0 and 2 `first_s`: 2 sigmoid(z) times it, z normal, so that their median is
        `first_s`. All integrators of a head start from its READ_OUTS_S; with more heads than those, in turn.
    """

    def __init__(self, sizes: tuple[int, int, int], *, n_heads: int, first_s: tuple[float, float], bin_s: float):
        super().__init__()
        n_inputs, n_hidden, n_outputs = sizes
        self.inward = torch.nn.Linear(n_inputs, n_hidden, bias=False)
        self.recurrent = torch.nn.Linear(n_hidden, n_hidden, bias=False)
        self.outward = torch.nn.Linear(n_hidden, n_heads * n_outputs, bias=False)
        spread = 2 * torch.sigmoid(torch.randn(2, n_hidden))
        self.unit_log_s = torch.nn.Parameter((torch.tensor(first_s)[:, None] * spread).log())
        heads_s = torch.tensor([READ_OUTS_S[i % len(READ_OUTS_S)] for i in range(n_heads)])
        self.integrator_log_s = torch.nn.Parameter(heads_s.T.repeat_interleave(n_outputs, dim=1).log())
        self.n_heads, self.bin_s, self.dropout = n_heads, bin_s, torch.nn.Dropout(0.0)

    def decays(self, log_s: Any) -> Any:
        """Shares of synaptic currents and membranes that are left after a bin."""
        return torch.exp(-self.bin_s * torch.exp(-log_s))

    def hidden(self, counts: Any) -> Any:
        """(batch, time, n_units) counts -> (batch, time, n_hidden) spikes."""
        surrogate = partial(superspike, beta=SUPERSPIKE_BETA)
        decays, recurrent = self.decays(self.unit_log_s), self.recurrent.weight
        return scan(self.inward(counts), decays, recurrent=recurrent, surrogate=surrogate)[0]

    def readout(self, spikes: Any) -> Any:
        """(batch, time, n_hidden) spikes -> (batch, time, n_outputs)."""
        decays = self.decays(self.integrator_log_s)
        membranes = scan(self.outward(self.dropout(spikes)), decays, threshold=math.inf)[1]
        return membranes.unflatten(2, (self.n_heads, -1)).mean(2)

    def forward(self, counts: Any) -> Any:
        """counts: (batch, time, n_units) -> (batch, time, n_outputs)."""
        return self.readout(self.hidden(counts))


@dataclass
class Rsnn(CountsDecoder):
    """What both have in common.

    hidden: Spiking units.
    n_heads: Read-outs whose mean is the answer.
    synapse_s, membrane_s: Medians of the time constants that spiking units start from; each unit learns its own.
    rate_cap_hz, rate_weight: In training, mean rates above the cap cost `rate_weight` x (excess in Hz)^2.
    first_sparsity, sparsity: Share of weights that are zero at the start and at the end of training.
    """

    updates: int = 800
    learning_rate: float = 0.01
    hidden: int = 64
    n_heads: int = 1
    dropout: float = 0.3
    synapse_s: float = 0.010
    membrane_s: float = 0.020
    rate_cap_hz: float | None = None
    rate_weight: float = 0.01
    first_sparsity: float = 0.0
    sparsity: float = 0.0

    def warm_up_bins(self, bin_s: float) -> int:
        return in_bins(WARM_UP_S, bin_s)

    def build(self, session: SessionInfo) -> RecurrentSpikes:
        sizes = (n_units(session), self.hidden, len(session.outputs))
        first_s = (self.synapse_s, self.membrane_s)
        network = RecurrentSpikes(sizes, n_heads=self.n_heads, first_s=first_s, bin_s=session.bin_s)
        network.dropout.p = self.dropout
        return network

    def begin(self, counts: Sequence[np.ndarray]) -> None:
        network = self.network
        with torch.no_grad():
            fit_to_inputs(network.inward.weight, counts, network.decays(network.unit_log_s).numpy())
            network.recurrent.weight.normal_(0, 0.5 / math.sqrt(self.hidden))
            open_loop = (1 - network.decays(network.integrator_log_s)).prod(0)
            network.outward.weight.normal_(0, 0.1 / math.sqrt(self.hidden)).mul_(open_loop[:, None])

    def learn(self, segments: list[Segment], validation: list[Segment], schedule: Schedule) -> None:
        recipe = Recipe(
            rate_cap=None if self.rate_cap_hz is None else self.rate_cap_hz * self.network.bin_s,
            rate_weight=self.rate_weight / self.network.bin_s**2,
            first_sparsity=self.first_sparsity,
            sparsity=self.sparsity,
        )
        learn(self.network, segments, validation, schedule=schedule, recipe=recipe, seed=self.seed)
        self.settle()

    def settle(self) -> None:
        """Bring trained weights into the form in which they are kept."""
        on_grid(self.network.inward.weight)
        on_grid(self.network.recurrent.weight)

    def reset(self, session: SessionInfo) -> None:
        super().reset(session)
        weights, network = self.weights(), self.network
        with torch.no_grad():
            unit, integrator = (network.decays(p).numpy() for p in (network.unit_log_s, network.integrator_log_s))
        self._inward, self._outward = weights["inward.weight"], weights["outward.weight"]
        self._units = Units(*unit, weights["recurrent.weight"], 1.0, shape=(self.hidden,))
        self._integrators = Units(*integrator, None, math.inf, shape=(len(self._outward),))

    def step(self, bin: Bin) -> np.ndarray:
        spikes = self._units.advance(self._inward @ bin[self.inputs[0]])
        self._integrators.advance(self._outward @ spikes)
        answers = self._integrators.membrane.reshape(self.n_heads, -1).mean(axis=0)
        return answers * self.sd_ + self.offset_


@dataclass
class TinyRsnn(Rsnn):
    """64 units that spike seldom, weights of half precision, of which 45.5 % are zero."""

    rate_cap_hz: float | None = 10.0
    first_sparsity: float = 0.4
    sparsity: float = 0.455

    def settle(self) -> None:
        for parameter in self.network.parameters():
            with torch.no_grad():
                parameter.copy_(parameter.half())
        # Half precision has 11 bits: a grid of 2^-10 holds in it up to 2, and what is larger lies on it anyway.
        on_grid(self.network.inward.weight, 10)
        on_grid(self.network.recurrent.weight, 10)

    def state(self) -> dict[str, np.ndarray]:
        return {k: v.astype(np.float16) if k.startswith(PREFIX) else v for k, v in super().state().items()}

    def restore(self, state: Mapping[str, np.ndarray], sessions: Sequence[SessionInfo]) -> None:
        super().restore({k: v.astype(np.float32) for k, v in state.items()}, sessions)


@dataclass
class BigRsnn(Rsnn):
    """1024 units and five read-outs."""

    hidden: int = 1024
    n_heads: int = 5
    updates: int = 150
    learning_rate: float = 0.002
    excerpt_s: float = 1.0

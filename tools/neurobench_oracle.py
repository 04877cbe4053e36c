"""What NeuroBench 2.3 says about small networks: `python tools/neurobench_oracle.py tests/golden/neurobench-2.3.json`.

It runs in an environment of its own, because that package brings much: make one with
`python -m venv oracle && oracle/bin/pip install "neurobench==2.3.*" "torch>=2.4,<2.14"` and use its Python.
A test imports this module without NeuroBench and builds the same networks and inputs: `CASES[name].build()`.

Numbers are per sample (first axis of the inputs), footprints are bytes. `gates` are the element-wise products within
the peer's effective and dense numbers. Where the peer is wrong, `why` says so with the closed form, and `true` holds
the right values of the wrong fields, for contractions alone: without gates. I is the number of inputs, H that of hidden
units; a cell or layer starts each batch from a zero state, whose products are dense only.
"""

import json
import re
import sys
import warnings
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import prune

SEED, N_SAMPLES, BATCH = 2025, 16, 8
"""Two batches: a count that fails in the first still has a second one to go wrong in."""
N_IN, N_HIDDEN, N_OUT = 96, 32, 2
LATER = (BATCH - 1) / BATCH
"""Share of steps with a state: recurrent networks start each batch from zero."""
Inputs = Callable[[np.random.Generator], Tensor]


@dataclass(frozen=True)
class Case:
    """One network and its inputs; `finish` changes the network in place once its parameters are drawn."""

    network: Callable[[], nn.Module]
    inputs: Inputs
    finish: Callable[[Any], object] = lambda network: None
    batch_size: int = BATCH
    gates: dict[str, float] = field(default_factory=dict)
    true: dict[str, float] = field(default_factory=dict)
    why: str = ""

    def build(self) -> tuple[nn.Module, list[Tensor]]:
        """The network in evaluation mode and its batches of inputs, the same at every call.

        NumPy draws the parameters, none of them zero: its streams outlive versions of PyTorch.
        """
        rng, network = np.random.default_rng(SEED), self.network().eval()
        for parameter in network.parameters():
            parameter.data = torch.from_numpy(rng.normal(0, 0.2, parameter.shape)).float()
        self.finish(network)
        return network, list(self.inputs(rng).split(self.batch_size))


def normal(*shape: int) -> Inputs:
    """(N_SAMPLES, *shape) without zeros."""
    return lambda rng: torch.from_numpy(rng.normal(size=(N_SAMPLES, *shape))).float()


def half(*values: float) -> Inputs:
    """(N_SAMPLES, N_IN): in each row exactly half of the entries are not zero, `values` in turn."""
    row = np.concatenate([np.resize(values, N_IN // 2), np.zeros(N_IN // 2)])
    return lambda rng: torch.from_numpy(rng.permuted(np.tile(row, (N_SAMPLES, 1)), axis=1)).float()


def counts(rng: np.random.Generator) -> Tensor:
    """(N_SAMPLES, N_IN) spike counts: some samples hold a 2, others zeros and ones only."""
    return torch.from_numpy(rng.poisson(0.1, (N_SAMPLES, N_IN))).float()


class Wired(nn.Module):
    """Parts, and a function that says how inputs pass through them."""

    def __init__(self, wiring: Callable[[Any, Tensor], Tensor], **parts: nn.Module | nn.Parameter) -> None:
        super().__init__()
        self.wiring = wiring
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x: Tensor) -> Tensor:
        """x: (samples, ...)."""
        return self.wiring(self, x)


class Lif(nn.Module):
    """Leaky integrate-and-fire neurons, step by step as in snntorch's `Leaky`, whose reset comes one step late.

    U_t = beta (1 - S_{t-1}) U_{t-1} + I_t and S_t = [U_t > 1]; without reset, the factor 1 - S_{t-1} is absent.
    """

    def __init__(self, beta: float, *, reset_mechanism: str) -> None:
        super().__init__()
        self.beta, self.resets = beta, reset_mechanism == "zero"
        self.mem = self.spikes = torch.zeros(())

    def forward(self, current: Tensor) -> Tensor:
        """current: (n,); returns spikes (n,) and keeps the membranes in `mem`, named as in snntorch."""
        before = self.mem * (1 - self.spikes) if self.resets else self.mem
        self.mem = self.beta * before + current
        self.spikes = (self.mem > 1).float()
        return self.spikes


def spiking(neurons: Callable[..., nn.Module] = Lif) -> nn.Module:
    """96 -> 50 -> 2: the peer's second spiking baseline for primate reaching; the state goes on from call to call."""

    def membranes(net: Any, steps: Tensor) -> Tensor:
        outputs = []
        for x in steps:
            net.integrator(net.readout(net.hidden(net.first(x))))
            outputs.append(net.integrator.mem)
        return torch.stack(outputs)

    layers = {"first": nn.Linear(N_IN, 50, bias=False), "readout": nn.Linear(50, N_OUT, bias=False)}
    hidden, integrator = neurons(0.96, reset_mechanism="zero"), neurons(0.96, reset_mechanism="none")
    return Wired(membranes, **layers, hidden=hidden, integrator=integrator)


def stepped(kind: type[nn.Module]) -> nn.Module:
    """A recurrent cell 96 -> 32 over the steps of a call, from a zero state."""

    def steps_of(net: Any, steps: Tensor) -> Tensor:
        zero, outputs = torch.zeros(1, N_HIDDEN), []
        state = (zero, zero) if kind is nn.LSTMCell else zero
        for x in steps:
            state = net.cell(x[None], state)
            outputs.append(state[0] if kind is nn.LSTMCell else state)
        return torch.cat(outputs)

    return Wired(steps_of, cell=kind(N_IN, N_HIDDEN))


def sequence(kind: type[nn.Module], *before: nn.Module) -> nn.Module:
    """Layers, then nn.GRU or nn.LSTM over all steps of a call from a zero state, then a linear readout."""
    parts = {"first": nn.Sequential(*before), "recurrent": kind(N_IN, N_HIDDEN), "readout": nn.Linear(N_HIDDEN, N_OUT)}
    return Wired(lambda net, x: net.readout(net.recurrent(net.first(x))[0]), **parts)


def mlp(*norms: nn.Module) -> nn.Module:
    """96 -> 32 -> 48 -> 2; the peer's first baseline for primate reaching normalises after each ReLU."""
    first, second = norms or (nn.Identity(), nn.Identity())
    blocks = nn.Linear(N_IN, 32), nn.ReLU(), first, nn.Linear(32, 48), nn.ReLU(), second
    return nn.Sequential(*blocks, nn.Linear(48, N_OUT))


def linear() -> nn.Module:
    """96 -> 32 in a container: the peer sees the children of a network, never the network itself."""
    return nn.Sequential(nn.Linear(N_IN, N_HIDDEN))


def prune_half(network: Any) -> None:
    """Set the smaller half of each matrix to zero, for good."""
    for layer in network:
        if isinstance(layer, nn.Linear):
            prune.remove(prune.l1_unstructured(layer, "weight", 0.5), "weight")


def right(macs: float, dense: float, **others: float) -> dict[str, float]:
    """The right values of fields that are wrong."""
    return {"effective_macs": macs, "dense": dense, **others}


INPUT, STATE, READOUT = N_HIDDEN * N_IN, N_HIDDEN**2, N_HIDDEN * N_OUT
"""Products of one gate with the inputs and with the state, and of the readout."""
GATES, GATES_EFFECTIVE = 3 * N_HIDDEN, (2 + LATER) * N_HIDDEN
GRU = (3 * (INPUT + STATE * LATER) + READOUT, 3 * (INPUT + STATE) + READOUT)
LSTM = (4 * (INPUT + STATE * (1 - 1 / N_SAMPLES)) + READOUT, 4 * (INPUT + STATE) + READOUT)
"""MACs and dense; products with a zero state are dense only."""
RAISES = "the count raises: that is printed, and the layer is left out of all later batches"
INPUTS_DECIDE = "inputs alone decide between MACs and ACs"
CASES = {
    "linear": Case(linear, normal(N_IN)),
    "linear_binary": Case(linear, half(1)),
    "linear_ternary": Case(linear, half(1, -1)),
    "linear_counts": Case(linear, counts),
    "linear_counts_streamed": Case(linear, counts, batch_size=1),
    "mlp": Case(mlp, counts),
    "mlp_pruned": Case(mlp, counts, prune_half),
    "mlp_normalised": Case(lambda: mlp(nn.BatchNorm1d(32), nn.BatchNorm1d(48)), counts),
    "conv1d": Case(lambda: nn.Sequential(nn.Conv1d(8, 16, 5, padding=2)), normal(8, 20)),
    "conv2d": Case(lambda: nn.Sequential(nn.Conv2d(8, 16, 3, padding=1, stride=2, groups=4)), normal(8, 9, 9)),
    "spiking": Case(spiking, half(1)),
    "rnn_cell": Case(partial(stepped, nn.RNNCell), normal(N_IN)),
    "gru_cell": Case(
        partial(stepped, nn.GRUCell), normal(N_IN), gates={"effective_macs": GATES_EFFECTIVE, "dense": GATES}
    ),
    "gru_cell_binary": Case(
        *(partial(stepped, nn.GRUCell), half(1)),
        gates={"effective_acs": GATES_EFFECTIVE, "dense": GATES},
        true={"effective_macs": 3 * STATE * LATER, "effective_acs": 3 * INPUT / 2},
        why=f"{INPUTS_DECIDE}, but the state is real-valued; 3 H H 7/8 MACs and 3 H I / 2 ACs",
    ),
    "lstm_cell": Case(
        *(partial(stepped, nn.LSTMCell), normal(N_IN)),
        gates={"effective_macs": GATES_EFFECTIVE, "dense": GATES_EFFECTIVE},
        true={"dense": 4 * (INPUT + STATE)},
        why="dense sets the inputs to one but not the state, so a zero state's products are missing; 4 H (I + H)",
    ),
    "gru": Case(partial(sequence, nn.GRU), normal(N_IN), true=right(*GRU), why=f"{RAISES}; 3 H (I + H) + 2 H"),
    "gru_after_linear": Case(
        *(lambda: sequence(nn.GRU, nn.Linear(N_IN, N_IN)), normal(N_IN)),
        true=right(N_IN**2 + GRU[0], N_IN**2 + GRU[1]),
        why=f"{RAISES}, whereas layers before it are counted in a batch whose samples are not; I I + `gru`",
    ),
    "lstm": Case(
        *(partial(sequence, nn.LSTM), normal(N_IN)),
        batch_size=N_SAMPLES,
        true=right(*LSTM),
        why=f"{RAISES}, so that a single batch gives 0.0; 4 H (I + H) + 2 H",
    ),
    "transformer": Case(
        *(partial(nn.TransformerEncoderLayer, 16, 2, 64, activation="gelu", batch_first=True), normal(10, 16)),
        true=right(33920, 33920),
        why="attention is passed over without a word; 4 L E E + 2 L L E + 2 L E F, with L = 10, E = 16 and F = 64",
    ),
    "linear_dynamic_int8": Case(
        *(linear, normal(N_IN), lambda net: torch.ao.quantization.quantize_dynamic(net, {nn.Linear}, inplace=True)),
        true=right(INPUT - 35, INPUT, connection_sparsity=35 / INPUT, footprint=INPUT + 4 * N_HIDDEN),
        why="a quantised layer is passed over without a word; H I less 35 weights that become 0, and H I + 4 H bytes",
    ),
    "linear_ternary_weights": Case(
        *(linear, normal(N_IN), lambda net: net[0].weight.data.sign_()),
        true={"effective_macs": 0, "effective_acs": INPUT},
        why=f"{INPUTS_DECIDE}, though weights of -1, 0 and 1 need no multiplication either; H I ACs",
    ),
}


def measure(network: nn.Module, batches: list[Tensor], neurons: type[nn.Module] = Lif) -> dict[str, Any]:
    """NeuroBench's numbers and the errors that it printed on the way."""
    from neurobench.benchmarks import Benchmark
    from neurobench.metrics.static import ConnectionSparsity, Footprint
    from neurobench.metrics.workload import ActivationSparsity, SynapticOperations
    from neurobench.models import TorchModel
    from torch.utils.data import DataLoader, TensorDataset

    inputs, model, said = torch.cat(batches), TorchModel(network), StringIO()
    model.add_activation_module(neurons)
    loader = DataLoader(TensorDataset(inputs, torch.zeros(len(inputs), 1)), batch_size=len(batches[0]))
    metrics = [[Footprint, ConnectionSparsity], [ActivationSparsity, SynapticOperations]]
    with redirect_stdout(said), redirect_stderr(StringIO()):
        found = Benchmark(model, loader, [], [], metrics).run()
    operations = found.pop("SynapticOperations") or {"Effective_MACs": 0.0, "Effective_ACs": 0.0, "Dense": 0.0}
    printed = [line for line in said.getvalue().splitlines() if line.startswith("Error")]
    names = {name: re.sub("(?<=[a-z])(?=[A-Z])", "_", name).lower() for name in (*found, *operations)}
    return {names[name]: value for name, value in {**found, **operations}.items()} | {"printed": printed}


def spiking_by_snntorch() -> Any:
    """The spiking network with snntorch's own neurons; raises unless it computes the same."""
    import snntorch

    own, batches = CASES["spiking"].build()
    network = spiking(partial(snntorch.Leaky, threshold=1, init_hidden=True)).eval()
    network.load_state_dict(own.state_dict(), strict=False)
    difference = (own(torch.cat(batches)) - network(torch.cat(batches))).abs().max().item()
    if difference > 1e-6:
        raise ValueError(f"`Lif` and snntorch's Leaky give membranes that differ by {difference}; correct `Lif`")
    snntorch.utils.reset(network)
    return network


def main() -> None:
    """Measure all networks, write the file."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    networks = {}
    for name, case in CASES.items():
        network, batches = case.build()
        facts = {"modules": str(network).splitlines(), "batches": [list(batch.shape) for batch in batches]}
        judged = {"gates": case.gates, "right": not case.true, "true": case.true, "why": case.why}
        networks[name] = {**facts, **measure(network, batches), **judged}
    peer = spiking_by_snntorch()
    networks["spiking"]["snntorch"] = measure(peer, CASES["spiking"].build()[1], type(peer.hidden))
    versions = {name: version(name) for name in ("neurobench", "torch", "snntorch", "numpy")}
    Path(sys.argv[1]).write_text(json.dumps({"versions": versions, "networks": networks}, indent=1) + "\n")


if __name__ == "__main__":
    main()

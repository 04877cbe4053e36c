"""Decoders that do nothing wrong, but work in ways in which operations are easily missed or counted twice."""

import threading
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch

from harness import Cost, Decoder


@dataclass
class Network(Decoder):
    """A network of PyTorch with random weights, asked bin by bin."""

    inputs = ("spikes",)
    deterministic = True

    def fit(self, train, validation):
        for name, value in self.fresh().state_dict().items():
            setattr(self, name.replace(".", "__") + "_", value.numpy())

    def restore(self, state, sessions):
        self._network = self.fresh()
        arrays = {name[:-1].replace("__", "."): np.array(value) for name, value in state.items()}
        self._network.load_state_dict({name: torch.from_numpy(value) for name, value in arrays.items()})

    def reset(self, session):
        self._hidden = torch.zeros(1, 16)

    def step(self, bin):
        with torch.no_grad():
            return self.answer(torch.from_numpy(bin["spikes"])).numpy()

    def answer(self, x):
        return self._network(x)


@dataclass
class FiveLayers(Network):
    """Half of the first weights are zero."""

    def fresh(self):
        torch.manual_seed(0)
        sizes = [20, 16, 16, 16, 16, 2]
        layers = [m for pair in pairwise(sizes) for m in (torch.nn.Linear(*pair), torch.nn.ReLU())]
        layers[0].weight.data[:, ::2] = 0
        return torch.nn.Sequential(*layers[:-1])


class Scripted(FiveLayers):
    def restore(self, state, sessions):
        super().restore(state, sessions)
        self._network = torch.jit.script(self._network)


class Convolving(Network):
    def fresh(self):
        torch.manual_seed(0)
        return torch.nn.Sequential(torch.nn.Conv1d(1, 3, 5), torch.nn.Flatten(0), torch.nn.Linear(48, 2))

    def answer(self, x):
        return self._network(x[None])


class Recurrent(Network):
    def fresh(self):
        torch.manual_seed(0)
        return torch.nn.ModuleList([torch.nn.GRU(20, 16), torch.nn.Linear(16, 2)])

    def answer(self, x):
        y, self._hidden = self._network[0](x[None], self._hidden)
        return self._network[1](y)[0]


@dataclass
class Linear(Decoder):
    inputs = ("spikes",)
    deterministic = True

    def fit(self, train, validation):
        self.map_ = np.random.default_rng(0).uniform(1, 2, (2, 20))

    def reset(self, session):
        self.n_seen = 0

    def step(self, bin):
        self.n_seen += 1
        return self.map_ @ bin["spikes"]


@dataclass
class SeldomWorking(Linear):
    """A product of 30 x 30 by 30 in one bin of `every`."""

    every: int = 8
    at: int = 0

    def fit(self, train, validation):
        super().fit(train, validation)
        self.large_, self.vector_ = np.full((30, 30), 2.0), np.full(30, 3.0)

    def step(self, bin):
        if self.n_seen % self.every == self.at:
            self._seldom = self.large_ @ self.vector_
        return super().step(bin)


class LateThread(Linear):
    """Starts a thread in the last bin of the excerpt."""

    def step(self, bin):
        if self.n_seen == 63:
            threading.Thread(target=self.map_.sum).start()
        return super().step(bin)


class Flat(Linear):
    def step(self, bin):
        return np.array([sum(w * v for w, v in zip(row.flat, bin["spikes"].flat, strict=True)) for row in self.map_])


class Enumerated(Linear):
    def step(self, bin):
        answer = np.zeros(2)
        for (i, j), w in np.ndenumerate(self.map_):
            answer[i] += w * float(bin["spikes"][j])
        return answer


class Whole(Linear):
    """Fixed point with Python's numbers."""

    def fit(self, train, validation):
        self.map_ = np.full((4, 20), 3)

    def step(self, bin):
        rows, x = self.map_.tolist(), bin["spikes"].astype(int).tolist()
        return np.array([sum(w * v for w, v in zip(row, x, strict=True)) for row in rows[:2]], float)


class HoldsSparse(Linear):
    def reset(self, session):
        super().reset(session)
        self._sparse = torch.eye(20).to_sparse()


class HoldsViews(Linear):
    def reset(self, session):
        super().reset(session)
        history = np.zeros(20_000)
        self._views = [history[i:] for i in range(10)]


@dataclass
class Declares(Linear):
    """Numbers of NumPy, or of a wrong kind."""

    kind: str = "numpy"

    def cost(self, session):
        given = {
            "numpy": Cost(np.float32(40), acs_per_bin=np.int64(3), bits={"map_": np.int8(4)}),
            "nothing known": Cost(),
            "text": Cost(macs_per_bin="many"),
            "fractions of a bit": Cost(bits={"map_": 1.5}),
            "no cost": None,
        }
        return given[self.kind]

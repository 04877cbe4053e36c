"""POSSM: which units fired, pooled by attention and carried on by a gated recurrent unit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from baselines.count_networks import Corruption
from baselines.gru import GruCell
from baselines.parts import part
from baselines.possm.attention import EventAttention, EventPool
from baselines.possm.network import EventNetwork
from baselines.sessions import MultiSession, Stream, outputs_key
from harness import Bin, HarnessError, SessionInfo


@dataclass
class Possm(MultiSession):
    """A decoder of events that moves between sessions (after POSSM, Ryoo et al. 2025, arXiv 2506.05320).

    A bin is the chunk: spikes within it have no order. Only the units' embeddings belong to a session; attention, core
    and heads are shared, so that a new session with other units has to learn embeddings alone.

    hidden: Width of the core.
    width: Numbers in a unit's embedding.
    n_latents, n_heads: Queries of the attention, and parts that each of them is cut into.
    """

    hidden: int = 128
    input_dropout: float = 0.15
    width: int = 64
    n_latents: int = 1
    n_heads: int = 4

    def core(self, bin_s: float) -> Any:
        return torch.nn.GRU(self.n_latents * self.width, self.hidden, batch_first=True)

    def stream(self, weights: Mapping[str, np.ndarray], bin_s: float) -> Stream:
        return GruCell(weights)

    def _build(self, sessions: Sequence[SessionInfo]) -> EventNetwork:
        if self.width % self.n_heads:
            raise HarnessError(
                f"width {self.width} cannot be cut into {self.n_heads} equal heads; give a multiple of n_heads as width"
            )
        return EventNetwork(
            sessions,
            EventAttention(self.width, n_latents=self.n_latents, n_heads=self.n_heads),
            self.core(sessions[0].bin_s),
            corruption=Corruption(self.input_dropout, self.noise),
            dropout=self.dropout,
            stream=self.inputs[0],
        )

    def reset(self, session: SessionInfo) -> None:
        port, weights = self.network.ports[self._key_of(session)], self.weights()
        self._fresh_front(port)
        self._head = part(weights, f"heads.{outputs_key(session)}.")
        self._cell = self.stream(part(weights, "core."), session.bin_s)
        self._port, self._offset, self._sd = port, port.offset.numpy(), port.sd.numpy()

    def _fresh_front(self, port: Any) -> None:
        with torch.inference_mode():
            table, centre, gain = (matrix.numpy() for matrix in self.network.front(port))
            rest = self.network.attention.rest.exp().flatten().numpy()
        self._pool, self._centre, self._gain = EventPool(table, rest), centre[0], gain[0]

    def step(self, bin: Bin) -> np.ndarray:
        pooled = self._pool(self._port.standard(bin[self.inputs[0]]))
        hidden = self._cell.advance((pooled - self._centre) * self._gain)
        return (self._head["weight"] @ hidden + self._head["bias"]) * self._sd + self._offset

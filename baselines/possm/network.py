"""The network in PyTorch: embeddings of each session's units, one attention, one recurrent core, heads."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from baselines.count_networks import Corruption
from baselines.features import scored_targets
from baselines.possm.attention import EventAttention
from baselines.sessions import SessionsNetwork
from harness import HarnessError, Recording, SessionInfo

FIRST_GAIN = 2.0
PACE = 3.0
"""Embeddings are learned so much faster than other weights: a new session has little time to place its units."""


class UnitPort(torch.nn.Module):
    """What is a session's own: an embedding per unit, mean counts, offset and scale of the targets."""

    def __init__(self, n_units: int, width: int, n_outputs: int):
        super().__init__()
        self.in_features = n_units
        self.units = torch.nn.Parameter(torch.randn(n_units, width) / PACE)
        for name, array in (("mean", torch.zeros(n_units)), ("offset", torch.zeros(n_outputs))):
            self.register_buffer(name, array)
        self.register_buffer("sd", torch.ones(n_outputs))

    def measure(self, recordings: Sequence[Recording], stream: str) -> None:
        """Take mean counts, and mean and scale of the targets, from these recordings of the session.

        Raises:
            HarnessError: If the recordings differ in their channels.
        """
        counts = [r.inputs.streams[stream] for r in recordings]
        widths = sorted({c.shape[1] for c in counts})
        if len(widths) > 1:
            raise HarnessError(
                f"recordings of {widths} channels cannot be one session; give each a session id of its own"
            )
        targets = scored_targets(recordings)
        sd = targets.std(axis=0)
        mean = np.maximum(np.concatenate(counts), 0).mean(axis=0, dtype=np.float64)
        measured = mean, targets.mean(axis=0), np.where(sd > 0, sd, 1)
        for buffer, array in zip((self.mean, self.offset, self.sd), measured, strict=True):
            buffer.copy_(torch.from_numpy(array))

    @property
    def embedding(self) -> Any:
        """(n_units, width)."""
        return PACE * self.units

    @property
    def rate(self) -> Any:
        """Spikes that a bin has on average."""
        return self.mean.sum().clamp(min=1e-3)

    def standard(self, counts: np.ndarray) -> np.ndarray:
        """Counts of one bin or of many, as shares of the spikes that a bin has on average."""
        return np.maximum(counts, 0) / self.rate.numpy()


class EventNetwork(SessionsNetwork):
    """Counts of any held session -> attention over its spikes -> recurrent core -> the head of its outputs.

    What average counts are pooled to is subtracted, and the rest is scaled by the square root of the spikes in a bin,
    for the mean over n tokens varies with 1 / sqrt(n). Both follow from a session's mean counts.
    """

    def __init__(
        self,
        sessions: Sequence[SessionInfo],
        attention: EventAttention,
        core: Any,
        *,
        corruption: Corruption,
        dropout: float,
        stream: str,
    ):
        def port(n_units: int, n_outputs: int) -> UnitPort:
            return UnitPort(n_units, attention.values.in_features, n_outputs)

        super().__init__(sessions, core, width=core.hidden_size, corruption=corruption, stream=stream, port=port)
        self.attention, self.dropout = attention, torch.nn.Dropout(dropout)
        self.gain = torch.nn.Parameter(torch.full((attention.n_pooled,), FIRST_GAIN))

    def forward(self, x: Any) -> Any:
        who = x[:, 0, -1].long()
        fronts = [self.front(port) for port in self.ports.values()]
        table, centre, gain = (_of_whom(matrices, who) for matrices in zip(*fronts, strict=True))
        pooled = self.attention.pooled(torch.bmm(self.corruption(x[..., :-1]), table))
        hidden = self.dropout(self.core((pooled - centre) * gain)[0])
        heads = [self.heads[key] for key in self.head_of]
        biases = _of_whom([head.bias[None] for head in heads], who)
        return torch.baddbmm(biases, hidden, _of_whom([head.weight.T for head in heads], who))

    def front(self, port: UnitPort) -> tuple[Any, Any, Any]:
        """A session's table of `EventAttention`, what average counts are pooled to, and what that is scaled by.

        (n_units, n_pooled + n_weights), (1, n_pooled), (1, n_pooled).
        """
        table = self.attention.table(port.embedding)
        centre = self.attention.pooled(port.mean / port.rate @ table)
        return table, centre[None], (self.gain * port.rate.sqrt())[None]


def _of_whom(matrices: Sequence[Any], who: Any) -> Any:
    """(n_batch, most rows, most columns): the matrix of each row's session, zeros where it is smaller than others."""
    rows, columns = max(len(m) for m in matrices), max(m.shape[1] for m in matrices)
    padded = [torch.nn.functional.pad(m, (0, columns - m.shape[1], 0, rows - len(m))) for m in matrices]
    return torch.stack(padded)[who]

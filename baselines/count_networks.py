"""Networks on standardised counts, in PyTorch: loaded to learn. What streams is beside each decoder, in NumPy."""

from typing import Any

import torch


class Corruption(torch.nn.Module):
    """In training, drop and jitter inputs, so that no single unit is relied on; the identity afterwards."""

    def __init__(self, dropout: float, noise: float):
        super().__init__()
        self.dropout, self.noise = torch.nn.Dropout(dropout), noise

    def forward(self, x: Any) -> Any:
        return self.dropout(x + self.noise * torch.randn_like(x)) if self.training and self.noise else self.dropout(x)


class RecurrentNetwork(torch.nn.Module):
    """Corrupted counts -> one recurrent layer -> linear read-out."""

    def __init__(self, layer: Any, n_outputs: int, *, corruption: Corruption, dropout: float):
        super().__init__()
        self.corruption, self.layer, self.dropout = corruption, layer, torch.nn.Dropout(dropout)
        self.readout = torch.nn.Linear(layer.hidden_size, n_outputs)

    def forward(self, x: Any) -> Any:
        return self.readout(self.dropout(self.layer(self.corruption(x))[0]))


class HistoryNetwork(torch.nn.Module):
    """The same perceptron at every bin, on its own and the `n_bins - 1` bins before, newest first."""

    def __init__(self, perceptron: torch.nn.Sequential, *, n_bins: int, corruption: Corruption):
        super().__init__()
        self.perceptron, self.n_bins, self.corruption = perceptron, n_bins, corruption

    def forward(self, x: Any) -> Any:
        """x: (batch, n_bins, n_units); bins before the first are zero, as in `History`."""
        padded = torch.nn.functional.pad(self.corruption(x), (0, 0, self.n_bins - 1, 0))
        lags = [padded[:, self.n_bins - 1 - lag :][:, : x.shape[1]] for lag in range(self.n_bins)]
        return self.perceptron(torch.cat(lags, dim=2))


def perceptron(n_inputs: int, hidden: int, n_outputs: int, *, dropout: float) -> torch.nn.Sequential:
    """Two hidden layers of rectified units."""
    return torch.nn.Sequential(
        torch.nn.Linear(n_inputs, hidden),
        torch.nn.ReLU(),
        torch.nn.Dropout(dropout),
        torch.nn.Linear(hidden, hidden),
        torch.nn.ReLU(),
        torch.nn.Dropout(dropout),
        torch.nn.Linear(hidden, n_outputs),
    )

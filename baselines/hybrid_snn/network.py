"""The networks in PyTorch: (batch, n_bins, n_units) counts -> (batch, n_bins, n_outputs) standardised answers."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.nn.functional import max_pool1d, pad

from baselines.hybrid_snn.shape import POOLED, Shape
from baselines.spiking import Lif, LifRule, Reset

RECURRENT_SCALE = 0.3
"""Of first recurrent weights, beside the usual ones: units that excite each other are slow to learn anything else."""


class Front(torch.nn.Module):
    """Convolution -> maximum over two columns -> dropout, block after block; no column that depends on unseen bins.

    `on_grid`, None at first, is what the columns between blocks go through.
    """

    def __init__(self, shape: Shape, n_units: int, n_channels: int, *, dropout: float):
        super().__init__()
        widths = [n_units] + [n_channels] * len(shape.blocks)
        self.shape, self.dropout = shape, torch.nn.Dropout(dropout)
        self.on_grid: Callable[[Any], Any] | None = None
        self.convolutions = torch.nn.ModuleList(
            torch.nn.Conv1d(n_in, n_channels, block.kernel) for n_in, block in zip(widths, shape.blocks, strict=False)
        )

    def forward(self, x: Any) -> Any:
        """(batch, n_bins, n_units) -> (batch, n_keypoints, n_channels)."""
        # What stands behind the last bin changes no keypoint that is kept; it only makes short stretches long enough.
        columns = pad(x.mT, (0, max(0, self.shape.last_bin) + self.shape.step_bins))
        for block, convolution in zip(self.shape.blocks, self.convolutions, strict=True):
            columns = convolution(pad(columns, (block.left, 0)))
            if block.stride < POOLED:
                columns = pad(columns, (1, 0), value=-torch.inf)
            columns = self.dropout(max_pool1d(columns, POOLED, block.stride))
            if self.on_grid:
                columns = self.on_grid(columns)
        return columns[..., : self.shape.n_keypoints(x.shape[1])].mT


class LifStack(torch.nn.Module):
    """Layers of recurrent spiking units, one after the other, with learned leak and threshold.

    widths: Inputs of the first layer, then units of each layer.
    beta: What the leak is at first.

    After a pass, `n_spikes` holds the spikes of a keypoint, summed over units: what a penalty wants.
    """

    def __init__(self, widths: Sequence[int], *, beta: float, reset: Reset, dropout: float = 0.0):
        super().__init__()
        self.n_hidden, self.dropout = widths[-1], torch.nn.Dropout(dropout)
        self.currents = torch.nn.ModuleList(
            torch.nn.Linear(n_in, n, bias=False) for n_in, n in itertools.pairwise(widths)
        )
        rule = LifRule(reset, reset_gradient=True, learned=True, recurrent=True)
        self.layers = torch.nn.ModuleList(Lif(n, beta, rule=rule) for n in widths[1:])
        for layer in self.layers:
            layer.recurrent.data *= RECURRENT_SCALE
        self.n_spikes: Any = torch.zeros(())

    def forward(self, x: Any) -> Any:
        """(batch, n_keypoints, n_inputs) -> (batch, n_keypoints, n_units)."""
        self.n_spikes = torch.zeros(())
        for current, layer in zip(self.currents, self.layers, strict=True):
            spikes = layer(current(x))
            if spikes.numel():  # a stretch may be too short for a keypoint
                self.n_spikes = self.n_spikes + spikes.sum(-1).mean()
            x = self.dropout(spikes)
        return x


class Readout(torch.nn.Module):
    """A linear map, and after it one leaky sum for each of its rows where `leaky`."""

    def __init__(self, n_inputs: int, n_rows: int, *, leaky: bool, leak: float = 0.7):
        super().__init__()
        self.linear = torch.nn.Linear(n_inputs, n_rows, bias=False)
        self.leak = torch.nn.Parameter(torch.full((n_rows,), leak)) if leaky else None

    def forward(self, x: Any) -> Any:
        """(batch, n_keypoints, n_inputs) -> (batch, n_keypoints, n_rows)."""
        driven = self.linear(x)
        if self.leak is None or not driven.shape[1]:
            return driven
        kept, sums = self.leak.clamp(0, 1), [driven[:, 0]]
        for row in driven.unbind(1)[1:]:
            sums.append(kept * sums[-1] + row)
        return torch.stack(sums, 1)


class KeypointNetwork(torch.nn.Module):
    """Corruption -> front -> recurrence at keypoints -> read-out -> an answer for every bin.

    ahead: Each keypoint answers for the bins until the next one, and the read-out has so many rows.
    interpolated: Answers lie on lines between keypoints, and speak of a bin that is `last_bin` + `step_bins` - 1 past.
        Where neither, a keypoint's one answer is held until the next, and speaks of a bin that is `last_bin` past.
    """

    def __init__(
        self,
        front: Front,
        recurrence: torch.nn.Module,
        readout: Any,
        *,
        corruption: Any,
        ahead: bool,
        interpolated: bool,
    ):
        super().__init__()
        self.corruption, self.front, self.recurrence, self.readout = corruption, front, recurrence, readout
        self.n_answers, self.interpolated = front.shape.step_bins if ahead else 1, interpolated

    def forward(self, x: Any) -> Any:
        keypoints = self.readout(self.recurrence(self.front(self.corruption(x))))
        return self._on_lines(keypoints, x.shape[1]) if self.interpolated else self._held(keypoints, x.shape[1])

    def _held(self, keypoints: Any, n_bins: int) -> Any:
        """(batch, n_keypoints, n_answers * n_outputs), bins slowest -> (batch, n_bins, n_outputs)."""
        shape = self.front.shape
        n_batch, n_keypoints, n_rows = keypoints.shape
        answers = keypoints.reshape(n_batch, n_keypoints * self.n_answers, n_rows // self.n_answers)
        answers = answers.repeat_interleave(shape.step_bins // self.n_answers, dim=1)
        return pad(answers, (0, 0, shape.last_bin, shape.step_bins))[:, :n_bins]

    def _on_lines(self, keypoints: Any, n_bins: int) -> Any:
        """(batch, n_keypoints, n_outputs) -> (batch, n_bins, n_outputs); before the first keypoint stands a zero."""
        shape = self.front.shape
        points = pad(keypoints, (0, 0, 1, 1))
        ahead = torch.arange(n_bins) + 1 - shape.last_bin
        before = ahead.clamp(min=0) // shape.step_bins
        share = ((ahead.clamp(min=0) % shape.step_bins) / shape.step_bins)[:, None].to(points.dtype)
        return points[:, before] + share * (points[:, before + 1] - points[:, before])

"""Spiking layers over time: current-based leaky integrate-and-fire units, forwards and backwards in one pass of NumPy.

With drive I, decays a of the synapse and b of the membrane, recurrent weights R and threshold theta,

    C[t] = a C[t-1] + I[t] + R S[t-1]
    U[t] = b U[t-1] (1 - S[t-1]) + C[t]
    S[t] = 1 where U[t] > theta, else 0

so a spike empties the membrane in the next step, before that step's current. What resets carries no gradient. A layer
of autograd operations would keep a graph of every step; this keeps three arrays.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch


class _Scan(torch.autograd.Function):
    """(time, batch, n) drive -> spikes and membranes of that shape."""

    @staticmethod
    def forward(ctx: Any, drive: Any, recurrent: Any, decays: Any, threshold: float, surrogate: Any) -> tuple[Any, Any]:
        synapse_decay, membrane_decay = decays.detach().numpy()
        current = np.ascontiguousarray(drive.detach().numpy())
        currents, membranes, spikes = (np.empty_like(current) for _ in range(3))
        units = Units(synapse_decay, membrane_decay, None, threshold, shape=current.shape[1:])
        for t, driven in enumerate(current):
            if recurrent is not None:
                driven = driven + product(units.spikes, recurrent.detach().T)
            spikes[t] = units.advance(driven)
            currents[t], membranes[t] = units.current, units.membrane
        ctx.save_for_backward(drive, recurrent, decays)
        ctx.kept, ctx.threshold, ctx.surrogate = (currents, membranes, spikes), threshold, surrogate
        return torch.from_numpy(spikes), torch.from_numpy(membranes)

    @staticmethod
    def backward(ctx: Any, spike_gradient: Any, membrane_gradient: Any) -> Any:  # type: ignore[override]
        _, recurrent, decays = ctx.saved_tensors
        currents, membranes, spikes = ctx.kept
        synapse_decay, membrane_decay = decays.detach().numpy()
        slopes = slopes_of(ctx.surrogate, membranes - np.float32(ctx.threshold))
        to_spikes, to_membranes = spike_gradient.numpy(), membrane_gradient.numpy()
        to_current, to_membrane = np.zeros_like(currents), np.zeros_like(currents)
        later_current = later_membrane = np.zeros_like(currents[0])
        for t in reversed(range(len(currents))):
            to_spike = to_spikes[t] if recurrent is None else to_spikes[t] + product(later_current, recurrent.detach())
            leak = to_membrane[t]
            np.multiply(later_membrane, membrane_decay, out=leak)
            leak *= 1 - spikes[t]
            leak += to_spike * slopes[t]
            leak += to_membranes[t]
            later_membrane = leak
            np.multiply(later_current, synapse_decay, out=to_current[t])
            to_current[t] += leak
            later_current = to_current[t]
        synapse = np.einsum("tbn,tbn->n", to_current[1:], currents[:-1])
        membrane = np.einsum("tbn,tbn->n", to_membrane[1:], membranes[:-1] * (1 - spikes[:-1]))
        to_recurrent = None
        if recurrent is not None:
            now, before = (torch.from_numpy(a).flatten(0, 1) for a in (to_current[1:], spikes[:-1]))
            to_recurrent = now.T @ before
        return torch.from_numpy(to_current), to_recurrent, torch.from_numpy(np.stack([synapse, membrane])), None, None


def scan(
    drive: Any,
    decays: Any,
    *,
    threshold: float = 1.0,
    recurrent: Any = None,
    surrogate: Callable[[Any], Any] | None = None,
) -> tuple[Any, Any]:
    """Run units over (batch, time, n) drive from rest; return spikes and membranes of that shape.

    Args:
        drive: Input to the units.
        decays: (2, n), of synapse and membrane; a synapse that decays by 0 passes its drive on at once.
        threshold: Infinite for units that only integrate.
        recurrent: (n, n) weights, to and from; or None.
        surrogate: Distance to threshold -> spikes, for its gradient; None for units that only integrate.
    """
    spikes, membranes = _Scan.apply(drive.transpose(0, 1), recurrent, decays, threshold, surrogate)
    return spikes.transpose(0, 1), membranes.transpose(0, 1)


def product(rows: np.ndarray, weights: Any) -> np.ndarray:
    """Matrix product in PyTorch, whose threads `repeatable` limits; NumPy's would outnumber the work."""
    result: np.ndarray = (torch.from_numpy(rows) @ weights).numpy()
    return result


def slopes_of(surrogate: Callable[[Any], Any] | None, distance: np.ndarray) -> np.ndarray:
    """The derivative that a surrogate gives at distances to threshold, any shape."""
    if surrogate is None:
        return np.zeros_like(distance)
    with torch.enable_grad():
        at = torch.from_numpy(distance).requires_grad_()
        slopes: np.ndarray = torch.autograd.grad(surrogate(at).sum(), at)[0].numpy()
    return slopes


@dataclass
class Units:
    """The units for one step after the other; a fresh one is at rest.

    synapse_decay, membrane_decay: (n,) each, or one number.
    recurrent: (n, n) weights, to and from, for steps of (n,); or None.
    shape: Of a step: (n,) or (batch, n).
    """

    synapse_decay: Any
    membrane_decay: Any
    recurrent: np.ndarray | None
    threshold: float
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        self.current, self.membrane, self.spikes = (np.zeros(self.shape, np.float32) for _ in range(3))

    def advance(self, drive: np.ndarray) -> np.ndarray:
        """Take in drive of that shape and return spikes, 0 or 1 in float32."""
        if self.recurrent is not None:
            drive = drive + self.recurrent @ self.spikes
        self.current = self.synapse_decay * self.current + drive
        self.membrane = self.membrane_decay * self.membrane * (1 - self.spikes) + self.current
        self.spikes = (self.membrane > self.threshold).astype(np.float32)
        return self.spikes

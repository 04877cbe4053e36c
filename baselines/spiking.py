"""Spiking units: surrogate gradients and leaky integrate-and-fire layers in PyTorch, and their twin in NumPy.

A unit of these layers obeys, as in snnTorch 1.0 (Eshraghian et al. 2023, 10.1109/JPROC.2023.3308088),

    subtract: U[t] = beta U[t-1] + I[t] + V S[t-1] - theta S[t-1]
    zero:     U[t] = beta U[t-1] (1 - S[t-1]) + I[t] + V S[t-1]
    S[t] = 1 where U[t] > theta, else 0

so a spike resets the membrane one step later, before that step's input: the membrane of a step with a spike is above
the threshold. What resets carries no gradient there, nor here by default. Where `recurrent` units are trained over many
steps it should (`reset_gradient`): only with it does the gradient know that a spike stills its own unit, and without it
grows from step to step.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from harness import HarnessError

Reset = Literal["subtract", "zero"]
RESETS = ("subtract", "zero")


class _Spike(torch.autograd.Function):
    """1 where x > 0, else 0; its gradient is that of a smooth step (Neftci et al. 2019, 10.1109/MSP.2019.2931595)."""

    @staticmethod
    def forward(ctx: Any, x: Any, derivative: Callable[[Any], Any]) -> Any:
        ctx.save_for_backward(x)
        ctx.derivative = derivative
        return (x > 0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Any) -> tuple[Any, None]:  # type: ignore[override]
        (x,) = ctx.saved_tensors
        return gradient * ctx.derivative(x), None


def arctan_spike(x: Any, alpha: float = 2.0) -> Any:
    """Spikes of a distance to threshold, any shape; gradient (alpha / 2) / (1 + (pi alpha x / 2)^2).

    Fang et al. 2021, 10.1109/ICCV48922.2021.00266.
    """
    return _Spike.apply(x, lambda d: (alpha / 2) / (1 + (torch.pi * alpha / 2 * d) ** 2))


def fast_sigmoid_spike(x: Any, slope: float = 25.0) -> Any:
    """Spikes of a distance to threshold, any shape; gradient 1 / (1 + slope |x|)^2."""
    return _Spike.apply(x, lambda d: (1 + slope * d.abs()) ** -2)


def superspike(x: Any, beta: float = 20.0) -> Any:
    """`fast_sigmoid_spike` under the name of its authors, Zenke and Ganguli 2018, 10.1162/neco_a_01086.

    A `beta` of 20 is what Liu et al. 2024 (arXiv 2409.01762) trained their recurrent networks with.
    """
    return fast_sigmoid_spike(x, beta)


@dataclass(frozen=True)
class LifRule:
    """How the units of a layer work.

    reset: What a spike does to the membrane in the next step.
    reset_gradient: Whether what resets carries a gradient.
    learned: Whether leak and threshold are learned.
    recurrent: Whether spikes drive the units of the layer in the next step, through weights (to, from).
    surrogate: Distance to threshold -> spikes; it decides the gradient.
    """

    reset: Reset = "subtract"
    reset_gradient: bool = False
    learned: bool = False
    recurrent: bool = False
    surrogate: Callable[[Any], Any] = arctan_spike


STANDARD = LifRule()


class Lif(torch.nn.Module):
    """A layer of leaky integrate-and-fire units: (batch, time, n) input current -> spikes of the same shape.

    beta: Share of the membrane that is left after a step, for all units or (n,); held within 0 to 1.
    threshold: Spikes are fired above it; for all units or (n,).

    `on_grid`, None at first, may be set to what every new membrane goes through, such as rounding.
    """

    def __init__(
        self,
        n: int,
        beta: float | Any = 0.9,
        threshold: float | Any = 1.0,
        rule: LifRule = STANDARD,
    ):
        super().__init__()
        self.n, self.rule, self.reset = n, rule, known_reset(rule.reset)
        self.on_grid: Callable[[Any], Any] | None = None
        for name, value in (("beta", beta), ("threshold", threshold)):
            given = torch.as_tensor(value, dtype=torch.float32)
            setattr(self, name, torch.nn.Parameter(given, requires_grad=rule.learned))
        if rule.recurrent:
            self.recurrent = torch.nn.Parameter(torch.empty(n, n).uniform_(-1, 1) / n**0.5)

    def forward(self, current: Any) -> Any:
        beta, recurrent = self.beta.clamp(0, 1), getattr(self, "recurrent", None)
        membrane = spikes = current.new_zeros(len(current), self.n)
        fired = []
        for driven in current.unbind(1):
            if recurrent is not None:
                driven = driven + spikes @ recurrent.T
            fallen = spikes if self.rule.reset_gradient else spikes.detach()
            membrane = self._integrated(membrane, fallen, beta) + driven
            if self.on_grid:
                membrane = self.on_grid(membrane)
            spikes = self.rule.surrogate(membrane - self.threshold)
            fired.append(spikes)
        return torch.stack(fired, 1) if fired else current

    def _integrated(self, membrane: Any, fired: Any, beta: Any) -> Any:
        if self.reset == "zero":
            return beta * membrane * (1 - fired)
        return beta * membrane - self.threshold * fired


class LifUnits:
    """The layer for one step at a time, in NumPy; a fresh one has forgotten everything.

    weights: `beta` and `threshold`, and `recurrent` where the layer has it; arrays as in `Lif.state_dict()`.
    on_grid: What every new membrane goes through.
    """

    def __init__(
        self,
        weights: Mapping[str, np.ndarray],
        n: int,
        *,
        reset: Reset = "subtract",
        on_grid: Callable[[np.ndarray], np.ndarray] | None = None,
    ):
        self.reset, self.on_grid = known_reset(reset), on_grid
        self.beta, self.threshold = np.clip(weights["beta"], 0, 1), weights["threshold"]
        self.recurrent = weights.get("recurrent")
        self.membrane, self.spikes = np.zeros(n, np.float32), np.zeros(n, np.float32)

    def advance(self, current: np.ndarray) -> np.ndarray:
        """Take in (n,) input current and return (n,) spikes, 0 or 1 in float32."""
        if self.recurrent is not None:
            current = current + self.recurrent @ self.spikes
        if self.reset == "zero":
            left = self.beta * self.membrane * (1 - self.spikes)
        else:
            left = self.beta * self.membrane - self.threshold * self.spikes
        self.membrane = left + current
        if self.on_grid:
            self.membrane = self.on_grid(self.membrane)
        self.spikes = (self.membrane > self.threshold).astype(np.float32)
        return self.spikes


def known_reset(reset: str) -> Reset:
    """The name of a reset, if there is such a one.

    Raises:
        HarnessError: If there is none.
    """
    if reset not in RESETS:
        raise HarnessError(f"unknown reset {reset!r}; known: {', '.join(RESETS)}")
    return reset  # type: ignore[return-value]

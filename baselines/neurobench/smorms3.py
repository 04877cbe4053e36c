"""SMORMS3: an optimiser that measures, per weight, how far gradients agree, and steps no further than that."""

from typing import Any

import torch

from harness.optimiser import Uncompiled


class Smorms3(Uncompiled, torch.optim.Optimizer):
    """Squared mean over root mean squared cubed (Funk 2015, sifter.org/~simon/journal/20150420.html).

    With running means g of a gradient and q of its square, a weight moves by g' min(rate, g^2 / q) / sqrt(q), where g'
    is the new gradient. The means forget the faster, the less the gradients agreed: memory m <- 1 + m (1 - g^2 / q).
    """

    def __init__(self, parameters: Any, lr: float = 2e-3, eps: float = 1e-16):
        super().__init__(parameters, {"lr": lr, "eps": eps})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._move(parameter, group["lr"], group["eps"])

    def _move(self, parameter: Any, rate: float, eps: float) -> None:
        state, gradient = self.state[parameter], parameter.grad
        if not state:
            state["memory"] = torch.ones_like(parameter)
            state["mean"], state["square"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
        share = 1 / (state["memory"] + 1)
        state["mean"].lerp_(gradient, share)
        state["square"].lerp_(gradient**2, share)
        agreement = state["mean"] ** 2 / (state["square"] + eps)
        state["memory"].mul_(1 - agreement).add_(1)
        parameter.sub_(gradient * agreement.clamp(max=rate) / (state["square"].sqrt() + eps))

"""PyTorch's optimisers without its compiler, which they load when they begin: as long a wait as for PyTorch itself."""

import inspect
import math
from collections.abc import Iterable
from typing import Any

import torch

from harness.errors import DecoderError


class Uncompiled:
    """Put before a class of `torch.optim`: the same methods, without what tells the compiler to leave them alone.

    Nothing else changes, to the bit. Where PyTorch wraps them otherwise, they are its own, and the compiler is loaded.
    """

    add_param_group: Any = inspect.unwrap(torch.optim.Optimizer.add_param_group)
    zero_grad: Any = inspect.unwrap(torch.optim.Optimizer.zero_grad)
    state_dict: Any = inspect.unwrap(torch.optim.Optimizer.state_dict)
    load_state_dict: Any = inspect.unwrap(torch.optim.Optimizer.load_state_dict)


class AdamW(Uncompiled, torch.optim.AdamW):  # type: ignore[misc]
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019, arXiv 1711.05101)."""

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def step(self, closure: None = None) -> None:
        """Move the weights by their gradients."""
        _STEP(self, closure)


_STEP: Any = inspect.unwrap(torch.optim.AdamW.step)


def descend(loss: Any, weights: Iterable[Any], optimiser: Any, clip_norm: float) -> float:
    """One update: down the gradient of a loss, which is scaled where it is longer than `clip_norm`.

    Returns:
        The loss.

    Raises:
        DecoderError: If the loss is not finite.
    """
    value = float(loss.item())
    if not math.isfinite(value):
        raise DecoderError(f"the training loss became {value}; lower the learning rate or check the inputs")
    optimiser.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(weights, clip_norm)
    optimiser.step()
    return value

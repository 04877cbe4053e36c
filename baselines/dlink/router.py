"""The router: for every window, how much of each teacher layer the student shall imitate. Training only."""

import math
from typing import Any, Literal

import torch

LayerChoice = Literal["router", "last", "uniform", "top1"]
ROUTER_WIDTH = 32
ENTROPY_FLOOR = 0.3
"""Of the greatest entropy, log L."""


class Router(torch.nn.Module):
    """Weights of layers from the window's embedding and from each layer's mean.

    choice: "router" learns them; "top1" learns too, and passes the largest one on alone (gradients go straight
        through); "last" and "uniform" learn nothing.
    """

    def __init__(self, choice: LayerChoice, width: int):
        super().__init__()
        self.choice, self.width = choice, width
        if self.learns:
            self.score = torch.nn.Sequential(
                torch.nn.Linear(2 * width, ROUTER_WIDTH), torch.nn.GELU(), torch.nn.Linear(ROUTER_WIDTH, 1, bias=False)
            )

    @property
    def learns(self) -> bool:
        """Whether there is anything to train."""
        return self.choice in ("router", "top1")

    def forward(self, embedding: Any, hidden: Any) -> tuple[Any, Any]:
        """How much of each layer.

        Args:
            embedding: (batch, width), mean over tokens before the first layer.
            hidden: (batch, n_layers, n_tokens, width).

        Returns:
            weights (batch, n_layers) that the layers are mixed with, and the same before any choice of one.
        """
        n, n_layers = hidden.shape[:2]
        if not self.learns:
            fixed = hidden.new_full((n, n_layers), 1 / n_layers)
            if self.choice == "last":
                fixed = torch.nn.functional.one_hot(torch.full((n,), n_layers - 1), n_layers).to(hidden)
            return fixed, fixed
        means = hidden.mean(dim=2)
        # A scale of its own per window: deeper layers are larger, and that should not decide.
        seen = [torch.nn.functional.layer_norm(x, x.shape[-1:]) for x in (embedding[:, None].expand_as(means), means)]
        soft = self.score(torch.cat(seen, dim=-1))[..., 0].softmax(dim=-1)
        if self.choice == "router":
            return soft, soft
        hard = torch.nn.functional.one_hot(soft.argmax(dim=-1), n_layers).to(soft)
        return hard + soft - soft.detach(), soft


def mixed(weights: Any, hidden: Any) -> Any:
    """Layers, each normalised, mixed: (batch, n_layers), (batch, n_layers, ..., width) -> (batch, ..., width)."""
    normal = torch.nn.functional.layer_norm(hidden, hidden.shape[-1:])
    return torch.einsum("bl,bl...->b...", weights, normal)


def entropy_shortfall(soft: Any) -> Any:
    """How far the mean entropy of weights (batch, n_layers) is below 0.3 log L; scalar."""
    entropy = -(soft * soft.clamp_min(1e-12).log()).sum(dim=-1)
    return torch.relu(ENTROPY_FLOOR * math.log(soft.shape[-1]) - entropy).mean()

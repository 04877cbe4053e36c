"""Optimisers without PyTorch's compiler: PyTorch's own, to the bit."""

import pytest
import torch

from harness.errors import DecoderError
from harness.optimiser import AdamW, descend


def trained(kind, kept=None, updates=6):
    """A small network after some updates, and the optimiser; from a kept state if one is given."""
    torch.manual_seed(0)
    network, x = torch.nn.GRU(4, 8), torch.randn(6, 3, 4)
    optimiser = kind(network.parameters(), weight_decay=0.1)
    if kept:
        network.load_state_dict(kept[0])
        optimiser.load_state_dict(kept[1])
    for update in range(updates):
        for group in optimiser.param_groups:
            group["lr"] = 0.01 / (update + 1)
        optimiser.zero_grad()
        network(x)[0].square().sum().backward()
        optimiser.step()
    return network.state_dict(), optimiser.state_dict()


@pytest.mark.parametrize("first, then", [(AdamW, torch.optim.AdamW), (torch.optim.AdamW, AdamW)])
def test_weights_and_state_are_pytorchs_also_after_going_on(first, then):
    for other in (first, then):
        ours, theirs = trained(other, kept=trained(first)), trained(then, kept=trained(then))
        assert all(torch.equal(ours[0][name], theirs[0][name]) for name in theirs[0])
        for mine, its in zip(ours[1]["state"].values(), theirs[1]["state"].values(), strict=True):
            assert mine.keys() == its.keys() and all(torch.equal(mine[name], its[name]) for name in its)


def test_a_step_down_is_clipped_and_says_how_high_it_was():
    weight = torch.nn.Parameter(torch.tensor([3.0, 4.0]))
    loss = descend(weight.square().sum(), [weight], torch.optim.SGD([weight], lr=1.0), clip_norm=0.5)
    assert loss == 25 and torch.allclose(weight, torch.tensor([2.7, 3.6]), atol=1e-4)


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_moves_nothing(loss):
    weight = torch.nn.Parameter(torch.tensor([3.0]))
    with pytest.raises(DecoderError, match=f"became {loss}; lower the learning rate"):
        descend(weight.sum() * loss, [weight], torch.optim.SGD([weight], lr=1.0), clip_norm=1.0)
    assert weight.item() == 3

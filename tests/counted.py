"""One call of a PyTorch function, counted, and tensors with zeros for it."""

import torch

from harness.judge.count.in_torch import counting, storages
from harness.judge.count.tally import Tally

MODES = (torch.no_grad, torch.inference_mode, torch.enable_grad)


def count(function, *arguments, learned=None):
    """The tally of one call; its result must be what it is without counting."""
    expected, tally = function(*arguments), Tally()
    with counting(tally, storages(function if learned is None else learned)):
        result = function(*arguments)
    pairs = zip(flat(expected), flat(result), strict=True)
    assert all(torch.allclose(a.float(), b.float(), atol=1e-5) for a, b in pairs)
    return tally


def flat(result):
    return [result] if isinstance(result, torch.Tensor) else [t for part in result for t in flat(part)]


def thinned(*shape, seed=0, binary=False):
    """Values of which about half are zero."""
    rng = torch.Generator().manual_seed(seed)
    values = torch.ones(shape) if binary else torch.randn(shape, generator=rng)
    return values * (torch.rand(shape, generator=rng) < 0.5)


def pruned(layer):
    for i, weight in enumerate(layer.parameters()):
        weight.data = thinned(*weight.shape, seed=10 + i)
    return layer.eval()

"""Counting PyTorch: against sums over single products, PyTorch's own count of dense operations, and closed forms."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from harness.judge.count.in_torch import counting, storages
from harness.judge.count.tally import Tally
from harness.judge.count.torch_factors import Factors
from tests.counted import MODES, count, pruned, thinned


def non_zero_products(a, b):
    """(n_rows, n_inner), (n_inner, n_columns): each product of the slow loop."""
    sides = (range(a.shape[0]), range(a.shape[1]), range(b.shape[1]))
    return sum(bool(a[i, k] != 0 and b[k, j] != 0) for i, k, j in itertools.product(*sides))


def effective_by_linearity(layer, x):
    """A layer without bias, fed with ones for non-zeros, sums its non-zero products itself."""
    with torch.no_grad():
        for weight in layer.parameters():
            weight.data = (weight != 0).double()
        return float(layer((x != 0).double()).sum())


@pytest.mark.parametrize("grad", MODES)
@pytest.mark.parametrize("shape", [(7,), (5, 7), (2, 3, 7)])
def test_a_linear_layer_has_the_products_of_a_slow_loop(shape, grad):
    layer, x = pruned(nn.Linear(7, 4)), thinned(*shape)
    with grad():
        tally = count(layer, x)
    assert tally.macs == non_zero_products(x.reshape(-1, 7), layer.weight.t())
    assert tally.dense == x.numel() * 4
    assert (tally.acs, tally.elementwise) == (0, 0)


@pytest.mark.parametrize("grad", MODES)
@pytest.mark.parametrize(
    "equation, shapes", [("bij,bjk->bik", ((3, 4, 5), (3, 5, 2))), ("ij,kj->ik", ((4, 5), (3, 5)))]
)
def test_an_einsum_has_the_products_of_its_masks(equation, shapes, grad):
    a, b = thinned(*shapes[0]), thinned(*shapes[1], seed=1)
    with grad():
        tally = count(lambda: torch.einsum(equation, a, b))
    assert tally.macs == torch.einsum(equation, (a != 0).double(), (b != 0).double()).sum()


@pytest.mark.parametrize(
    "name, arguments",
    [
        ("mm", (thinned(4, 5), thinned(5, 3))),
        ("bmm", (thinned(2, 4, 5), thinned(2, 5, 3))),
        ("mv", (thinned(4, 5), thinned(5, seed=1))),
        ("dot", (thinned(9), thinned(9, seed=1))),
        ("matmul", (thinned(2, 3, 4, 5), thinned(5, 6))),
    ],
)
def test_a_product_of_matrices_has_the_products_of_its_masks(name, arguments):
    product = getattr(torch, name)
    masks = [(argument != 0).double() for argument in arguments]
    assert count(product, *arguments).macs == product(*masks).sum()


def test_a_sum_with_a_product_counts_its_scales_too():
    start, a, b = torch.ones(4, 3), torch.randn(4, 5), torch.randn(5, 3)
    tally = count(lambda: torch.addmm(start, a, b, beta=0.5, alpha=2.0))
    assert (tally.macs, tally.elementwise) == (4 * 5 * 3, 12 + 12)


@pytest.mark.parametrize("grad", MODES)
@pytest.mark.parametrize(
    "layer, shape",
    [
        (nn.Conv1d(4, 6, 3, bias=False), (2, 4, 9)),
        (nn.Conv1d(4, 6, 3, padding=2, stride=2, bias=False), (2, 4, 10)),
        (nn.Conv1d(4, 6, 5, padding="same", groups=2, bias=False), (1, 4, 9)),
        (nn.Conv1d(4, 8, 3, dilation=2, groups=4, bias=False), (3, 4, 12)),
        (nn.Conv2d(2, 4, (3, 2), padding=(1, 0), stride=(2, 3), dilation=(1, 2), bias=False), (2, 2, 8, 9)),
        (nn.ConvTranspose1d(4, 6, 3, stride=2, padding=1, output_padding=1, bias=False), (2, 4, 5)),
        (nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2, dilation=2, bias=False), (1, 4, 3, 4)),
    ],
    ids=str,
)
def test_a_convolution_has_the_products_of_its_masks(layer, shape, grad):
    layer, x = pruned(layer), thinned(*shape)
    with grad():
        tally = count(layer, x)
    assert tally.macs == effective_by_linearity(layer, x)
    torch.nn.init.ones_(layer.weight)
    assert tally.dense == effective_by_linearity(layer, torch.ones_like(x))


def test_a_padded_convolution_has_the_products_of_a_slow_loop():
    layer, x = pruned(nn.Conv1d(2, 3, 3, padding=1, bias=False)), thinned(1, 2, 5)
    padded = np.pad(x[0].numpy(), [(0, 0), (1, 1)])
    windows = [padded[:, t : t + 3].ravel() for t in range(5)]
    weights = layer.weight.detach().numpy().reshape(3, -1)
    assert count(layer, x).macs == sum(np.count_nonzero(w * kernel) for w in windows for kernel in weights)


def test_dense_products_are_those_of_pytorch_s_own_counter():
    net = nn.Sequential(nn.Conv1d(3, 8, 5), nn.ReLU(), nn.Flatten(), nn.Linear(48, 4), nn.Tanh())
    x = torch.randn(6, 3, 10)
    with FlopCounterMode(display=False) as flops:
        net(x)
        torch.bmm(x, x.mT)
    tally = count(lambda: (net(x), torch.bmm(x, x.mT)), learned=net)
    assert tally.dense == flops.get_total_flops() / 2


@pytest.mark.parametrize("ternary", ["input", "weight"])
def test_a_factor_of_minus_one_zero_and_one_makes_accumulates(ternary):
    x, weight = thinned(5, 7), thinned(7, 3, seed=1)
    x, weight = (x.sign(), weight) if ternary == "input" else (x, weight.sign())
    tally = count(torch.mm, x, weight)
    assert (tally.macs, tally.acs) == (0, non_zero_products(x, weight))
    assert tally.precision == {"float32 accumulate": tally.acs}


def test_a_pruned_weight_is_counted_once_however_often_it_is_used():
    layer = pruned(nn.Linear(8, 4))
    x = thinned(3, 8)
    tally = count(lambda: (layer(x), layer(x), x @ layer.weight.t()), learned=layer)
    assert list(tally.weights.values()) == [(32, int((layer.weight == 0).sum()))]
    assert tally.connection_sparsity == float((layer.weight == 0).float().mean())


def test_blocks_with_common_factors_look_at_a_weight_once():
    layer, x, tally = pruned(nn.Linear(8, 4)), torch.randn(1, 8), Tally()
    factors = Factors(tally, storages(layer))
    for _ in range(3):
        with counting(tally, factors):
            layer(x)
    assert tally.macs == 3 * int((layer.weight != 0).sum())
    assert (len(factors.cache), len(tally.weights)) == (1, 1)


def test_a_buffer_that_is_written_to_is_no_weight():
    history, weight, tally = torch.zeros(4, 3), torch.randn(4, 2), Tally()
    with counting(tally, storages([history, weight])):
        for _ in range(3):
            history[0] = 1
            history.t() @ weight
    assert list(tally.weights.values()) == [(8, 0)]


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16, torch.int8, torch.int64])
def test_products_are_booked_by_dtype(dtype):
    a, b = torch.full((2, 3), 2).to(dtype), torch.full((3, 4), 3).to(dtype)
    assert count(torch.mm, a, b).precision == {str(dtype).removeprefix("torch."): 24}


@pytest.mark.parametrize(
    "function, n_products",
    [
        (lambda x: x * 2, 6),
        (lambda x: x.clone().mul_(x), 6),
        (lambda x: x / 3, 6),
        (lambda x: x**2, 6),
        (lambda x: torch.addcmul(x, x, x), 6),
        (lambda x: torch.addcmul(x, x, x, value=0.5), 12),
        (lambda x: torch.add(x, x, alpha=0.9), 6),
        (lambda x: x.clone().lerp_(torch.zeros(3, 4), 0.1), 6),
        (lambda x: functional.silu(x), 6),
        (lambda x: functional.leaky_relu(x), 3),
        (lambda x: torch.prod(x), 6),
        (lambda x: torch.linalg.vector_norm(x), 12),
        (lambda x: torch.softmax(x, -1), 12),
        (lambda x: x.clone().masked_fill_(x > 2, 0), 0),
        (lambda x: torch._weight_norm(x, torch.ones(3, 1)), 24),
        (lambda x: torch.vmap(lambda row: row * 2)(x), 6),
        (lambda x: functional.layer_norm(x, (4,)), 24),
        (lambda x: functional.batch_norm(x, torch.zeros(4), torch.ones(4)), 12),
        (lambda x: torch.exp(x - x.mean()).clamp(0, 1).sum(), 0),
    ],
)
@pytest.mark.parametrize("grad", MODES)
def test_element_wise_products_that_are_not_zero_are_counted(function, n_products, grad):
    x = torch.tensor([[1.5, -2, 0, 0], [2.5, 0, -1, 0], [0, 0, 3, -2]])
    with grad():
        assert count(function, x).elementwise == n_products


def test_activations_are_what_functions_and_thresholds_give():
    x = torch.tensor([-1.0, 0, 2, 3])
    tally = count(lambda: (torch.relu(x), (x > 2.5).float(), torch.sigmoid(x)))
    assert (tally.activations, tally.zero_activations) == (12, 2 + 3)
    assert tally.activation_sparsity == 5 / 12
    assert Tally().activation_sparsity is None

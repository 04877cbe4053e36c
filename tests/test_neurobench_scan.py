"""What NeuroBench's decoders are made of: the scan, its units, sums over windows, and SMORMS3, each against a loop."""

import math
from functools import partial

import numpy as np
import pytest
import torch

from baselines.neurobench.scan import Units, scan
from baselines.neurobench.smorms3 import Smorms3
from baselines.neurobench.windows import LaggedSums, WindowSum, lagged, window_sums
from baselines.spiking import Lif, LifRule, superspike


def test_sums_over_windows_are_what_a_loop_adds_up():
    counts = np.random.default_rng(0).poisson(2, (40, 3)).astype(np.float32)
    expected = np.stack(
        [[counts[max(0, t - 4 * k - 3) : max(0, t - 4 * k + 1)].sum(0) for k in range(3)] for t in range(40)]
    )
    one, several = WindowSum(4, 3), LaggedSums(3, 4, 3)
    np.testing.assert_array_equal([one.push(row).copy() for row in counts], expected[:, 0])
    np.testing.assert_array_equal([several.push(row) for row in counts], expected)
    np.testing.assert_array_equal(lagged(window_sums(torch.from_numpy(counts)[None], 4), 3, 4)[0], expected)


def slow_scan(drive, decays, recurrent, threshold):
    """The equations of `scan`, operation by operation in autograd."""
    current = membrane = spikes = torch.zeros_like(drive[:, 0])
    fired, held = [], []
    for driven in drive.unbind(1):
        current = decays[0] * current + driven + (0 if recurrent is None else spikes @ recurrent.T)
        membrane = decays[1] * membrane * (1 - spikes.detach()) + current
        spikes = superspike(membrane - threshold, 20.0)
        fired.append(spikes)
        held.append(membrane)
    return torch.stack(fired, 1), torch.stack(held, 1)


@pytest.mark.parametrize("recurrent", [False, True])
def test_the_scan_and_its_gradients_are_those_of_a_loop_in_autograd(recurrent):
    generator = torch.Generator().manual_seed(0)
    normal = partial(torch.randn, generator=generator)
    given = [normal(3, 20, 5) + 0.3, torch.rand(2, 5, generator=generator), 0.5 * normal(5, 5) if recurrent else None]
    aims, results = (normal(3, 20, 5), normal(3, 20, 5)), []
    for way in ("scan", "loop"):
        own = [None if g is None else g.clone().requires_grad_() for g in given]
        if way == "scan":
            outputs = scan(own[0], own[1], recurrent=own[2], surrogate=lambda x: superspike(x, 20.0))
        else:
            outputs = slow_scan(*own, threshold=1.0)
        sum((o * a).sum() for o, a in zip(outputs, aims, strict=True)).backward()
        results.append([o.detach() for o in outputs] + [g.grad for g in own if g is not None])
    assert 0.1 < results[0][0].mean() < 0.9
    for ours, slow in zip(*results, strict=True):
        torch.testing.assert_close(ours, slow, rtol=1e-4, atol=1e-4)


def test_without_synapse_the_units_are_the_shared_layers_units():
    drive = torch.from_numpy(np.random.default_rng(0).normal(0.4, 0.5, (2, 60, 7)).astype(np.float32))
    decays = torch.tensor([[0.0], [0.8]]).expand(2, 7)
    spikes, _ = scan(drive, decays, surrogate=superspike)
    assert torch.equal(spikes, Lif(7, 0.8, 1.0, LifRule("zero"))(drive)) and spikes.mean() > 0.1


def test_a_unit_left_alone_decays_as_the_difference_of_two_exponentials():
    units = Units(np.float32(0.5), np.float32(0.8), None, math.inf, shape=(1,))
    held = []
    for drive in [1.0] + [0.0] * 19:
        units.advance(np.full(1, drive, np.float32))
        held.append(units.membrane[0])
    t = np.arange(20)
    np.testing.assert_allclose(held, (0.8 ** (t + 1) - 0.5 ** (t + 1)) / 0.3, rtol=1e-5)


def test_smorms3_takes_the_first_steps_of_its_definition():
    parameter = torch.nn.Parameter(torch.tensor([2.0]))
    optimiser, x, memory, mean, square = Smorms3([parameter], lr=0.1), 2.0, 1.0, 0.0, 0.0
    for gradient in (3.0, -1.0, 2.0, 2.0):
        parameter.grad = torch.tensor([gradient])
        optimiser.step()
        r = 1 / (memory + 1)
        mean, square = (1 - r) * mean + r * gradient, (1 - r) * square + r * gradient**2
        agreement = mean**2 / square
        memory = 1 + memory * (1 - agreement)
        x -= gradient * min(0.1, agreement) / math.sqrt(square)
        assert parameter.item() == pytest.approx(x, rel=1e-5)

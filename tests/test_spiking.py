"""Spiking units against slow loops and closed forms."""

import numpy as np
import pytest
import torch

from baselines.spiking import Lif, LifRule, LifUnits, arctan_spike, fast_sigmoid_spike, superspike
from harness import HarnessError

CURVES = [
    (arctan_spike, (2.0,), lambda x: 1 / (1 + (np.pi * x) ** 2)),
    (arctan_spike, (5.0,), lambda x: 2.5 / (1 + (np.pi * 2.5 * x) ** 2)),
    (fast_sigmoid_spike, (10.0,), lambda x: 1 / (1 + 10 * abs(x)) ** 2),
    (superspike, (20.0,), lambda x: 1 / (1 + 20 * abs(x)) ** 2),
]


@pytest.mark.parametrize("spike, options, derivative", CURVES)
def test_a_spike_is_a_step_with_the_gradient_of_its_formula(spike, options, derivative):
    x = torch.tensor([-2.0, -0.1, 0.0, 0.05, 3.0], dtype=torch.float64, requires_grad=True)
    spikes = spike(x, *options)
    (spikes * torch.arange(1.0, 6.0)).sum().backward()
    assert spikes.tolist() == [0, 0, 0, 1, 1]
    np.testing.assert_allclose(x.grad.numpy(), derivative(x.detach().numpy()) * np.arange(1, 6))


def test_a_membrane_without_input_decays_as_a_power_of_beta():
    units = LifUnits({"beta": np.float64(0.9), "threshold": np.float64(1.0)}, 1)
    first = units.advance(np.array([0.8]))
    for _ in range(20):
        units.advance(np.zeros(1))
    assert first == 0
    assert units.membrane[0] == pytest.approx(0.8 * 0.9**20)


def period(*, beta, current, reset):
    """Steps between spikes under constant input, as a set."""
    spikes = Lif(1, beta, rule=LifRule(reset))(torch.full((1, 400, 1), current))[0, :, 0]
    return set(np.diff(np.flatnonzero(spikes.detach().numpy())).tolist())


@pytest.mark.parametrize("beta, current", [(0.9, 0.25), (0.8, 0.21), (0.95, 0.3), (0.5, 1.5)])
def test_constant_input_fires_at_the_known_period_where_a_spike_clears_the_membrane(beta, current):
    n_steps = np.arange(1, 400)  # so many after rest, the membrane is a geometric sum
    expected = n_steps[np.argmax(current * (1 - beta**n_steps) / (1 - beta) > 1)]
    assert period(beta=beta, current=current, reset="zero") == {expected}


def test_without_leak_a_spike_takes_the_threshold_away_and_keeps_the_rest():
    spikes = Lif(1, 1.0)(torch.full((1, 1000, 1), 0.375))
    assert spikes.sum().item() == pytest.approx(375, abs=1)
    cleared = Lif(1, 1.0, rule=LifRule("zero"))(torch.full((1, 1000, 1), 0.375))
    assert cleared.sum().item() == 1000 // 3  # 3 steps of 0.375 to exceed 1, the remaining 0.125 is lost


def slow_loop(current, weights, reset):
    """The equations at the head of the module, unit by unit."""
    n_steps, n = current.shape
    u, s = np.zeros((n_steps + 1, n)), np.zeros((n_steps + 1, n))
    for t in range(n_steps):
        for i in range(n):
            drive = current[t, i] + sum(weights["recurrent"][i, j] * s[t, j] for j in range(n))
            left = weights["beta"] * u[t, i]
            left = left * (1 - s[t, i]) if reset == "zero" else left - weights["threshold"] * s[t, i]
            u[t + 1, i] = left + drive
            s[t + 1, i] = u[t + 1, i] > weights["threshold"]
    return s[1:]


@pytest.mark.parametrize("reset", ["subtract", "zero"])
def test_a_layer_and_its_twin_obey_the_equations(reset):
    torch.manual_seed(0)
    layer = Lif(7, 0.8, 0.7, LifRule(reset, recurrent=True)).double()
    current = torch.randn(1, 60, 7, dtype=torch.float64)
    weights = {name: w.numpy() for name, w in layer.state_dict().items()}
    units = LifUnits(weights, 7, reset=reset)
    expected = slow_loop(current[0].numpy(), weights, reset)
    assert 0.1 < expected.mean() < 0.9
    np.testing.assert_array_equal(layer(current)[0].detach().numpy(), expected)
    np.testing.assert_array_equal(np.stack([units.advance(row) for row in current[0].numpy()]), expected)


@pytest.mark.parametrize("reset_gradient, of_the_reset", [(False, 0.0), (True, -1.0)])
def test_the_gradient_of_a_second_step_has_a_part_through_the_reset_only_where_wanted(reset_gradient, of_the_reset):
    layer = Lif(1, 0.9, 1.0, LifRule(reset_gradient=reset_gradient))
    current = torch.tensor([[[1.0], [0.1]]], requires_grad=True)
    layer(current)[0, 1, 0].backward()
    # Both membranes are at the threshold, where the surrogate is 1: a way through the leak, one through the spike.
    assert current.grad[0, 0, 0].item() == pytest.approx(0.9 + of_the_reset, abs=1e-6)


def test_leak_and_threshold_are_learned_where_asked_for():
    layer = Lif(5, rule=LifRule(learned=True))
    layer(torch.full((2, 30, 5), 0.3)).sum().backward()
    assert layer.beta.grad > 0 > layer.threshold.grad
    assert not Lif(5).beta.requires_grad


def test_a_grid_holds_every_membrane():
    halves = lambda u: (u * 2).round() / 2  # noqa: E731
    layer = Lif(1, 1.0)
    layer.on_grid = halves
    units = LifUnits({"beta": np.float32(1), "threshold": np.float32(1)}, 1, on_grid=lambda u: np.rint(u * 2) / 2)
    assert layer(torch.full((1, 50, 1), 0.2)).sum() == 0  # each step is rounded away
    assert sum(units.advance(np.array([0.3], np.float32))[0] for _ in range(6)) == 2  # 0.5, 1, 1.5: fires, 1, ...


def test_an_unknown_reset_is_refused_with_the_known_ones():
    with pytest.raises(HarnessError, match="'soft'; known: subtract, zero"):
        Lif(3, rule=LifRule("soft"))

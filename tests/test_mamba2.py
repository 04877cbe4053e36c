"""The Mamba-2 block and its decoder: every form against loops written from the equations."""

import dataclasses

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from baselines.mamba2 import Mamba2Block, Mamba2Shape, Mamba2Stream, Scan, chunked_scan, quadratic, recurrence
from baselines.mamba_decoder import Mamba2
from harness import Inputs, Recording, SessionInfo, StreamInfo

REALM = {"dt_on_write": False, "rope": True, "gated_norm": False}
SMALL = {"expand": 2, "head": 8, "state": 6, "taps": 3}
VARIANTS = [{}, REALM, {"rope": True}, {"dt_on_write": False}, {"gated_norm": False}]


def drive(n_bins, *, batch=2, n_heads=3, head=5, state=4, seed=0):
    """Made-up decays, writes, keys and queries, decays from nearly 1 to nearly 0."""
    rng = np.random.default_rng(seed)
    decay = -np.exp(rng.normal(-2, 2, (batch, n_bins, n_heads)))
    shapes = (batch, n_bins, n_heads, head), (batch, n_bins, state), (batch, n_bins, state)
    arrays = decay, *(rng.normal(size=shape) for shape in shapes)
    return Scan(*(torch.from_numpy(a).float() for a in arrays))


def slow_scan(scan):
    """The recurrence written out number by number, in float64."""
    decay, written, keys, queries = (x.double().numpy() for x in dataclasses.astuple(scan))
    answers = np.zeros_like(written)
    for b, _, h, p in np.ndindex(written.shape[0], 1, *written.shape[2:]):
        state = np.zeros(keys.shape[2])
        for t in range(written.shape[1]):
            state = np.exp(decay[b, t, h]) * state + written[b, t, h, p] * keys[b, t]
            answers[b, t, h, p] = state @ queries[b, t]
    return answers


def block(seed=0, **variant):
    torch.manual_seed(seed)
    shape = Mamba2Shape(4, **SMALL | variant)
    made = Mamba2Block(shape).double()
    with torch.no_grad():
        for weight in made.parameters():
            weight.add_(0.3 * torch.randn_like(weight))
    return made.eval(), shape, {k: v.numpy() for k, v in made.state_dict().items()}


def slow_block(x, w, shape):
    """The block's equations, one bin and one head at a time, in float64."""
    inner, n = shape.inner, shape.state
    silu = lambda v: v / (1 + np.exp(-v))  # noqa: E731
    us, states, answers = np.zeros((len(x) + shape.taps - 1, inner)), np.zeros((shape.n_heads, shape.head, n)), []
    for t, row in enumerate(x):
        us[t + shape.taps - 1], gate = np.split(w["enter.weight"] @ row, 2)
        kernel = w["convolution.weight"][:, 0]
        u = silu(np.array([kernel[c] @ us[t : t + shape.taps, c] for c in range(inner)]) + w["convolution.bias"])
        key, query = np.split(w["keys_and_queries.weight"] @ u, 2)
        if shape.rope:
            turn = np.exp(1j * t * 10_000.0 ** (-2 * np.arange(n // 2) / n))
            key, query = ((v[: n // 2] + 1j * v[n // 2 :]) * turn for v in (key, query))
            key, query = (np.concatenate([z.real, z.imag]) for z in (key, query))
        dt = np.log1p(np.exp(w["step_size.weight"] @ u + w["step_size.bias"]))
        y = np.zeros((shape.n_heads, shape.head))
        for h, values in enumerate(u.reshape(shape.n_heads, shape.head)):
            write = dt[h] * values if shape.dt_on_write else values
            states[h] = np.exp(-np.exp(w["log_rate"][h]) * dt[h]) * states[h] + np.outer(write, key)
            y[h] = states[h] @ query + w["skip"][h] * values
        y = y.reshape(-1) * silu(gate)
        if shape.gated_norm:
            y = y / np.sqrt(np.mean(y**2) + 1e-5) * w["norm.weight"]
        answers.append(w["leave.weight"] @ y)
    return np.array(answers)


@pytest.mark.parametrize("expand, published", [(2, 465_432), (1, 231_692)])
def test_a_block_of_the_published_sizes_has_the_published_number_of_parameters(expand, published):
    shape = Mamba2Shape(256, expand=expand, **REALM)
    assert shape.n_parameters == published
    assert sum(weight.numel() for weight in Mamba2Block(shape).parameters()) == published


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_formula_counts_the_parameters_of_every_variant(variant):
    made, shape, _ = block(**variant)
    assert shape.n_parameters == sum(weight.numel() for weight in made.parameters())


@pytest.mark.parametrize("form", [recurrence, quadratic, lambda scan: chunked_scan(scan, chunk_bins=16)])
@pytest.mark.parametrize("n_bins", [1, 16, 17, 75])
def test_every_form_of_the_scan_is_the_recurrence(form, n_bins):
    scan = drive(n_bins)
    np.testing.assert_allclose(form(scan).numpy(), slow_scan(scan), atol=1e-4)


class Calls(TorchDispatchMode):
    """Counts the operations that PyTorch carries out."""

    n = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        self.n += 1
        return operation(*args, **(kwargs or {}))


def test_the_chunked_scan_takes_a_small_share_of_the_recurrences_operations():
    scan, n_calls = drive(500, batch=1), {}
    for form in (chunked_scan, recurrence):
        with Calls() as calls:
            form(scan)
        n_calls[form] = calls.n
    assert n_calls[recurrence] > 500 and n_calls[recurrence] > 8 * n_calls[chunked_scan]


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_block_is_its_equations_in_the_batch_and_one_bin_at_a_time(variant):
    made, shape, weights = block(**variant)
    x = np.random.default_rng(1).normal(size=(45, 4))
    expected = slow_block(x, weights, shape)
    stream = Mamba2Stream({k: v.astype(np.float32) for k, v in weights.items()}, shape)
    with torch.no_grad():
        batch = made.float()(torch.from_numpy(x[None]).float())[0].numpy()
    np.testing.assert_allclose(batch, expected, atol=1e-4)
    np.testing.assert_allclose([stream.advance(row) for row in x.astype(np.float32)], expected, atol=1e-4)


def test_rotation_by_the_sample_index_makes_only_the_age_count():
    _, shape, weights = block(**REALM)
    weights = {k: v.astype(np.float32) for k, v in weights.items()}
    early, late = (Mamba2Stream(weights, shape) for _ in range(2))
    late.position = 10**9
    rows = np.random.default_rng(2).normal(size=(30, 4)).astype(np.float32)
    np.testing.assert_allclose([early.advance(r) for r in rows], [late.advance(r) for r in rows], atol=1e-4)


def test_heads_that_do_not_fit_are_refused_with_the_numbers():
    with pytest.raises(ValueError, match="inner width of 96"):
        Mamba2Shape(48, expand=2, head=64)


def counting(seed, *, n_bins=300, n_units=15):
    """Counts that follow a slow output."""
    rng = np.random.default_rng(seed)
    slow = np.sin(np.arange(n_bins)[:, None] / np.array([7.0, 11.0]))
    counts = rng.poisson(np.exp(0.5 + slow @ np.random.default_rng(0).normal(size=(2, n_units)) / 2)).astype(np.float32)
    session = SessionInfo("s", "monkey", {"spikes": StreamInfo(n_units)}, 0.05, ("x", "y"))
    starts = np.isin(np.arange(n_bins), (0, 120))
    inputs = Inputs({"spikes": counts}, starts, 0.05)
    return Recording(session, inputs, slow.astype(np.float32), np.ones(n_bins, bool))


def test_the_decoder_learns_and_streams_what_it_predicts():
    decoder, held_out = Mamba2(hidden=16, head=8, state_columns=8, updates=40), counting(2)
    decoder.fit([counting(1)], [held_out])
    answers = decoder.predict(held_out.inputs, held_out.session)
    assert 1 - np.mean((answers - held_out.targets) ** 2) / held_out.targets.var() > 0.7
    for k, (starts, bin) in enumerate(held_out.inputs.bins()):
        if starts:
            decoder.reset(held_out.session)
        np.testing.assert_allclose(decoder.step(bin), answers[k], atol=1e-5)

"""What must hold of the Mamba-2 scan and block for every length, chunk, size, precision and variant."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from baselines.mamba2 import Mamba2Block, Mamba2Shape, Mamba2Stream, Scan, chunked_scan, quadratic, recurrence

BRIEFLY = settings(max_examples=40, deadline=None, derandomize=True)
CLOSE = {torch.float64: 1e-12, torch.float32: 1e-5}
SIZES = st.fixed_dictionaries(
    {
        "batch": st.integers(1, 2),
        "n_bins": st.integers(1, 90),
        "n_heads": st.integers(1, 3),
        "head": st.integers(1, 5),
        "state": st.integers(1, 6),
        "fastest": st.sampled_from([0.0, 1e-20, 0.01, 0.3]),
        "seed": st.integers(0, 99),
    }
)


def drive(batch, n_bins, n_heads, head, state, fastest, seed):
    """A scan of random numbers, float64; no bin forgets more than a factor of exp(-fastest)."""
    rng = np.random.default_rng(seed)
    shapes = (batch, n_bins, n_heads, head), (batch, n_bins, state), (batch, n_bins, state)
    arrays = -fastest * rng.random((batch, n_bins, n_heads)), *(rng.normal(size=shape) for shape in shapes)
    return Scan(*map(torch.from_numpy, arrays))


def relative_error(found, expected):
    return (found - expected).abs().max().item() / max(expected.abs().max().item(), 1e-300)


@BRIEFLY
@given(sizes=SIZES, chunk_bins=st.integers(1, 100), dtype=st.sampled_from(list(CLOSE)))
def test_chunks_of_any_length_give_the_recurrence(sizes, chunk_bins, dtype):
    scan = drive(**sizes)
    found = chunked_scan(scan.map(lambda x: x.to(dtype)), chunk_bins=chunk_bins)
    assert found.dtype == dtype and relative_error(found, recurrence(scan)) < CLOSE[dtype]


@BRIEFLY
@given(sizes=SIZES, chunk_bins=st.integers(1, 40))
def test_a_state_that_is_wiped_out_leaves_nothing_behind(sizes, chunk_bins):
    scan = drive(**sizes)
    wiped = sizes["n_bins"] // 2
    scan.log_decay[:, wiped] = -800.0
    alone = scan.map(lambda x: x[:, wiped:])
    for form in (recurrence, quadratic, lambda s: chunked_scan(s, chunk_bins=chunk_bins)):
        assert relative_error(form(scan)[:, wiped:], recurrence(alone)) < 1e-10


@BRIEFLY
@given(sizes=SIZES, chunk_bins=st.integers(1, 40), later=st.integers(1, 60))
def test_an_answer_depends_on_no_later_bin(sizes, chunk_bins, later):
    scan = drive(**sizes)
    longer = drive(**sizes | {"n_bins": later, "seed": sizes["seed"] + 1})
    joined = Scan(*(torch.cat([a, b], dim=1) for a, b in zip(*map(dataclasses.astuple, (scan, longer)), strict=True)))
    n_bins = sizes["n_bins"]
    assert relative_error(chunked_scan(joined, chunk_bins=chunk_bins)[:, :n_bins], recurrence(scan)) < 1e-12


@pytest.mark.parametrize("chunk_bins", [1, 3, 7])
def test_gradients_are_those_of_finite_differences(chunk_bins):
    scan = drive(1, 7, 2, 2, 3, 1.0, 0)
    leaves = [x.requires_grad_() for x in (scan.log_decay, scan.written, scan.keys, scan.queries)]
    assert torch.autograd.gradcheck(lambda *x: chunked_scan(Scan(*x), chunk_bins=chunk_bins), leaves)


@pytest.mark.parametrize("dt_on_write, rope", [(True, False), (False, True)])
def test_gradients_of_a_block_are_those_of_finite_differences(dt_on_write, rope):
    torch.manual_seed(0)
    block = Mamba2Block(Mamba2Shape(2, head=2, state=2, taps=2, dt_on_write=dt_on_write, rope=rope)).double()
    names, weights = zip(*block.named_parameters(), strict=True)
    x = torch.randn(1, 4, 2, dtype=torch.float64, requires_grad=True)

    def answers(x, *weights):
        return torch.func.functional_call(block, dict(zip(names, weights, strict=True)), (x,))

    assert torch.autograd.gradcheck(answers, (x, *(w.detach().requires_grad_() for w in weights)))


@settings(BRIEFLY, max_examples=25)
@given(
    n_bins=st.integers(1, 70),
    width=st.integers(1, 6),
    head=st.sampled_from([1, 2]),
    state=st.sampled_from([2, 4, 6]),
    taps=st.integers(1, 5),
    flags=st.tuples(st.booleans(), st.booleans(), st.booleans()),
)
def test_one_bin_at_a_time_gives_what_the_batch_gives(n_bins, width, head, state, taps, flags):
    dt_on_write, rope, gated_norm = flags
    shape = Mamba2Shape(
        width, head=head, state=state, taps=taps, dt_on_write=dt_on_write, rope=rope, gated_norm=gated_norm
    )
    torch.manual_seed(n_bins)
    block, x = Mamba2Block(shape).eval(), torch.randn(1, n_bins, width)
    with torch.no_grad():
        batch = block(x)[0]
    stream = Mamba2Stream({k: v.numpy() for k, v in block.state_dict().items()}, shape)
    answers = torch.from_numpy(np.stack([stream.advance(row) for row in x[0].numpy()]))
    assert relative_error(answers, batch) < 1e-4


class Work(TorchDispatchMode):
    """Counts the numbers that PyTorch's operations give."""

    n = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        answer = operation(*args, **(kwargs or {}))
        self.n += sum(x.numel() for x in torch.utils._pytree.tree_leaves(answer) if isinstance(x, torch.Tensor))
        return answer


@pytest.mark.parametrize("form, growth", [(chunked_scan, 2.0), (quadratic, 4.0)])
def test_work_grows_with_the_length_in_chunks_and_with_its_square_without(form, growth):
    numbers = []
    for n_bins in (1024, 2048):
        with Work() as work:
            form(drive(1, n_bins, 1, 2, 2, 0.1, 0))
        numbers.append(work.n)
    assert numbers[1] / numbers[0] == pytest.approx(growth, rel=0.05)

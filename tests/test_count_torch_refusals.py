"""What counting PyTorch refuses, sees through, and leaves as it was."""

import threading

import pytest
import torch
from torch import nn

from harness.judge.count.in_torch import counting, storages
from harness.judge.count.tally import Tally, UncountedOperation
from tests.counted import MODES


@pytest.mark.parametrize(
    "function, named",
    [
        (lambda x: torch.fft.rfft(x), "aten::_fft_r2c"),
        (lambda x: torch.linalg.solve(x, x), "aten::_linalg_solve_ex"),
        (lambda x: x.to_sparse() @ x, "aten::_to_sparse"),
        (lambda x: x.to(torch.complex64) @ x.to(torch.complex64), "complex64"),
        (lambda x: torch.nn.functional.bilinear(x, x, torch.ones(2, 3, 3)), "aten::_trilinear"),
        (lambda x: torch.ones(3).scatter_(0, torch.arange(3), x[0], reduce="multiply"), "aten::scatter_.reduce"),
    ],
)
@pytest.mark.parametrize("grad", MODES)
def test_what_cannot_be_counted_is_refused_by_name_and_line(function, named, grad):
    with grad(), pytest.raises(UncountedOperation, match=named) as caught, counting(Tally(), set()):
        function(torch.eye(3) * 2)
    assert "test_count_torch_refusals.py:" in str(caught.value)
    assert "declare `cost()`" in str(caught.value)


def test_a_backward_pass_is_refused():
    with pytest.raises(UncountedOperation, match="aten::tanh_backward"), counting(Tally(), set()):
        torch.ones(3, requires_grad=True).tanh().sum().backward()


class Spectrum(nn.Module):
    def forward(self, x):
        return torch.fft.rfft(x).abs()


def test_a_refusal_names_the_layer():
    with pytest.raises(
        UncountedOperation, match=r"aten::_fft_r2c in the layer Spectrum \(test_count_torch_refusals.py:"
    ):
        count_only(nn.Sequential(nn.ReLU(), Spectrum()))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_refusal_gets_through_torchscript():
    with pytest.raises(UncountedOperation, match="_fft_r2c"):
        count_only(torch.jit.trace(Spectrum(), torch.ones(4)))


def test_a_refusal_that_the_decoder_catches_is_raised_at_the_end():
    def stubborn(x):
        try:
            return torch.fft.rfft(x)
        except UncountedOperation:
            return x

    with pytest.raises(UncountedOperation, match="_fft_r2c"):
        count_only(stubborn)


def count_only(function):
    with counting(Tally(), set()):
        function(torch.ones(4))


def test_an_error_of_the_decoder_stays_its_own():
    with pytest.raises(ZeroDivisionError), counting(Tally(), set()):
        1 / 0  # noqa: B018


class Wrapped(torch.Tensor):
    @classmethod
    def __torch_dispatch__(cls, func, kinds, args=(), kwargs=None):
        return torch.ones(3)


def test_a_tensor_with_a_dispatch_of_its_own_is_refused():
    hidden = torch.ones(3).as_subclass(Wrapped)
    with pytest.raises(UncountedOperation, match="aten::mul"), counting(Tally(), set()):
        hidden * 2


def test_all_switches_are_put_back():
    def switches():
        sdp = torch.backends.cuda
        enabled = (sdp.flash_sdp_enabled(), sdp.mem_efficient_sdp_enabled(), sdp.math_sdp_enabled())
        return (*enabled, torch.backends.mha.get_fastpath_enabled(), torch._C._get_mkldnn_enabled())

    before = switches()
    with pytest.raises(UncountedOperation):
        count_only(lambda x: nn.LSTM(4, 2)(x.view(1, 1, 4)) and torch.fft.rfft(x))
    assert switches() == before


def test_counting_is_not_counted_and_ends_with_the_block():
    tally = Tally()
    with counting(tally, set()):
        torch.mm(torch.ones(2, 3), torch.ones(3, 4) * 2)
    torch.mm(torch.randn(2, 3), torch.randn(3, 4))
    assert (tally.acs, tally.elementwise, tally.activations) == (24, 12, 0)


def test_another_thread_is_not_seen():
    tally, x = Tally(), torch.randn(3, 3)
    with counting(tally, set()):
        thread = threading.Thread(target=torch.mm, args=(x, x))
        thread.start()
        thread.join()
    assert tally == Tally()


def test_storages_are_found_in_attributes_and_containers():
    class Owner:
        def __init__(self):
            self.network = nn.Sequential(nn.Linear(2, 3))
            self.kept = {"a": [torch.ones(4)]}

    owner = Owner()
    tensors = [*owner.network.parameters(), owner.kept["a"][0]]
    assert storages(owner) == {t.untyped_storage().data_ptr() for t in tensors}

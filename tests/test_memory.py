"""How much an object holds: memory that arrays, strided views and tensors share is counted once, and whole."""

import numpy as np
import pytest
import torch

from harness.judge.memory import size_bytes

N_BYTES = 80_000


class Holder:
    def __init__(self, held):
        self.held = held


def buffer():
    return np.zeros(N_BYTES // 8)


SHARED = {
    "an array": lambda: buffer(),
    "a view alone": lambda: buffer()[::100],
    "an array and its views": lambda: [held := buffer(), *(held[i:] for i in range(10))],
    "views of views": lambda: [held := buffer()[5:], held[5:], held[::2]],
    "windows": lambda: np.lib.stride_tricks.sliding_window_view(buffer(), 50),
    "copies that are none": lambda: np.broadcast_to(buffer(), (1000, N_BYTES // 8)),
    "a transposed array": lambda: buffer().reshape(100, -1).T,
    "a tensor of an array": lambda: [held := buffer(), torch.from_numpy(held)],
    "an array of a tensor": lambda: [held := torch.zeros(N_BYTES // 8).double(), held.numpy()[3:]],
    "views of a tensor": lambda: [held := torch.zeros(N_BYTES // 8).double(), held[3:], held.view(100, -1).t()],
    "an expanded tensor": lambda: torch.zeros(N_BYTES // 8).double().expand(1000, -1),
    "a storage": lambda: torch.zeros(N_BYTES // 8).double().untyped_storage(),
}


@pytest.mark.parametrize("name", SHARED)
def test_memory_that_is_shared_is_counted_once_and_whole(name):
    held = SHARED[name]()
    assert N_BYTES <= size_bytes(Holder(held)) - size_bytes(Holder(None)) <= N_BYTES + 4000


def test_memory_that_is_not_shared_adds_up():
    held = [buffer(), torch.zeros(N_BYTES // 4), buffer()[1:]]
    assert 3 * N_BYTES <= size_bytes(Holder(held)) - size_bytes(Holder(None)) <= 3 * N_BYTES + 4000

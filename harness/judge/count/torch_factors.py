"""The zeros of tensors: how many, where, and which tensors are learned."""

from collections.abc import Collection
from typing import Any

import numpy as np
import torch

from harness.judge.count.tally import Tally, UncountedOperation


class Factor:
    """One operand of a contraction. It holds its tensor, so that no other one gets the same storage pointer.

    mask: Which elements are non-zero, in the tensor's shape.
    n: How many are.
    ternary: Whether it holds only -1, 0 and 1.
    known: What a rule found out about it, to be found again with a learned factor.
    """

    def __init__(self, tensor: Any) -> None:
        values = as_array(tensor)
        self.tensor = tensor
        self.dtype = tensor.dtype
        self.mask = values != 0
        self.n = int(np.count_nonzero(self.mask))
        self.full = self.n == self.mask.size
        self.ternary = _is_ternary(values, self.n)
        self.known: dict[Any, Any] = {}

    def along(self, axis: int) -> Any:
        """Non-zero elements along an axis, the other axes kept; a vector has no such axis."""
        if axis not in self.known:
            self.known[axis] = count_along(self.mask, axis) if self.mask.ndim > 1 else self.mask.astype(np.int64)
        return self.known[axis]


class Factors:
    """The operands of contractions; what is learned is looked at once, and booked as weights."""

    def __init__(self, tally: Tally, learned: Collection[int]) -> None:
        self.tally = tally
        self.learned = set(learned)
        self.versions: dict[int, int | None] = {}
        self.cache: dict[Any, Factor] = {}

    def of(self, tensor: Any) -> Factor:
        """The factor that a tensor is. A learned storage that is written to is state from then on, and no weight."""
        pointer = tensor.untyped_storage().data_ptr()
        if pointer not in self.learned:
            return Factor(tensor)
        version = None if tensor.is_inference() else tensor._version
        if self.versions.setdefault(pointer, version) != version:
            self.learned.discard(pointer)
            self.tally.weights = {key: n for key, n in self.tally.weights.items() if key[0] != pointer}
            return Factor(tensor)
        place = (pointer, tensor.storage_offset(), tensor.shape, tensor.stride(), tensor.dtype)
        factor = self.cache.get(place)
        if factor is None:
            factor = Factor(tensor)
            self._book_weight(factor)
            # Inference tensors do not say whether they were written to: they are looked at each time.
            if version is not None:
                self.cache[place] = factor
        return factor

    def _book_weight(self, factor: Factor) -> None:
        tensor = factor.tensor
        copies = 1
        for size, stride in zip(tensor.shape, tensor.stride(), strict=True):
            copies *= size if stride == 0 else 1
        n = tensor.numel() // max(copies, 1)
        key = (tensor.untyped_storage().data_ptr(), tensor.storage_offset(), n)
        self.tally.weights[key] = (n, n - factor.n // max(copies, 1))


def as_array(tensor: Any) -> Any:
    """The tensor's values for NumPy, without a copy where that is possible.

    Raises:
        UncountedOperation: If it is sparse, complex or not on the CPU.
    """
    if tensor.layout is not torch.strided or tensor.is_complex() or tensor.device.type != "cpu":
        raise UncountedOperation(
            f"it takes a {name(tensor.dtype)} tensor ({tensor.layout}, {tensor.device}); "
            f"only dense, real ones on the CPU can be counted"
        )
    values = tensor.dequantize() if tensor.is_quantized else tensor.detach()
    # NumPy lacks the narrow kinds, or is slow with them.
    narrow = values.is_floating_point() and values.element_size() < 4
    # While NumPy is counted too, `numpy` gives an array that tells of its operations: counting's own are not counted.
    return (values.float() if narrow else values).numpy().view(np.ndarray)


def n_nonzero(tensor: Any) -> int:
    """How many elements of a tensor are not zero."""
    return int(np.count_nonzero(as_array(tensor) != 0))


def count_along(mask: Any, axis: int) -> Any:
    """Sum of booleans. Sums of 255 fit into bytes, which is several times as fast as NumPy's sum of booleans."""
    rows = np.moveaxis(mask.view(np.uint8), axis, 0)
    parts = [np.add.reduce(rows[i : i + 255], 0, dtype=np.uint8) for i in range(0, len(rows), 255)]
    return np.sum(parts, axis=0, dtype=np.int64)


def name(dtype: Any) -> str:
    """`torch.float32` -> float32."""
    return str(dtype).removeprefix("torch.")


def _is_ternary(values: Any, n: int) -> bool:
    if any(value not in (-1, 0, 1) for value in values.flat[:16].tolist()):
        return False
    return bool(np.count_nonzero(np.abs(values) == 1) == n)

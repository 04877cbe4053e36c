"""Books the contractions of PyTorch: products of matrices, convolutions, fused layers.

A rule runs an operation with its arguments and returns its result. The products of (n_rows, n_inner) x (n_inner,
n_columns) with two non-zero factors are the sum over the inner axis of non-zeros in a column times non-zeros in a row:
no second product of matrices is needed.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from harness.judge.count.torch_factors import Factor, as_array, count_along, n_nonzero, name

Rule = Callable[[Any, Any, Any, Any], Any]
"""(mode, operation, arguments, keyword arguments) -> result; the mode holds `tally` and `factors`."""


def matrices(first: int) -> Rule:
    """A rule for an operation whose factors are its arguments `first` and `first + 1`."""

    def rule(mode: Any, func: Any, args: Any, kwargs: Any) -> Any:
        result = func(*args, **kwargs)
        _book_matrices(mode, args[first], args[first + 1])
        for factor, scaled in (("alpha", result), ("beta", args[0])):
            if kwargs.get(factor, 1) not in (0, 1):
                mode.tally.products(n_nonzero(scaled), dtype=name(result.dtype))
        return result

    return rule


def linear(mode: Any, func: Any, args: Any, kwargs: Any) -> Any:
    """Input (..., n_inner), weight (n_columns, n_inner)."""
    result = func(*args, **kwargs)
    _book_matrices(mode, _rows(args[0]), args[1].t())
    return result


def quantized_linear(mode: Any, func: Any, args: Any, kwargs: Any) -> Any:
    """The weight comes packed; its values are told by their bytes, since unpacking makes a new tensor each time."""
    result = func(*args, **kwargs)
    weight, _ = args[1].unpack()
    right = Factor(weight.t())
    key = (hash(right.mask.tobytes()), right.mask.size)
    mode.tally.weights[key] = (right.mask.size, right.mask.size - right.n)
    dtype = name(weight.dtype) if weight.is_quantized else "float16"
    _book(mode, mode.factors.of(_rows(args[0])), right, dtype=dtype)
    return result


def convolution(mode: Any, func: Any, args: Any, kwargs: Any) -> Any:
    """Each input element has as many products as there are non-zero weights in the windows that it lies in.

    What is padded has none, neither effective nor dense.
    """
    result = func(*args, **kwargs)
    x = args[0]
    left, right = mode.factors.of(x), mode.factors.of(args[1])
    uses, dense = (_uses(right, x.shape[1:], result.shape[2:], args[3:9], zeros=zeros) for zeros in (False, True))
    elements = len(x) if left.full else count_along(left.mask.reshape(len(x), uses.size), 0)
    mode.tally.contraction(
        effective=int(np.sum(elements * uses)),
        dense=len(x) * int(np.sum(dense)),
        accumulates=left.ternary or right.ternary,
        dtype=_wider(left, right),
    )
    return result


def lstm_layer(mode: Any, func: Any, args: Any, kwargs: Any) -> Any:
    """One direction of one fused layer, done in small steps instead, to see its gates."""
    x, *weights, h, c, reverse = args[:8]
    has_biases = args[12]
    hidden = (h.reshape(1, *h.shape[-2:]), c.reshape(1, *c.shape[-2:]))
    used = weights if has_biases else weights[:2]
    with _no_mkldnn(), mode:
        steps = x.flip(0) if reverse else x
        y, last_h, last_c = torch.ops.aten.lstm.input(steps, hidden, used, has_biases, 1, 0.0, False, False, False)
    return (y.flip(0) if reverse else y), last_h.view_as(h), last_c.view_as(c), y.new_empty(0)


@contextmanager
def _no_mkldnn() -> Iterator[None]:
    was_enabled = torch._C._get_mkldnn_enabled()
    torch._C._set_mkldnn_enabled(False)
    try:
        yield
    finally:
        torch._C._set_mkldnn_enabled(was_enabled)


def _rows(x: Any) -> Any:
    return x.reshape(-1, x.shape[-1])


def _book_matrices(mode: Any, a: Any, b: Any) -> None:
    _book(mode, mode.factors.of(a), mode.factors.of(b))


def _book(mode: Any, left: Factor, right: Factor, *, dtype: str = "") -> None:
    """Book (..., n_rows, n_inner) x (..., n_inner, n_columns); their batches agree. Vectors have one row or column."""
    n_rows = left.mask.shape[-2] if left.mask.ndim > 1 else 1
    n_columns = right.mask.shape[-1] if right.mask.ndim > 1 else 1
    if right.full:
        effective = left.n * n_columns
    elif left.full:
        effective = right.n * n_rows
    else:
        effective = int(np.sum(left.along(-2) * right.along(-1)))
    mode.tally.contraction(
        effective=effective,
        dense=left.mask.size * n_columns,
        accumulates=left.ternary or right.ternary,
        dtype=dtype or _wider(left, right),
    )


def _wider(left: Factor, right: Factor) -> str:
    return name(torch.promote_types(left.dtype, right.dtype))


def _uses(weight: Factor, shape: Any, n_out: Any, geometry: Any, *, zeros: bool) -> Any:
    """Products per element of one sample: the convolution turned round and fed with ones.

    Output channels do the same to an input element, so their weights are summed first: the non-zero ones, or all with
    `zeros`.
    """
    zeros = zeros or weight.full
    key = (shape, zeros, *map(str, geometry))
    if key not in weight.known:
        stride, padding, dilation, transposed, _, groups = geometry
        counts = torch.from_numpy(weight.mask | zeros).double()
        if transposed:
            counts, rest = counts.sum(1, keepdim=True), [0]
        else:
            counts = counts.unflatten(0, (groups, -1)).sum(1)
            rest = _rest(shape[1:], n_out, counts.shape[2:], (stride, padding, dilation))
        ones = torch.ones((1, groups, *n_out), dtype=torch.float64)
        turned = torch.convolution(ones, counts, None, stride, padding, dilation, not transposed, rest, groups)
        weight.known[key] = as_array(turned.round().long().flatten())
    return weight.known[key]


def _rest(n_in: Any, n_out: Any, kernel: Any, geometry: Any) -> list[int]:
    """Input elements per axis that no window reaches, after the last one."""
    stride, padding, dilation = (list(g) * (len(n_in) // len(g)) for g in geometry)
    sizes = zip(n_in, n_out, kernel, stride, padding, dilation, strict=True)
    return [n - ((out - 1) * s - 2 * p + d * (k - 1) + 1) for n, out, k, s, p, d in sizes]

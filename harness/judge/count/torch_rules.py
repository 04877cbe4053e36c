"""Which operation of PyTorch is booked how, which is free, and which is refused.

Sums, comparisons, copies, moves and functions of one element (exp, sqrt, tanh) are free. A fused operation is booked
as its parts: silu is an activation and a product, a layer norm is squares, a scale and a gain.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from harness.judge.count.tally import UncountedOperation
from harness.judge.count.torch_contractions import Rule, convolution, linear, lstm_layer, matrices, quantized_linear
from harness.judge.count.torch_factors import as_array, n_nonzero, name

_FREE = """
    _adaptive_avg_pool2d _adaptive_avg_pool3d _aminmax _index_put_impl _local_scalar_dense _log_softmax
    _pack_padded_sequence _reshape_copy _stack _unique2 _unsafe_index _unsafe_view adaptive_max_pool2d
    adaptive_max_pool3d all amax amin aminmax any arange argmax argmin as_strided_copy avg_pool2d avg_pool3d bernoulli
    bincount block_diag bucketize cat channel_shuffle chunk col2im complex constant_pad_nd contiguous count_nonzero
    cummax cummin cumsum diag_embed embedding empty empty_like empty_permuted empty_strided expand_copy exponential eye
    fill flatten flip full full_like gather im2col index index_add index_copy index_fill index_put index_select
    is_nonzero is_same_size isin item kthvalue lift lift_fresh lift_fresh_copy linspace logcumsumexp logspace logsumexp
    masked_scatter masked_select max max_pool2d_with_indices max_pool3d_with_indices mean median min mode movedim
    multinomial nanmedian nansum narrow new_empty new_empty_strided new_full new_ones new_zeros nonzero normal ones
    ones_like permute_copy pixel_shuffle pixel_unshuffle put rand rand_like randint randint_like randn randn_like random
    randperm range reflection_pad1d reflection_pad2d reflection_pad3d repeat replication_pad1d replication_pad2d
    replication_pad3d reshape resize resize_as roll rot90 scalar_tensor scatter scatter_add searchsorted select_copy
    select_scatter set slice_copy slice_scatter sort split_copy split_with_sizes_copy squeeze_copy stack sum t_copy take
    topk trace transpose_copy tril tril_indices triu triu_indices unbind_copy unfold_copy uniform unique_consecutive
    unique_dim unsafe_split unsafe_split_with_sizes unsqueeze_copy upsample_nearest1d upsample_nearest2d
    upsample_nearest3d view_copy zero zeros zeros_like
    as_strided detach squeeze t transpose unsqueeze
"""
FREE = frozenset(_FREE.split())
"""Free operations besides views and functions of one element, which are known by PyTorch's own marks."""

Book = Callable[[Any, Any, Any], None]
"""(mode, arguments, first result): called when the operation is done."""


@functools.cache
def rule_of(func: Any) -> Rule | None:
    """The rule of an operation; None if it is free."""
    base = func.overloadpacket.__name__.rstrip("_")
    known = RULES if func.namespace == "aten" else QUANTIZED if func.namespace == "quantized" else {}
    if base in known:
        return known[base]
    # What reduces while it scatters may multiply; a backward pass is no answer to a bin.
    if func.namespace != "aten" or base.endswith("_backward") or "reduce" in func._overloadname:
        return refuse
    if base in FREE:
        return None
    if func.has_kernel_for_dispatch_key(torch._C.DispatchKey.CompositeImplicitAutograd):
        return _decompose
    return None if func.is_view or torch.Tag.pointwise in _tags(func, base) else refuse


def _tags(func: Any, base: str) -> set[Any]:
    """The marks of an operation and of its forms that are not in place: not all of those in place are marked."""
    packet = getattr(torch.ops.aten, base, func.overloadpacket)
    return {tag for form in packet.overloads() for tag in getattr(packet, form).tags}


def refuse(mode: Any, func: Any, args: Any, kwargs: Any) -> Any:
    """The rule of what has none."""
    raise UncountedOperation("what it computes cannot be counted")


def _decompose(mode: Any, func: Any, args: Any, kwargs: Any) -> Any:
    """Run an operation as the smaller ones that PyTorch makes of it, each of which is seen."""
    with mode:
        return func.decompose(*args, **kwargs)


def _after(*books: Book) -> Rule:
    def rule(mode: Any, func: Any, args: Any, kwargs: Any) -> Any:
        result = func(*args, **kwargs)
        first = result[0] if isinstance(result, tuple) else result
        for book in books:
            book(mode, args, first)
        return result

    return rule


def _lerp(mode: Any, func: Any, args: Any, kwargs: Any) -> Any:
    """start + weight * (end - start): looked at before, since `lerp_` overwrites the start."""
    _book_products(mode, args, args[1] - args[0])
    return func(*args, **kwargs)


def _add(mode: Any, func: Any, args: Any, kwargs: Any) -> Any:
    """A sum whose second term may be scaled by `alpha`."""
    alpha = kwargs.get("alpha", args[2] if len(args) > 2 else 1)
    scaled = args[0] if func.overloadpacket.__name__ == "rsub" else args[1]
    result = func(*args, **kwargs)
    if alpha not in (-1, 0, 1) and isinstance(scaled, torch.Tensor):
        _book_products(mode, args, scaled)
    return result


def _addcmul(mode: Any, func: Any, args: Any, kwargs: Any) -> Any:
    """input + value * first * second."""
    times = 1 if kwargs.get("value", 1) == 1 else 2
    for _ in range(times):
        _book_products(mode, args, (args[1] != 0) * args[2])
    return func(*args, **kwargs)


def _book_activation(mode: Any, args: Any, result: Any) -> None:
    n = result.numel()
    mode.tally.activation(n=n, zeros=n - n_nonzero(result))


def _book_spikes(mode: Any, args: Any, result: Any) -> None:
    """A truth value that becomes a number is a spike: `(v > threshold).float()`."""
    source = next(a for a in reversed(args) if isinstance(a, torch.Tensor))
    if source.dtype is torch.bool and result.is_floating_point():
        _book_activation(mode, args, result)


def _book_products(mode: Any, args: Any, result: Any) -> None:
    mode.tally.products(n_nonzero(result), dtype=name(result.dtype))


def _book_slope(mode: Any, args: Any, result: Any) -> None:
    """Only negative elements are multiplied."""
    mode.tally.products(int(np.count_nonzero(as_array(result) < 0)), dtype=name(result.dtype))


def _book_factors(mode: Any, args: Any, result: Any) -> None:
    """A product of many elements has as many factors."""
    _book_products(mode, args, args[0])


def _per_element(times: Callable[[Any], int]) -> Book:
    """Products per element of the input, zeros included, as a function of the arguments."""

    def book(mode: Any, args: Any, result: Any) -> None:
        mode.tally.products(args[0].numel() * times(args), dtype=name(args[0].dtype))

    return book


def _squares(args: Any) -> int:
    """Order of a norm: the sum of absolutes, the maximum and the number of non-zeros need no product."""
    return int(len(args) < 2 or args[1] not in (0, 1, math.inf, -math.inf))


def _rules(names: str, rule: Rule) -> dict[str, Rule]:
    return dict.fromkeys(names.split(), rule)


QUANTIZED: dict[str, Rule] = _rules("linear_dynamic linear_dynamic_fp16", quantized_linear)
RULES: dict[str, Rule] = {
    **_rules("mm bmm mv dot vdot _int_mm", matrices(0)),
    **_rules("addmm baddbmm addmv addbmm", matrices(1)),
    **_rules("linear", linear),
    **_rules("convolution _convolution", convolution),
    **_rules("mkldnn_rnn_layer", lstm_layer),
    **_rules("celu elu hardshrink hardsigmoid hardtanh heaviside log_sigmoid_forward relu", _after(_book_activation)),
    **_rules("sigmoid softplus softshrink tanh threshold", _after(_book_activation)),
    **_rules("gelu glu hardswish mish silu", _after(_book_activation, _book_products)),
    **_rules("_prelu_kernel leaky_relu rrelu_with_noise", _after(_book_activation, _book_slope)),
    **_rules("_to_copy copy", _after(_book_spikes)),
    **_rules("deg2rad div floor_divide fmod ldexp mul pow rad2deg", _after(_book_products)),
    **_rules("reciprocal remainder special_xlog1py square xlogy", _after(_book_products)),
    **_rules("_safe_softmax _softmax cumprod native_dropout", _after(_book_products)),
    **_rules("prod", _after(_book_factors)),
    **_rules("add sub rsub", _add),
    **_rules("lerp", _lerp),
    **_rules("addcmul addcdiv", _addcmul),
    # The scale and the gain of a batch or group norm are one factor per channel; those of the others are two.
    **_rules("native_batch_norm", _after(_per_element(lambda args: 2 if args[5] else 1))),
    **_rules("_native_batch_norm_legit_no_training", _after(_per_element(lambda args: 1))),
    **_rules("native_group_norm", _after(_per_element(lambda args: 2))),
    **_rules("native_layer_norm _fused_rms_norm", _after(_per_element(lambda args: 2 + (args[2] is not None)))),
    **_rules("_weight_norm_interface", _after(_per_element(lambda args: 2))),
    **_rules("std std_mean var var_mean mse_loss", _after(_per_element(lambda args: 1))),
    **_rules("linalg_vector_norm norm", _after(_per_element(_squares))),
}

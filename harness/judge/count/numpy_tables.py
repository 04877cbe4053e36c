"""What each function of NumPy costs: names only, so that a reader can check them line by line.

A name that is in no table is not counted but refused.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

MAKERS = """
array asarray asanyarray ascontiguousarray asfortranarray require copy zeros ones full empty eye identity tri
arange linspace logspace geomspace frombuffer fromiter indices zeros_like ones_like full_like empty_like
"""
"""Functions that make an array, or would strip one of its type."""

PRODUCT_UFUNCS = """
multiply divide true_divide floor_divide remainder mod fmod divmod square power float_power reciprocal
degrees radians deg2rad rad2deg
"""

ACTIVATION_UFUNCS = "tanh heaviside"

RECTIFYING_UFUNCS = "maximum fmax"
"""Activations if one operand is the number 0, otherwise free."""

FREE_UFUNCS = """
add subtract negative positive absolute abs fabs sign signbit copysign rint floor ceil trunc conjugate conj
exp exp2 expm1 log log2 log10 log1p logaddexp logaddexp2 sqrt cbrt hypot
sin cos tan arcsin arccos arctan arctan2 sinh cosh arcsinh arccosh arctanh
equal not_equal less less_equal greater greater_equal isnan isinf isfinite isnat
logical_and logical_or logical_xor logical_not bitwise_and bitwise_or bitwise_xor bitwise_not invert bitwise_count
left_shift right_shift minimum fmin gcd lcm ldexp frexp modf spacing nextafter
"""

SCIPY_ACTIVATIONS = "expit log_expit"
SCIPY_FREE = "erf erfc logit log_ndtr ndtr exp10 xlogy xlog1py"
"""Ufuncs of scipy.special."""

FREE_FUNCTIONS = """
all allclose any append argmax argmin argpartition argsort argwhere array_equal array_equiv array_repr array_split
array_str array2string atleast_1d atleast_2d atleast_3d bincount block broadcast_arrays broadcast_to can_cast choose
column_stack common_type compress concatenate copy copyto count_nonzero cumsum delete diag diag_indices_from diagflat
diagonal diff digitize dsplit dstack ediff1d einsum_path empty_like expand_dims extract fill_diagonal fix flatnonzero
flip fliplr flipud full_like hsplit hstack imag in1d insert isclose iscomplex iscomplexobj isin isneginf isposinf
isreal isrealobj lexsort matrix_transpose max amax may_share_memory meshgrid min amin min_scalar_type moveaxis
nan_to_num nanargmax nanargmin nancumsum nanmax nanmin nansum ndim nonzero ones_like packbits pad partition permute_dims
place ptp put put_along_axis putmask ravel ravel_multi_index real real_if_close repeat require reshape resize
result_type roll rollaxis rot90 searchsorted select shape shares_memory size sort sort_complex split squeeze stack sum
swapaxes take take_along_axis tile trace transpose tril tril_indices_from trim_zeros triu triu_indices_from union1d
unique unique_all unique_counts unique_inverse unique_values unpackbits unravel_index unstack vsplit vstack where
zeros_like intersect1d setdiff1d setxor1d concat
lib.stride_tricks.as_strided lib.stride_tricks.sliding_window_view
linalg.diagonal linalg.matrix_transpose linalg.trace
"""

FUNCTIONS_BY_PARTS = """
average clip cumprod mean median nanmean nanprod polyval prod std var
linalg.matmul linalg.matrix_power linalg.multi_dot linalg.outer linalg.tensordot linalg.vecdot
"""
"""Functions written in Python that keep the type of what they are given: their parts are counted one by one."""

WRITERS = "copyto fill_diagonal place put put_along_axis putmask"
"""Functions that change their first argument."""


def named(names: str, module: Any = np) -> Iterator[Callable[..., Any]]:
    """The functions of these names, dotted ones in submodules; what this version of the library lacks is left out."""
    for name in names.split():
        found = module
        for part in name.split("."):
            found = getattr(found, part, None)
        if found is not None:
            yield found

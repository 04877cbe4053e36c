"""How many products a call of NumPy needs: contractions, element-wise products, and the learned operands among them.

Everything here works on plain arrays. A contraction's effective products are counted without repeating it: sum over
the contracted index of (non-zeros of one operand there) x (non-zeros of the other).
"""

import functools
import math
import weakref
from collections.abc import Iterable
from functools import cached_property
from typing import Any

import numpy as np

from harness.judge.count.numpy_arrays import BOOL, Plain
from harness.judge.count.tally import Tally

Private = tuple[int, ...] | str
"""The axes of an operand that the other one does not share, or `einsum` subscripts that sum over them."""


class Factor:
    """One operand of a contraction.

    n_nonzero, size: Of its elements.
    n_private: Elements per index of the axes that it shares with the other operand.
    only_signs: Whether it holds nothing but -1, 0 and 1, and not zeros alone.
    """

    def __init__(self, values: Plain, private: "Private") -> None:
        self._values, self._private = values, private
        self.size = values.size
        self.n_nonzero = int(np.count_nonzero(values))
        self.n_private = _n_private(values.shape, private)
        self.only_signs = only_signs(values) and self.n_nonzero > 0

    @property
    def is_full(self) -> bool:
        return self.n_nonzero == self.size

    def without_values(self) -> "Factor":
        """The same, to be kept for later: it does not keep the array's memory alive."""
        self.counts, self.shared_shape  # noqa: B018
        del self._values
        return self

    @cached_property
    def counts(self) -> Plain:
        """Non-zeros over the private axes, per index of the shared ones; float64, which is exact here."""
        nonzero = self._values != 0
        if isinstance(self._private, str):
            return np.asarray(np.einsum(self._private, nonzero.astype(np.float64)))
        return np.asarray(nonzero.sum(self._private, dtype=np.float64) if self._private else nonzero, np.float64)

    @cached_property
    def shared_shape(self) -> tuple[int, ...]:
        if isinstance(self._private, str):
            return tuple(self.counts.shape)
        return tuple([n for axis, n in enumerate(self._values.shape) if axis not in self._private])


class Learned:
    """Which memory holds learned values, and the factors that were counted in it.

    An array is known by the array that owns its memory, so that all views are; an owner that dies is forgotten.
    """

    def __init__(self) -> None:
        self._owners: dict[int, tuple[weakref.ref[Plain], dict[Any, Factor]]] = {}

    def add(self, array: Plain) -> None:
        owner = _owner(array)
        key = id(owner)
        if key not in self._owners:
            self._owners[key] = weakref.ref(owner, lambda _: self._owners.pop(key, None)), {}

    def factors(self, array: Plain) -> dict[Any, Factor] | None:
        """What is known of this array's memory; None if it is not learned."""
        known = self._owners.get(id(_owner(array)))
        return None if known is None else known[1]

    def changed(self, array: Plain) -> None:
        """Somebody wrote to this array: its zeros may be others now."""
        known = self.factors(array)
        if known:
            known.clear()


class Books:
    """Books products of plain arrays into a tally."""

    def __init__(self, tally: Tally, learned: Learned) -> None:
        self.tally, self.learned = tally, learned

    def products(self, result: Any, *factors: Any, where: Any = True) -> None:
        """Book one product per element of `result` that is not zero."""
        n = np.count_nonzero(result) if where is True else np.count_nonzero(np.logical_and(result, where))
        self.tally.products(int(n), dtype=wider_dtype(factors, result))

    def running_products(self, ufunc: Any, values: Any, axis: Any) -> None:
        """Book `multiply.reduce` or `accumulate` along axes: each product of what was multiplied before."""
        values = np.atleast_1d(values)
        axes = tuple(range(values.ndim)) if axis is None else tuple(np.atleast_1d(axis) % values.ndim)
        last = np.moveaxis(values, axes, range(-len(axes), 0))
        lines = last.reshape(*last.shape[: values.ndim - len(axes)], -1)
        self.products(ufunc.accumulate(lines, axis=-1)[..., 1:], values)

    def activation(self, values: Any) -> None:
        self.tally.activation(n=values.size, zeros=values.size - int(np.count_nonzero(values)))

    def contraction(self, left: Plain, right: Plain, private: tuple[Private, Private]) -> None:
        """Book a contraction of two arrays.

        Args:
            left, right: Any shapes.
            private: What to sum over in each; the axes that are left broadcast against each other.
        """
        a, b = self._factor(left, private[0]), self._factor(right, private[1])
        shape = a.shared_shape
        if shape != b.shared_shape:
            shape = np.broadcast_shapes(shape, b.shared_shape)
            effective = float((a.counts * b.counts).sum())
        elif a.is_full or b.is_full:
            effective = float(a.n_private * b.n_nonzero if a.is_full else b.n_private * a.n_nonzero)
        else:
            effective = float(np.vdot(a.counts, b.counts))
        self.tally.contraction(
            effective=effective,
            dense=float(math.prod(shape) * a.n_private * b.n_private),
            accumulates=a.only_signs or b.only_signs,
            dtype=wider_dtype((left, right), left),
        )

    def tensor_product(self, left: Plain, right: Plain, axes: tuple[list[int], list[int]]) -> None:
        """Book a contraction over pairs of axes."""
        a, b = (np.moveaxis(x, i, range(-len(i), 0)) for x, i in zip((left, right), axes, strict=True))
        n = len(axes[0])
        self.contraction(a, b, (tuple(range(a.ndim - n)), tuple(range(b.ndim - n))))

    def _factor(self, values: Plain, private: Private) -> Factor:
        known = self.learned.factors(values)
        if known is None:
            return Factor(values, private)
        address = values.__array_interface__["data"][0]
        key = address, values.shape, values.strides, values.dtype, private
        found = known.get(key)
        if found is None:
            found = known[key] = Factor(values, private).without_values()
        self.tally.weights[address, values.size] = values.size, values.size - found.n_nonzero
        return found


def _n_private(shape: tuple[int, ...], private: Private) -> int:
    if not isinstance(private, str):
        return math.prod(shape[axis] for axis in private)
    term, _, kept = private.partition("->")
    before, _, after = term.partition("...")
    sizes = dict(zip(before, shape, strict=False)) | dict(zip(after[::-1], shape[::-1], strict=False))
    return math.prod(n for label, n in sizes.items() if label not in kept)


def only_signs(values: Plain) -> bool:
    if values.dtype is BOOL:
        return True
    return all(x in (-1, 0, 1) for x in values.flat[:8].tolist()) and _are_signs(values)


def _are_signs(values: Plain) -> bool:
    return bool(((values == 0) | (values == 1) | (values == -1)).all())


def _owner(array: Plain) -> Plain:
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def wider_dtype(factors: Iterable[Any], result: Any) -> str:
    """Name of the widest factor's dtype; Python's numbers adapt to the others and do not count."""
    return _widest(tuple([x.dtype for x in factors if hasattr(x, "dtype")]) or (result.dtype,))


@functools.cache
def _widest(dtypes: tuple[Any, ...]) -> str:
    return str(max(dtypes, key=lambda d: (d.itemsize, d.kind == "f")))

"""What becomes of a call of NumPy that a counted array took part in: run on plain views, booked, or refused."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harness.judge.count import numpy_tables as tables
from harness.judge.count.foreign import decoder_line
from harness.judge.count.numpy_arrays import BOOL, PLAIN_KINDS, Counted, counted
from harness.judge.count.numpy_costs import COSTS, UFUNC_COSTS
from harness.judge.count.numpy_products import Books, Learned
from harness.judge.count.tally import UncountedOperation

MOST_PYTHON_NUMBERS = 64
"""So many values may become Python's numbers in one bin."""
CLIP = np._core.umath.clip  # type: ignore[attr-defined]
FREE, PRODUCT, ACTIVATION, RECTIFYING, UNKNOWN = "free", "product", "activation", "rectifying", "unknown"
UFUNCS: dict[Any, Any] = dict.fromkeys(tables.named(tables.FREE_UFUNCS), FREE)
UFUNCS |= dict.fromkeys(tables.named(tables.PRODUCT_UFUNCS), PRODUCT)
UFUNCS |= dict.fromkeys(tables.named(tables.ACTIVATION_UFUNCS), ACTIVATION)
UFUNCS |= dict.fromkeys([*tables.named(tables.RECTIFYING_UFUNCS), CLIP], RECTIFYING)
UFUNCS |= {getattr(np, name): cost for name, cost in UFUNC_COSTS.items() if hasattr(np, name)}
"""Ufunc -> its kind, or what books a contraction."""
FUNCTIONS: dict[Any, Any] = dict.fromkeys(tables.named(tables.FREE_FUNCTIONS))
FUNCTIONS |= {next(tables.named(name)): cost for name, cost in COSTS.items()}
"""Function -> what books it; None if it is free."""
BY_PARTS = frozenset(tables.named(tables.FUNCTIONS_BY_PARTS))
WRITERS = frozenset(tables.named(tables.WRITERS))
PRODUCT_METHODS = ("__call__", "outer", "reduce", "accumulate")
NUMBERS = (int, float, bool, complex)


class Calls:
    """Runs the calls of one decoder.

    busy: Inside a function whose parts are not to be seen.
    books: What to book into; None outside counted bins.
    """

    def __init__(self, own_roots: Sequence[Path]) -> None:
        self.own_roots = own_roots
        self.learned = Learned()
        self.books: Books | None = None
        self.busy = False
        self._by_parts = False
        self._n_left = 0

    def begin(self, books: Books) -> None:
        """A counted bin begins; it ends when `books` is set to None."""
        self.books, self._n_left = books, 0

    # --- ufuncs

    def ufunc(self, ufunc: Any, method: str, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run a ufunc on plain views, and book it."""
        books, kind = self.books, UFUNCS.get(ufunc)
        if books is not None:
            kind = self._known(ufunc, method, kwargs) if kind is None or method != "__call__" or kwargs else kind
        plain = [x.view(np.ndarray) if type(x) is Counted else self.plain(x) for x in inputs]
        if not kwargs and method == "__call__":
            result = ufunc(*plain)
            if books is not None:
                self._book(kind, inputs, plain, result)
            return counted(result)
        named = {name: self.plain(value) for name, value in kwargs.items()}
        result = getattr(ufunc, method)(*plain, **named)
        if method == "at" and type(inputs[0]) is Counted:
            self.learned.changed(inputs[0])
        if books is not None:
            self._book_method(ufunc, method, inputs, plain, result, named)
        return self._result(result, kwargs.get("out"))

    def operator(self, ufunc: Any, operands: tuple[Any, Any], result: Any) -> None:
        """Book what two single numbers gave."""
        if self.books is not None and UFUNCS[ufunc] is PRODUCT:
            self.books.products(result, *operands)

    def _book(self, kind: Any, inputs: Sequence[Any], plain: Sequence[Any], result: Any, where: Any = True) -> None:
        assert self.books is not None
        for given in inputs:
            # Arithmetic with the outcome of a comparison: the spikes of a threshold.
            if type(given) is Counted and given.dtype is BOOL and getattr(result, "dtype", None) is not BOOL:
                self.threshold(given)
        if kind is PRODUCT:
            self.books.products(result[0] if type(result) is tuple else result, *plain, where=where)
        elif kind is ACTIVATION or (kind is RECTIFYING and _rectifies(plain)):
            self.books.activation(result)
        elif kind is not FREE and kind is not RECTIFYING:
            self._book_function(kind, result, plain, {})

    def _book_method(
        self, ufunc: Any, method: str, inputs: Any, plain: list[Any], result: Any, named: dict[str, Any]
    ) -> None:
        kind = UFUNCS[ufunc]
        if method == "__call__" or (method == "outer" and kind is PRODUCT):
            self._book(kind, inputs if method == "__call__" else (), plain, result, named.get("where", True))
        elif kind is PRODUCT and self.books is not None:
            axis = named.get("axis", plain[1] if len(plain) > 1 else 0)
            self.books.running_products(ufunc, plain[0], axis)

    def _known(self, ufunc: Any, method: str, kwargs: dict[str, Any]) -> Any:
        """The kind of a ufunc.

        Raises:
            UncountedOperation: If it has none, or none with this method or these options.
        """
        kind = UFUNCS.get(ufunc) or UFUNCS.setdefault(ufunc, _kind_in_scipy(ufunc))
        contracts = callable(kind)
        if kind is UNKNOWN or (kind is PRODUCT and method not in PRODUCT_METHODS):
            raise self.refusal(f"{_name(ufunc)}{'' if method == '__call__' else '.' + method}")
        if contracts and (method != "__call__" or "axes" in kwargs or kwargs.get("axis", -1) != -1):
            raise self.refusal(f"{_name(ufunc)} over chosen axes")
        return kind

    def threshold(self, spikes: Counted) -> None:
        """Book the outcome of a comparison as an activation, once."""
        if self.books is not None and not spikes.booked:
            spikes.booked = True
            self.books.activation(spikes.view(np.ndarray))

    # --- functions

    def function(self, array: Counted, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run a function on plain views, and book it; or run it so that its parts are booked."""
        if self.books is not None and func in BY_PARTS and not self.busy:
            was, self._by_parts = self._by_parts, True
            try:
                return np.ndarray.__array_function__(array, func, (Counted,), args, kwargs)
            finally:
                self._by_parts = was
        if self.books is not None and func not in FUNCTIONS:
            raise self.refusal(_name(func))
        plain, named = [self.plain(x) for x in args], {name: self.plain(x) for name, x in kwargs.items()}
        was, self.busy = self.busy, True
        try:
            result = func(*plain, **named)
        finally:
            self.busy = was
        if self.books is not None and FUNCTIONS[func] is not None:
            self._book_function(FUNCTIONS[func], result, plain, named)
        if func in WRITERS:
            self.learned.changed(args[0])
        out = kwargs.get("out")
        return self._result(result, None if out is None else (out,))

    def _book_function(self, cost: Any, result: Any, plain: Sequence[Any], named: dict[str, Any]) -> None:
        was, self.busy = self.busy, True
        try:
            cost(self.books, result, *plain, **named)
        except UncountedOperation as error:
            raise self.refusal(str(error)) from None
        finally:
            self.busy = was

    def _result(self, result: Any, out: Any) -> Any:
        if out is None:
            return counted(result)
        for target in out:
            if isinstance(target, np.ndarray):
                self.learned.changed(target)
        targets = [r if t is None else t for r, t in zip(_as_tuple(result), out, strict=True)]
        return targets[0] if len(targets) == 1 else tuple(targets)

    def same_values(self, source: Any, result: Any) -> Any:
        """A copy of a learned array is learned."""
        if type(source) is Counted and type(result) is Counted and self.learned.factors(source) is not None:
            self.learned.add(result)
        return result

    # --- what is refused

    def plain(self, value: Any) -> Any:
        """Counted arrays and numbers as plain ones, also inside containers."""
        kind = type(value)
        if kind is Counted:
            return value.view(np.ndarray)
        if kind in NUMBERS or value is None:
            return value
        if kind is tuple or kind is list:
            return kind([self.plain(v) for v in value])
        if kind in PLAIN_KINDS:
            return PLAIN_KINDS[kind](value)
        self.refuse_plain(value)
        return value

    def refuse_plain(self, value: Any) -> None:
        """An array that is not counted was made where nobody saw how."""
        if self.books is None or self.busy or self._by_parts:
            return
        if type(value) is list or type(value) is tuple:
            for held in value:
                self.refuse_plain(held)
        elif type(value) is np.ndarray and value.size > 1:
            raise self.refusal(
                f"an array of shape {value.shape} that no NumPy function made (constants: `np.asarray` in `reset`)"
            )

    def overwrites(self, target: Counted, value: Any) -> None:
        """Values are written into an array."""
        self.refuse_plain(value)
        self.learned.changed(target)

    def leaves(self, array: Any) -> None:
        """Values become Python's numbers, whose products nobody sees."""
        if array.dtype.kind not in "iufc" or self.busy:
            return
        n = int(array.size)
        learned = isinstance(array, np.ndarray) and self.learned.factors(array) is not None
        self._n_left += n if self.books is not None else 0
        if max(self._n_left, n if learned else 0) > MOST_PYTHON_NUMBERS:
            raise self.refusal(f"arithmetic on more than {MOST_PYTHON_NUMBERS} values that became Python's numbers")

    def refusal(self, what: str) -> UncountedOperation:
        """An error that names the operation, the decoder's line and the way out."""
        return UncountedOperation(
            f"{what} at {decoder_line(self.own_roots)}: its operations are not counted; "
            f"use matrix products and element-wise functions of NumPy, or declare `cost()`"
        )


def _rectifies(plain: Sequence[Any]) -> bool:
    """`maximum` or `clip` with the number 0 as lower bound; a clip's upper bound does not matter."""
    bounds = plain[1:2] if len(plain) > 2 else plain
    return any(x == 0 if type(x) in NUMBERS else x is not None and x.size == 1 and not x.any() for x in bounds)


def _kind_in_scipy(ufunc: Any) -> str:
    special = sys.modules.get("scipy.special")
    kinds = ((tables.SCIPY_ACTIVATIONS, ACTIVATION), (tables.SCIPY_FREE, FREE))
    return next((kind for names, kind in kinds if special and ufunc in tables.named(names, special)), UNKNOWN)


def _as_tuple(result: Any) -> tuple[Any, ...]:
    return result if type(result) is tuple else (result,)


def _name(function: Any) -> str:
    module = getattr(function, "__module__", None) or "numpy"
    return f"{module}.{function.__name__}".replace("numpy.", "np.", 1)

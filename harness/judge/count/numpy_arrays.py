"""Arrays and numbers that tell a counter of every operation of NumPy they take part in (NEP 13, NEP 18).

Outside counted bins `Counted` has no `__array_ufunc__`, so that ufuncs run as they do for any array; the counter puts
it there for a bin.
"""

import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from harness.judge.count.numpy_calls import Calls

BOOL = np.dtype(bool)
Plain = np.ndarray[Any, Any]
_FLAT: Any = vars(np.ndarray)["flat"]


class Counted(np.ndarray[Any, Any]):
    """An array that a decoder holds while its operations are counted; its values are those of a plain one."""

    calls: "Calls"
    booked = False

    def __array_wrap__(self, array: Plain, context: Any = None, return_scalar: bool = False) -> Any:
        # Outside counted bins ufuncs run in C and only their outcome is made `Counted`.
        if return_scalar:
            return counted(array[()])
        if type(array) is Counted:
            self.calls.learned.changed(array)
            return array
        return array.view(Counted)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        return self.calls.function(self, func, args, kwargs)

    def __getitem__(self, key: Any) -> Any:
        found = super().__getitem__(key)
        return found if type(found) is Counted else counted(found)

    def __setitem__(self, key: Any, value: Any) -> None:
        self.calls.overwrites(self, value)
        super().__setitem__(key, value)

    def dot(self, b: Any, out: Any = None) -> Any:
        return np.dot(self, b, out)

    def round(self, decimals: Any = 0, out: Any = None) -> Any:
        return np.round(self, decimals, out)

    def copy(self, order: Any = "C") -> Any:
        return self.calls.same_values(self, super().copy(order))

    def astype(self, dtype: Any, *args: Any, **kwargs: Any) -> Any:
        converted = self.calls.same_values(self, super().astype(dtype, *args, **kwargs))
        if self.dtype is BOOL and converted.dtype is not BOOL:
            self.calls.threshold(self)
        return converted

    def tolist(self) -> Any:
        self.calls.leaves(self)
        return super().tolist()

    def item(self, *args: Any) -> Any:
        found = super().item(*args)
        self.calls.leaves(np.asarray(found))
        return found

    def __float__(self) -> float:
        self.calls.leaves(self)
        return super().__float__()

    def __int__(self) -> int:
        self.calls.leaves(self)
        return super().__int__()

    @property
    def flat(self) -> Any:
        # Its elements are plain ones, of which nobody tells.
        self.calls.leaves(self)
        return super().flat

    @flat.setter
    def flat(self, values: Any) -> None:
        self.calls.overwrites(self, values)
        _FLAT.__set__(self, values)


def _overwriting(name: str) -> Callable[..., Any]:
    inherited = getattr(np.ndarray, name)

    def method(self: Counted, *args: Any, **kwargs: Any) -> Any:
        self.calls.learned.changed(self)
        return inherited(self, *args, **kwargs)

    return method


for _name in ("fill", "partition", "put", "sort"):
    setattr(Counted, _name, _overwriting(_name))


def _operator(name: str, ufunc: Any) -> Callable[[Any, Any], Any]:
    """An operator of a number: with another number as NumPy's scalars do it, with an array by ufunc."""
    reflected = name.startswith("__r")
    calculate = getattr(operator, name.replace("__r", "__", 1) if reflected else name)

    def method(self: Any, other: Any) -> Any:
        pair = (other, self) if reflected else (self, other)
        if isinstance(other, np.ndarray):
            return ufunc(*pair)
        a, b = Counted.calls.plain(pair)
        result = calculate(a, b)
        Counted.calls.operator(ufunc, (a, b), result)
        return counted(result)

    return method


def _unary(name: str, kind: Any) -> Callable[..., Any]:
    """A method that gives another number."""
    inherited = getattr(kind, name)
    return lambda self, *args: counted(inherited(kind(self), *args))


def _leaving(name: str, kind: Any) -> Callable[..., Any]:
    """A method that gives a number of Python's own."""
    inherited = getattr(kind, name)

    def method(self: Any, *args: Any) -> Any:
        Counted.calls.leaves(self)
        return inherited(self, *args)

    return method


def _array_ufunc(self: Any, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
    return Counted.calls.ufunc(ufunc, method, inputs, kwargs)


OPERATORS = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "truediv": np.true_divide,
    "floordiv": np.floor_divide,
    "mod": np.remainder,
    "pow": np.power,
}


def _scalar_type(kind: Any) -> Any:
    """A subclass of one of NumPy's scalar types: one element of an array, whose arithmetic is told of too."""
    both = {f"__{start}{name}__": ufunc for name, ufunc in OPERATORS.items() for start in ("", "r")}
    methods = {name: _operator(name, ufunc) for name, ufunc in both.items()}
    methods |= {name: _unary(name, kind) for name in ("__neg__", "__pos__", "__abs__", "astype")}
    methods |= {name: _leaving(name, kind) for name in ("__float__", "__int__", "item", "tolist")}
    # One base only: of a scalar type with another base before it, NumPy takes the dtype for `object` and crashes.
    return type(f"Counted{kind.__name__}", (kind,), {"__slots__": (), "__array_ufunc__": _array_ufunc, **methods})


SCALARS: dict[type, Any] = {k: _scalar_type(k) for k in set(np.sctypeDict.values()) if np.dtype(k).kind in "iufc"}
PLAIN_KINDS: dict[type, Any] = {scalar: kind for kind, scalar in SCALARS.items()}


def switch_on() -> None:
    """From now on ufuncs of arrays are told of, too."""
    Counted.__array_ufunc__ = _array_ufunc  # type: ignore[method-assign]


def switch_off() -> None:
    """Ufuncs of arrays run in C again."""
    del Counted.__array_ufunc__


def counted(result: Any) -> Any:
    """A plain result as counted arrays and scalars, also inside tuples and lists."""
    kind = type(result)
    if kind is np.ndarray:
        return result.view(Counted)
    if kind in SCALARS:
        return SCALARS[kind](result)
    if isinstance(result, tuple) and hasattr(result, "_fields"):
        return kind(*map(counted, result))
    return kind(map(counted, result)) if kind in (tuple, list) else result

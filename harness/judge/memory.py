"""How much an object holds, arrays of any library and containers included."""

import gc
import sys
import types
from typing import Any

import numpy as np

_CODE = (
    type,
    types.ModuleType,
    types.FunctionType,
    types.BuiltinFunctionType,
    types.MethodType,
    types.FrameType,
)


def size_bytes(owner: Any) -> int:
    """Bytes of all that is reachable from an object, and from its class with the globals of its methods.

    Code is left out. What C extensions hold without showing it to the garbage collector is not seen, apart from the
    elements of arrays and tensors (`nbytes`).
    """
    todo, seen, total = [owner, *_shared(type(owner))], set[int](), 0
    while todo:
        thing = todo.pop()
        if id(thing) in seen or isinstance(thing, _CODE):
            continue
        seen.add(id(thing))
        total += _own_bytes(thing)
        todo.extend(thing.ravel().tolist() if _holds_objects(thing) else gc.get_referents(thing))
    return total


def _shared(kind: type) -> list[Any]:
    """What a class keeps outside its objects; its parents of other modules are left out."""
    own = [value for k in kind.__mro__ if k.__module__ == kind.__module__ for value in vars(k).values()]
    scopes = {id(f.__globals__): f.__globals__ for f in own if isinstance(f, types.FunctionType)}
    outside = [value for scope in scopes.values() for name, value in scope.items() if not name.startswith("__")]
    cells = [cell for f in own if isinstance(f, types.FunctionType) for cell in f.__closure__ or ()]
    return [*own, *outside, *cells]


def _own_bytes(thing: Any) -> int:
    counted = isinstance(thing, np.ndarray) and thing.flags.owndata
    elements = int(thing.nbytes) if hasattr(type(thing), "nbytes") and not counted else 0
    return sys.getsizeof(thing) + elements


def _holds_objects(thing: Any) -> bool:
    return isinstance(thing, np.ndarray) and thing.dtype.hasobject

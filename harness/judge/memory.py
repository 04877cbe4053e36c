"""How much an object holds, arrays of any library and containers included."""

import gc
import sys
import types
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.lib.array_utils import byte_bounds

CODE = (
    type,
    types.ModuleType,
    types.FunctionType,
    types.BuiltinFunctionType,
    types.MethodType,
    types.FrameType,
)
"""What is no state of an object that reaches it."""


def size_bytes(owner: Any) -> int:
    """Bytes of all that is reachable from an object, and from its class with the globals of its methods.

    Memory that several arrays or tensors view is counted once, and whole. Code is left out. What C extensions hold
    without showing it to the garbage collector is not seen, apart from the elements of arrays and tensors.
    """
    total, blocks = 0, dict[int, int]()
    for thing in reachable([owner, *_shared(type(owner))], next_to=_elements):
        start, n_bytes = _block(thing)
        blocks[start] = max(n_bytes, blocks.get(start, 0))
        total += sys.getsizeof(thing) - _inside_bytes(thing)
    return total + sum(blocks.values())


def reachable(roots: Sequence[Any], *, next_to: Callable[[Any], Iterable[Any]]) -> Iterator[Any]:
    """All objects that can be reached from some, each once, code left out.

    Args:
        roots: Where to begin.
        next_to: What an object holds.
    """
    todo, seen, kept = list(roots), set[int](), []
    while todo:
        thing = todo.pop()
        if id(thing) in seen or isinstance(thing, CODE):
            continue
        seen.add(id(thing))
        kept.append(thing)  # An object that was made here must not give its id to the next one.
        yield thing
        todo.extend(next_to(thing))


def _elements(thing: Any) -> list[Any]:
    holds_objects = isinstance(thing, np.ndarray) and thing.dtype.hasobject
    return list(thing.ravel().tolist()) if holds_objects else gc.get_referents(thing)


def _shared(kind: type) -> list[Any]:
    """What a class keeps outside its objects; its parents of other modules are left out."""
    own = [value for k in kind.__mro__ if k.__module__ == kind.__module__ for value in vars(k).values()]
    scopes = {id(f.__globals__): f.__globals__ for f in own if isinstance(f, types.FunctionType)}
    outside = [value for scope in scopes.values() for name, value in scope.items() if not name.startswith("__")]
    cells = [cell for f in own if isinstance(f, types.FunctionType) for cell in f.__closure__ or ()]
    return [*own, *outside, *cells]


def _block(thing: Any) -> tuple[int, int]:
    """Address and bytes of the memory in which a thing has its elements; a thing without elements has none."""
    kind = type(thing)
    if isinstance(thing, np.ndarray):
        start, stop = byte_bounds(_owner(thing))
        return start, stop - start
    if hasattr(kind, "untyped_storage"):
        storage = thing.untyped_storage()
        return storage.data_ptr(), storage.nbytes()
    if not hasattr(kind, "nbytes"):
        return 0, 0
    # Some kinds let `sys.getsizeof` tell of their elements, others do not.
    n_bytes = thing.nbytes() if callable(thing.nbytes) else thing.nbytes
    return id(thing), max(0, int(n_bytes) - sys.getsizeof(thing))


def _owner(array: Any) -> Any:
    """The outermost array whose memory this one views, also through the objects that strided views put between."""
    held = array
    while (held := getattr(held, "base", None)) is not None:
        array = held if isinstance(held, np.ndarray) else array
    return array


def _inside_bytes(thing: Any) -> int:
    """Bytes of the elements that `sys.getsizeof` tells of, too."""
    return int(thing.nbytes) if isinstance(thing, np.ndarray) and thing.flags.owndata else 0

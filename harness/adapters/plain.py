"""Fitted objects of other libraries as plain data: arrays, and one JSON text that says where each belongs.

No pickle and no code: an object is rebuilt inside a fresh, unfitted one from the same factory. Functions and classes
are kept by name and looked up among what the factory has already imported.
"""

import enum
import functools
import json
import pathlib
import sys
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.errors import DecoderError

Node = Any
"""What JSON can hold: plain values stand for themselves, everything else is an object with one telling key."""

PLAIN = (type(None), bool, int, float, str)
ARRAY_KINDS = "biuf"
NAMED = (types.FunctionType, types.BuiltinFunctionType, np.ufunc, type)
FROM_THE_FACTORY = (*NAMED, functools.partial, enum.Enum, pathlib.PurePath, np.dtype)
"""What holds nothing learned: where it cannot be written, the fresh object keeps its own. So are PyTorch's devices."""
DEEPEST = 60
MISSING = object()


def is_estimator(kind: type) -> bool:
    """Whether a class is a part of scikit-learn's kind."""
    return hasattr(kind, "get_params") and hasattr(kind, "fit")


class Unwritable(DecoderError):
    """An attribute is neither an array nor made of plain values; the message names it."""


@dataclass(frozen=True)
class Kept:
    """An object as plain data.

    text: JSON of its structure.
    arrays: What the text refers to, by number; booleans, integers and floats of any shape.
    """

    text: str
    arrays: Sequence[np.ndarray]

    def to_state(self) -> dict[str, np.ndarray]:
        """Named arrays for a decoder's `state`."""
        text = np.frombuffer(self.text.encode(), np.uint8)
        return {"kept_text": text} | {f"kept.{i}": array for i, array in enumerate(self.arrays)}

    @classmethod
    def from_state(cls, state: Mapping[str, np.ndarray]) -> "Kept":
        """Undo `to_state`; other arrays may be there too."""
        n_arrays = sum(name.startswith("kept.") for name in state)
        return cls(state["kept_text"].tobytes().decode(), [state[f"kept.{i}"] for i in range(n_arrays)])


def write(fitted: Any, fresh: Any, is_part: Callable[[type], bool]) -> Kept:
    """Take a fitted object apart.

    Args:
        fitted: The object.
        fresh: Another one from the same factory, as it comes from there.
        is_part: Whether objects of a class are taken apart too, attribute by attribute.

    Raises:
        Unwritable: If something learned is neither an array nor made of plain values.
    """
    writer = _Writer(is_part)
    node = writer.node(fitted, fresh, type(fitted).__name__)
    return Kept(json.dumps(node), writer.arrays)


def read(kept: Kept, fresh: Any, is_part: Callable[[type], bool]) -> Any:
    """Put what `write` took apart into a fresh object from the same factory, and return that.

    Raises:
        DecoderError: If the text names what the factory does not bring.
    """
    return _Reader(kept.arrays, is_part).value(json.loads(kept.text), fresh)


class _Writer:
    def __init__(self, is_part: Callable[[type], bool]) -> None:
        self.is_part = is_part
        self.arrays: list[np.ndarray] = []
        self.numbers: dict[int, int] = {}

    def node(self, value: Any, fresh: Any, where: str) -> Node:
        """What stands for a value; `fresh` is what the factory has in its place, or MISSING."""
        if type(value) in PLAIN:
            return value
        if where.count(".") + where.count("[") > DEEPEST:
            raise _refusal(value, where, f"it lies more than {DEEPEST} objects deep")
        return self._compound(value, fresh, where)

    def _compound(self, value: Any, fresh: Any, where: str) -> Node:
        if type(value) is np.ndarray or isinstance(value, np.generic):
            return self._array(value, where)
        if isinstance(value, list | tuple):
            kind = "list" if isinstance(value, list) else "tuple"
            return {kind: [self.node(v, _item(fresh, i, value), _at(where, i, value)) for i, v in enumerate(value)]}
        if isinstance(value, dict):
            pairs = [[k, v, _key(fresh, k), f"{where}[{k!r}]"] for k, v in value.items()]
            return {"dict": [[self.node(k, MISSING, at), self.node(v, f, at)] for k, v, f, at in pairs]}
        if isinstance(value, slice):
            return {"slice": [self.node(v, MISSING, where) for v in (value.start, value.stop, value.step)]}
        if weights := _weights(value):
            return {"weights": {k: self._array(v, f"{where}.{k}") for k, v in weights(value).items()}}
        if self.is_part(type(value)) and hasattr(value, "__dict__"):
            return self._part(value, fresh, where)
        if isinstance(value, NAMED) and (name := _name_of(value)):
            return {"named": name}
        if fresh is not MISSING and (isinstance(value, FROM_THE_FACTORY) or type(value).__module__ == "torch"):
            return {"fresh": True}
        raise _refusal(value, where, "it is neither an array nor made of plain values")

    def _array(self, value: Any, where: str) -> Node:
        array = np.asarray(value)
        if array.dtype.kind == "U":
            return {"strings": array.tolist(), "dtype": array.dtype.str, "scalar": isinstance(value, np.generic)}
        if array.dtype.kind not in ARRAY_KINDS or array.dtype.itemsize > 8:
            raise _refusal(value, where, f"its elements are {array.dtype}")
        columns_first = array.flags.f_contiguous and not array.flags.c_contiguous
        self.arrays.append(np.array(array, order="C"))
        return {
            "array": len(self.arrays) - 1,
            "order": "FC"[not columns_first],
            "scalar": isinstance(value, np.generic),
        }

    def _part(self, value: Any, fresh: Any, where: str) -> Node:
        if id(value) in self.numbers:
            return {"again": self.numbers[id(value)]}
        self.numbers[id(value)] = len(self.numbers)
        own = fresh if type(fresh) is type(value) else MISSING
        chosen = _chosen(value) if own is not MISSING else ()
        attributes = {}
        for name, held in vars(value).items():
            inner = MISSING if own is MISSING else vars(own).get(name, MISSING)
            try:
                attributes[name] = self.node(held, inner, f"{where}.{name}")
            except Unwritable:
                # Steps are arguments too, but what is inside them was learned.
                if name not in chosen or isinstance(held, list | tuple | dict) or self.is_part(type(held)):
                    raise
                attributes[name] = {"fresh": True}
        return {"part": _name_of(type(value)) or _lost(value, where), "attributes": attributes}


class _Reader:
    def __init__(self, arrays: Sequence[np.ndarray], is_part: Callable[[type], bool]) -> None:
        self.arrays = arrays
        self.is_part = is_part
        self.parts: list[Any] = []

    def value(self, node: Node, fresh: Any) -> Any:
        """Undo `_Writer.node`."""
        if not isinstance(node, dict):
            return node
        key = next(iter(node))
        inner = node[key]
        if key in ("list", "tuple"):
            items = [self.value(n, _item(fresh, i, inner)) for i, n in enumerate(inner)]
            return items if key == "list" else tuple(items)
        if key == "dict":
            keys = [self.value(k, MISSING) for k, _ in inner]
            return {k: self.value(n, _key(fresh, k)) for k, (_, n) in zip(keys, inner, strict=True)}
        return getattr(self, f"_{key}")(node, fresh)

    def _array(self, node: Node, _: Any) -> Any:
        array = self.arrays[node["array"]]
        return array[()] if node["scalar"] else np.asarray(array, order=node["order"])

    def _strings(self, node: Node, _: Any) -> Any:
        array = np.array(node["strings"], node["dtype"])
        return array[()] if node["scalar"] else array

    def _slice(self, node: Node, _: Any) -> slice:
        return slice(*(self.value(n, MISSING) for n in node["slice"]))

    def _fresh(self, _: Node, fresh: Any) -> Any:
        return fresh

    def _again(self, node: Node, _: Any) -> Any:
        return self.parts[node["again"]]

    def _named(self, node: Node, _: Any) -> Any:
        return _found(node["named"])

    def _weights(self, node: Node, fresh: Any) -> Any:
        weights = _weights(fresh)
        held = weights(fresh) if weights else {}
        if held.keys() != node["weights"].keys():
            raise DecoderError(f"the network that the factory makes has weights {list(held)}, not those that are kept")
        for name, array in held.items():
            array[...] = self._array(node["weights"][name], MISSING)
        return fresh

    def _part(self, node: Node, fresh: Any) -> Any:
        kind = _found(node["part"])
        if not isinstance(kind, type) or not self.is_part(kind):
            raise DecoderError(f"{node['part']} is no part of what the factory makes; fit again")
        part: Any = fresh if type(fresh) is kind else object.__new__(kind)
        self.parts.append(part)
        own = dict(vars(part))
        for name, inner in node["attributes"].items():
            vars(part)[name] = self.value(inner, own.get(name, MISSING))
        return part


def _weights(value: Any) -> Callable[[Any], dict[str, np.ndarray]] | None:
    """How to see the weights of a PyTorch module or tensor as arrays that share its memory; None of anything else."""
    if hasattr(value, "state_dict") and hasattr(value, "load_state_dict"):
        return lambda module: {k: tensor.detach().numpy() for k, tensor in module.state_dict().items()}
    if hasattr(value, "detach") and hasattr(value, "numpy"):
        return lambda tensor: {"tensor": tensor.detach().numpy()}
    return None


def _item(fresh: Any, i: int, items: Sequence[Any]) -> Any:
    return fresh[i] if isinstance(fresh, list | tuple) and len(fresh) == len(items) else MISSING


def _key(fresh: Any, key: Any) -> Any:
    return fresh.get(key, MISSING) if isinstance(fresh, dict) else MISSING


def _at(where: str, i: int, items: Sequence[Any]) -> str:
    """Steps are pairs of a name and an estimator, and are better known by their names."""
    item = items[i]
    if isinstance(items, tuple):
        return where
    return f"{where}[{item[0]!r}]" if isinstance(item, tuple) and item and isinstance(item[0], str) else f"{where}[{i}]"


def _chosen(part: Any) -> Sequence[str]:
    """Constructor arguments, which the factory gives again; of an estimator only."""
    return list(part.get_params(deep=False)) if hasattr(part, "get_params") else ()


def _name_of(thing: Any) -> str:
    """`module:qualified.name` if that leads back to the very thing, else nothing."""
    name = f"{getattr(thing, '__module__', None)}:{getattr(thing, '__qualname__', getattr(thing, '__name__', ''))}"
    try:
        return name if _found(name) is thing else ""
    except DecoderError:
        return ""


def _found(name: str) -> Any:
    module, _, path = name.partition(":")
    held: Any = sys.modules.get(module, MISSING)
    for part in path.split("."):
        held = getattr(held, part, MISSING)
    if held is MISSING:
        raise DecoderError(f"{name} is not among what the factory imports; import it at the top of the decoder's file")
    return held


def _lost(value: Any, where: str) -> str:
    raise _refusal(value, where, "its class is not at the top level of a module")


def _refusal(value: Any, where: str, why: str) -> Unwritable:
    return Unwritable(
        f"{where} ({type(value).__module__}.{type(value).__qualname__}) cannot be kept: {why}; use parts whose learned "
        f"attributes are arrays, numbers, text, lists, dictionaries or estimators, or write a Decoder of your own"
    )

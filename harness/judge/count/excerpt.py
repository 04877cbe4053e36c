"""In the worker: a second decoder with the same artefact answers an excerpt while its operations are counted."""

import contextlib
import gc
import operator
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.decoder import Decoder
from harness.judge.count.foreign import Watch
from harness.judge.count.in_numpy import NumpyCounter
from harness.judge.count.tally import Tally, UncountedOperation
from harness.judge.memory import size_bytes
from harness.registry import DecoderRef, construct
from harness.source import source_root
from harness.types import Cost, Inputs, SessionInfo

if TYPE_CHECKING:
    from harness.judge.count.torch_factors import Factors

N_COUNTED = 32
"""So many last bins are counted, after at least half of the excerpt, in which a decoder settles.

They follow one another, so that work done in every second or eighth bin has its share in them.
"""
MOST_CHARACTERS = 2000
"""Of a text in a reply."""


@dataclass(frozen=True)
class Subject:
    """A decoder that is to be counted: which, with which settings, what it learned, and on which sessions."""

    ref: DecoderRef
    settings: Mapping[str, Any]
    arrays: Mapping[str, np.ndarray]
    fitted_on: Sequence[SessionInfo]


@dataclass
class Counted:
    """What counting gave.

    outputs: (n_bins, n_outputs), to be compared with those of the judged stream.
    n_bins: How many bins are in the tally; meaningless if `why` says what cannot be counted.
    state_bytes: What the decoder held after the excerpt, beyond what it held before its first bin; None if it holds
        something whose size nobody can tell.
    """

    outputs: np.ndarray
    tally: Tally
    n_bins: int = 0
    why: str = ""
    state_bytes: int | None = None


def to_json(counted: Counted) -> dict[str, Any]:
    """What a worker tells of it: plain numbers, sums over the counted bins."""
    t = counted.tally
    sums = {name: float(getattr(t, name)) for name in ("macs", "acs", "dense", "elementwise")}
    sparsity = {name: _float(getattr(t, name)) for name in ("activation_sparsity", "connection_sparsity")}
    about = {"n_bins": counted.n_bins, "why": counted.why[:MOST_CHARACTERS], "state_bytes": counted.state_bytes}
    return about | sums | sparsity | {"precision": {name: float(n) for name, n in t.precision.items()}}


def declaration(decoder: Decoder, session: SessionInfo) -> dict[str, Any]:
    """What a decoder declares, as plain numbers: None if nothing, or if it cannot be read, with the reason."""
    try:
        silent = type(decoder).cost is Decoder.cost
        return {"declared": None if silent else _plain_cost(decoder.cost(session)), "declared_error": ""}
    except Exception as error:
        return {"declared": None, "declared_error": f"{type(error).__name__}: {error}"[:MOST_CHARACTERS]}


def _plain_cost(cost: Cost) -> dict[str, Any]:
    return {
        "macs_per_bin": _float(cost.macs_per_bin),
        "acs_per_bin": float(cost.acs_per_bin),
        "elementwise_per_bin": float(cost.elementwise_per_bin),
        "activation_sparsity": _float(cost.activation_sparsity),
        "bits": {str(name): operator.index(n_bits) for name, n_bits in cost.bits.items()},
    }


def _float(value: Any) -> float | None:
    return None if value is None else float(value)


def count(subject: Subject, inputs: Inputs, session: SessionInfo) -> Counted:
    """Answer an excerpt, and count the operations of some of its bins."""
    plain = _restored(subject, subject.arrays)
    before = _held_bytes(plain)
    outputs = np.asarray(Decoder.predict(plain, inputs, session), np.float32)
    after = _held_bytes(plain)
    state_bytes = None if before is None or after is None else max(0, after - before)
    counted = Counted(outputs, Tally(), state_bytes=state_bytes)
    try:
        _tally(subject, inputs, session, counted)
    except Exception as error:
        # Whatever went wrong, an unknown number of operations is not zero operations: it is no number, with a reason.
        kind = "" if isinstance(error, UncountedOperation) else f"{type(error).__name__}: "
        counted.why = f"{kind}{error}"
    return counted


def _tally(subject: Subject, inputs: Inputs, session: SessionInfo, counted: Counted) -> None:
    own = [source_root(subject.ref)]
    first = max(len(inputs) // 2, len(inputs) - N_COUNTED)
    watch = Watch(own)
    with NumpyCounter(own) as counter, _no_collection():
        decoder = _restored(subject, counter.wrap(subject.arrays, learned=True))
        factors = _factors(counted.tally, decoder, counter)
        for k, (starts, bin) in enumerate(inputs.bins()):
            if starts:
                decoder.reset(session)
            given = counter.wrap(bin, learned=False)
            if k < first:
                counted.outputs[k] = decoder.step(given)
                continue
            with counter.on(counted.tally), _torch(counted.tally, factors), watch:
                answer = decoder.step(given)
                counter.check_answer(answer)
            counted.outputs[k] = answer
            counted.n_bins += 1


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """Garbage is collected at any time, and calls whoever asked to be told of it: that is no work of a bin's."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _held_bytes(decoder: Decoder) -> int | None:
    """What a decoder holds; None if something in it cannot say how much that is, such as a sparse tensor."""
    try:
        return size_bytes(decoder)
    except Exception:
        return None


def _restored(subject: Subject, arrays: Mapping[str, np.ndarray]) -> Decoder:
    decoder = construct(subject.ref, subject.settings)
    decoder.restore(arrays, subject.fitted_on)
    return decoder


def _factors(tally: Tally, decoder: Decoder, counter: NumpyCounter) -> "Factors | None":
    """The learned tensors of a decoder, if it has loaded PyTorch."""
    if "torch" not in sys.modules:
        return None
    from harness.judge.count.in_torch import storages
    from harness.judge.count.torch_factors import Factors

    learned = storages(decoder)
    counter.learn_storages(learned)
    return Factors(tally, learned)


def _torch(tally: Tally, factors: "Factors | None") -> contextlib.AbstractContextManager[None]:
    """Count what PyTorch dispatches."""
    if factors is None:
        return contextlib.nullcontext()
    from harness.judge.count.in_torch import counting

    return counting(tally, factors)

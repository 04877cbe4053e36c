"""In the worker: a second decoder with the same artefact answers an excerpt while its operations are counted."""

import contextlib
import dataclasses
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.decoder import Decoder
from harness.judge.count.foreign import watching
from harness.judge.count.in_numpy import NumpyCounter
from harness.judge.count.tally import Tally, UncountedOperation
from harness.judge.memory import size_bytes
from harness.registry import DecoderRef, construct, source_root
from harness.types import Cost, Inputs, SessionInfo

if TYPE_CHECKING:
    from harness.judge.count.torch_factors import Factors

EVERY = 8
"""After the first half, in which a decoder settles, one bin in so many is counted; the others are only answered."""


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
    state_bytes: What the decoder held after the excerpt, beyond what it held before its first bin.
    """

    outputs: np.ndarray
    tally: Tally
    n_bins: int = 0
    why: str = ""
    state_bytes: int = 0


def to_json(counted: Counted, declared: Cost | None) -> dict[str, Any]:
    """What a worker tells of it: plain numbers, sums over the counted bins."""
    t = counted.tally
    sums = {name: getattr(t, name) for name in ("macs", "acs", "dense", "elementwise")}
    sparsity = {name: getattr(t, name) for name in ("activation_sparsity", "connection_sparsity")}
    about = {name: getattr(counted, name) for name in ("n_bins", "why", "state_bytes")}
    precision = {name: float(n) for name, n in t.precision.items()}
    return about | sums | sparsity | {"precision": precision, "declared": declared and dataclasses.asdict(declared)}


def declaration(decoder: Decoder, session: SessionInfo) -> Cost | None:
    """What a decoder declares, if it declares anything."""
    return None if type(decoder).cost is Decoder.cost else decoder.cost(session)


def count(subject: Subject, inputs: Inputs, session: SessionInfo) -> Counted:
    """Answer an excerpt, and count the operations of some of its bins."""
    plain = _restored(subject, subject.arrays)
    before = size_bytes(plain)
    outputs = np.asarray(Decoder.predict(plain, inputs, session), np.float32)
    counted = Counted(outputs, Tally(), state_bytes=max(0, size_bytes(plain) - before))
    try:
        _tally(subject, inputs, session, counted)
    except Exception as error:
        # Whatever went wrong, an unknown number of operations is not zero operations: it is no number, with a reason.
        kind = "" if isinstance(error, UncountedOperation) else f"{type(error).__name__}: "
        counted.why = f"{kind}{error}"
    return counted


def _tally(subject: Subject, inputs: Inputs, session: SessionInfo, counted: Counted) -> None:
    own = [source_root(subject.ref)]
    first = len(inputs) // 2
    with NumpyCounter(own) as counter:
        decoder = _restored(subject, counter.wrap(subject.arrays, learned=True))
        factors = _factors(counted.tally, decoder, counter)
        for k, (starts, bin) in enumerate(inputs.bins()):
            if starts:
                decoder.reset(session)
            given = counter.wrap(bin, learned=False)
            if k < first or (k - first) % EVERY:
                counted.outputs[k] = decoder.step(given)
                continue
            foreign = watching(own) if k == first else contextlib.nullcontext()
            with counter.on(counted.tally), _torch(counted.tally, factors), foreign:
                answer = decoder.step(given)
                counter.check_answer(answer)
            counted.outputs[k] = answer
            counted.n_bins += 1


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

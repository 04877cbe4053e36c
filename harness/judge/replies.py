"""What a worker's replies may be: foreign code shares its process, so nothing in them is believed unread."""

import dataclasses
import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from harness.errors import DecoderError, HarnessError
from harness.judge import artifact, wire
from harness.judge.worker import MESSAGE_CHARACTERS, MOST_PARENTS
from harness.types import Delay

LONGEST_DELAY_BINS = 10_000
LONGEST_WINDOW_S = 1e6
TOLD_STATUSES = ("failed", "out-of-memory", "invalid-output")


class WorkerFault(DecoderError):
    """A decoder failed in its worker. `status` is the record's; `at_bin` the test bin, if it was streaming."""

    def __init__(self, status: str, reason: str, at_bin: int | None = None) -> None:
        super().__init__(reason if at_bin is None else f"bin {at_bin}: {reason}")
        self.status, self.reason, self.at_bin = status, reason, at_bin

    def __reduce__(self) -> tuple[type["WorkerFault"], tuple[str, str, int | None]]:
        return WorkerFault, (self.status, self.reason, self.at_bin)


@dataclasses.dataclass(frozen=True)
class Description:
    """What a decoder says of itself, asked in a worker.

    stages: The stages of learning that it has.
    where: `module:Class` of its class.
    parents: Those whose pretraining comes before its own, the nearest first.
    """

    inputs: tuple[str, ...]
    causal: bool
    deterministic: bool
    parameters: Mapping[str, Any]
    stages: tuple[str, ...] = ("fit",)
    delay: Delay = dataclasses.field(default_factory=Delay)
    where: str = ""
    parents: "tuple[Description, ...]" = ()


@dataclasses.dataclass(frozen=True)
class Told:
    """What a worker says of its operations, not yet believed, and the outputs that it gave meanwhile."""

    outputs: np.ndarray
    operations: Mapping[str, Any]


class Stopped(HarnessError):
    """A worker was ended from outside: nothing can be said of its decoder."""


def parsed(body: bytes) -> Any:
    """A worker's JSON, which foreign code may have written."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise WorkerFault("invalid-output", f"the worker's reply of {len(body)} bytes is not readable") from None


def told_fault(received: bytes) -> dict[str, str]:
    """What a worker says of its fault: plain short texts, whatever was sent."""
    content = parsed(wire.body_of(received)) if received else {}
    items = content.items() if isinstance(content, dict) else []
    return {str(name): _printable(str(text)[:MESSAGE_CHARACTERS]) for name, text in items}


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in text)


def refuse_non_finite(outputs: np.ndarray) -> np.ndarray:
    """The outputs, (n_bins, n_outputs), if all are finite."""
    bad = np.flatnonzero(~np.isfinite(outputs).all(axis=1))
    if bad.size:
        k = int(bad[0])
        raise WorkerFault("invalid-output", f"the answer was {outputs[k].tolist()}; only finite numbers are scored", k)
    return outputs


def described(told: Any) -> Description:
    """What a decoder said of itself and of those before it, if it is what the contract asks for."""
    try:
        found = description_from(told)
        json.dumps(told, allow_nan=False, ensure_ascii=False).encode()
    except (TypeError, KeyError, ValueError, RecursionError):
        raise WorkerFault("failed", "its fields must be finite JSON values: numbers, texts, lists or null") from None
    if len(found.parents) > MOST_PARENTS:
        raise WorkerFault("failed", f"it begins with {len(found.parents)} decoders; {MOST_PARENTS} are allowed")
    for one in (found, *found.parents):
        _refuse_nonsense(one)
    return found


def description_from(told: Mapping[str, Any]) -> Description:
    """A description from its JSON."""
    if isinstance(told["inputs"], str):
        raise WorkerFault("failed", f"inputs must be a tuple of stream names, not {told['inputs']!r}")
    lists = {name: tuple(told[name]) for name in ("inputs", "stages")}
    parents = tuple(description_from(parent) for parent in told.get("parents", ()))
    more = {"parameters": dict(told["parameters"]), "delay": Delay(**told["delay"]), "parents": parents}
    return Description(**{**told, **lists, **more})


def _refuse_nonsense(found: Description) -> None:
    if not all(isinstance(name, str) for name in found.inputs):
        raise WorkerFault("failed", f"inputs must be a tuple of stream names, not {found.inputs!r}")
    if not (isinstance(found.causal, bool) and isinstance(found.deterministic, bool)):
        raise WorkerFault("failed", "causal and deterministic must be True or False")
    if not all(part.isidentifier() for part in str(found.where).replace(":", ".", 1).split(".")):
        raise WorkerFault("failed", f"{found.where!r:.80} is no class at the top level of a module; write it there")
    if not (isinstance(found.delay.window_s, int | float) and 0 <= found.delay.window_s <= LONGEST_WINDOW_S):
        raise WorkerFault(
            "failed", f"delay().window_s must be 0 to {LONGEST_WINDOW_S:g} s, not {found.delay.window_s!r}"
        )
    if found.causal and found.delay.window_s:
        raise WorkerFault("failed", "delay().window_s is for decoders that look ahead (causal = False); leave it out")
    waits = (found.delay.look_ahead_bins, found.delay.interpolation_bins)
    if not all(type(n) is int and 0 <= n <= LONGEST_DELAY_BINS for n in waits):
        raise WorkerFault("failed", f"delay() must give whole numbers of bins, 0 to {LONGEST_DELAY_BINS}, not {waits}")


def collected(descriptor: int, max_mib: float) -> bytes:
    """The artefact that a worker wrote, checked for size and readability."""
    size = os.fstat(descriptor).st_size
    if size > max_mib * 2**20:
        raise WorkerFault("failed", f"the artefact has {size / 2**20:.1f} MiB; {max_mib:g} MiB are allowed")
    content = os.pread(descriptor, size, 0)
    try:
        artifact.unpack(content)
    except DecoderError as error:
        raise WorkerFault("failed", str(error)) from None
    return content

"""One decoder under test: fitted once, then lent to every check of `harness check`."""

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np

from harness.data.causality import TOLERANCE, difference
from harness.decoder import Decoder
from harness.errors import DecoderError
from harness.judge import artifact
from harness.judge.conformance_data import Data, make_data
from harness.judge.conformance_refit import outputs_of_second_fit
from harness.judge.conformance_restore import Request, outputs_of_fresh_process
from harness.judge.memory import size_bytes
from harness.judge.worker import parents_of
from harness.registry import DecoderRef, construct
from harness.types import Bin, Inputs, SessionInfo

T = TypeVar("T")

LONG_BINS = 20_000
LONG_LIMIT_S = 4.0
FIRST_SIZE_AT = 100


class Broken(DecoderError):
    """A decoder breaks a rule of the contract; the message holds the numbers."""


@dataclass(frozen=True)
class Fitted:
    """A fitted decoder and how it came about.

    content: Its artefact as it was right after `fit`; None if there can be none, for the reason in `content_fault`.
    with_gaps: Whether targets were missing in its training data.
    gap_fault: What went wrong only because targets were missing; empty if nothing did.
    """

    decoder: Decoder
    content: bytes | None
    content_fault: str
    fit_s: float
    with_gaps: bool
    gap_fault: str = ""


@dataclass(frozen=True)
class LongRun:
    """Many bins of one segment, streamed until the end, an error or the time limit.

    outputs: (n_bins, n_outputs); step_ns: (n_bins,); sizes: number of steps -> bytes that the decoder held then.
    """

    outputs: np.ndarray
    step_ns: np.ndarray
    sizes: Mapping[int, int]
    fault: str = ""

    def __len__(self) -> int:
        return len(self.step_ns)


def in_background(work: Callable[..., T], *given: Any) -> Future[T]:
    """Start some work in a thread, which waits for a process of its own."""
    pool = ThreadPoolExecutor(max_workers=1)
    future = pool.submit(work, *given)
    pool.shutdown(wait=False)
    return future


class Case:
    """A decoder to be checked, with its data and what several checks need of it."""

    def __init__(self, ref: DecoderRef, settings: Mapping[str, Any]) -> None:
        self.ref = ref
        self.settings = settings
        self.kind = type(self.build())
        self.data = self.make_data()
        self.second_fit: Future[np.ndarray] | None = None

    @property
    def session(self) -> SessionInfo:
        return self.data.test.session

    @property
    def inputs(self) -> Inputs:
        return self.data.test.inputs

    @property
    def decoder(self) -> Decoder:
        return self.fitted.decoder

    def build(self, **changes: Any) -> Decoder:
        """A fresh decoder with the settings under test."""
        return construct(self.ref, {**self.settings, **changes})

    def make_data(self, *, with_gaps: bool = True) -> Data:
        return make_data(self.kind.inputs, with_gaps=with_gaps)

    def fit(self, *, with_gaps: bool = True, **changes: Any) -> Fitted:
        """Fit a fresh decoder on fresh data, so that no fit can spoil the next."""
        data = self.make_data(with_gaps=with_gaps)
        started = time.perf_counter()
        decoder = self.from_pretraining(self.pretrained(data, **changes), **changes)
        decoder.fit([data.train], [data.validation])
        fit_s = time.perf_counter() - started
        try:
            return Fitted(decoder, artifact.pack(decoder.state()), "", fit_s, with_gaps)
        except Exception as error:
            return Fitted(decoder, None, describe(error), fit_s, with_gaps)

    @cached_property
    def has_pretraining(self) -> bool:
        """Whether there is a stage of pretraining, its own or of a decoder that it begins with; or nobody can tell."""
        if self.kind.pretrain is not Decoder.pretrain:
            return True
        try:
            return any(type(parent).pretrain is not Decoder.pretrain for parent in parents_of(self.build()))
        except Exception:
            return True

    def pretrained(self, data: Data, **changes: Any) -> dict[str, np.ndarray]:
        """What pretraining leaves, its parents' and its own, each in a fresh decoder; empty without such a stage."""
        decoder = self.build(**changes)
        learned: dict[str, np.ndarray] = {}
        for one in reversed([decoder, *parents_of(decoder)]):
            if type(one).pretrain is Decoder.pretrain:
                continue
            if learned:
                one.restore(learned, [data.pretraining.session])
            one.pretrain([data.pretraining])
            learned = artifact.unpack(artifact.pack(one.state()))
        return learned

    def from_pretraining(self, learned: Mapping[str, np.ndarray], **changes: Any) -> Decoder:
        """A fresh decoder that begins with what `pretrained` gave, as in the process that fits."""
        decoder = self.build(**changes)
        if self.has_pretraining:
            decoder.restore(learned, [self.data.pretraining.session])
        return decoder

    def restored(self, session: SessionInfo) -> Decoder:
        """A fresh decoder with the artefact of the fit on this session.

        Raises:
            Broken: If there is no artefact.
        """
        if self.fitted.content is None:
            raise Broken(f"nothing to restore: {self.fitted.content_fault}")
        decoder = self.build()
        decoder.restore(artifact.unpack(self.fitted.content), [session])
        return decoder

    @cached_property
    def fitted(self) -> Fitted:
        """The decoder that all checks share: fitted on data with gaps, if it can cope with them."""
        self.second_fit = (
            None if self.kind.deterministic else in_background(outputs_of_second_fit, self.ref, self.settings)
        )
        try:
            gappy = self.fit()
            fault = self._fault(gappy)
        except Exception as error:
            fault = f"fit raised {describe(error)}"
        if not fault:
            return gappy
        whole = self.fit(with_gaps=False)
        return whole if self._fault(whole) else dataclasses.replace(whole, gap_fault=fault)

    @cached_property
    def outputs(self) -> np.ndarray:
        """(n_bins, n_outputs), what the fitted decoder answers on the test part."""
        return self.respond(self.decoder, self.inputs)

    @cached_property
    def long_run(self) -> LongRun:
        return self.run_long()

    @cached_property
    def fresh_outputs(self) -> Future[np.ndarray]:
        """Answers of a fresh process that restores the artefact; it runs beside this one from the first look on.

        Raises:
            Broken: If there is no artefact.
        """
        if self.fitted.content is None:
            raise Broken(f"nothing to restore: {self.fitted.content_fault}")
        request = Request(self.ref, self.build(), self.fitted.content, self.session, self.inputs)
        return in_background(outputs_of_fresh_process, request)

    def respond(self, decoder: Decoder, inputs: Inputs) -> np.ndarray:
        """Answers to all bins: (n_bins, n_outputs) float64, from `step`, or from `predict` if not causal."""
        if not self.kind.causal:
            return self.predict(decoder, inputs)
        return np.stack([np.array(answer, np.float64) for _, answer in self.exchanges(decoder, inputs)])

    def exchanges(
        self, decoder: Decoder | None = None, inputs: Inputs | None = None
    ) -> Iterator[tuple[Bin, np.ndarray]]:
        """What `step` was given and what it returned, bin after bin; the next step comes after the loop's body.

        Raises:
            Broken: If `reset` or `step` raises, with the bin.
        """
        decoder = self.decoder if decoder is None else decoder
        for k, (starts, bin) in enumerate((inputs or self.inputs).bins()):
            try:
                if starts:
                    decoder.reset(self.session)
                answer = decoder.step(bin)
            except Exception as error:
                raise Broken(f"bin {k}: {describe(error)}") from error
            yield bin, answer

    def predict(self, decoder: Decoder, inputs: Inputs) -> np.ndarray:
        """Answers of `predict`: (n_bins, n_outputs) float64.

        Raises:
            Broken: If the shape is wrong.
        """
        outputs = np.array(decoder.predict(inputs, self.session), np.float64)
        wanted = (len(inputs), len(self.session.outputs))
        if outputs.shape != wanted:
            raise Broken(f"predict returned shape {outputs.shape}; (n_bins, n_outputs) = {wanted} is asked for")
        return outputs

    def run_long(self, n_bins: int = LONG_BINS) -> LongRun:
        """Stream test bins round and round as one segment."""
        decoder, bins = self.decoder, [bin for _, bin in self.inputs.bins()]
        outputs, step_ns, sizes, fault = [], [], {}, ""
        deadline = time.monotonic() + LONG_LIMIT_S
        next_size = FIRST_SIZE_AT
        decoder.reset(self.session)
        for k in range(n_bins):
            bin = {name: values.copy() for name, values in bins[k % len(bins)].items()}
            started = time.perf_counter_ns()
            try:
                answer = decoder.step(bin)
            except Exception as error:
                fault = f"bin {k}: {describe(error)}"
                break
            step_ns.append(time.perf_counter_ns() - started)
            outputs.append(np.array(answer, np.float64))
            if len(step_ns) == next_size:
                sizes[next_size] = size_bytes(decoder)
                next_size *= 2
            if time.monotonic() > deadline:
                break
        sizes[len(step_ns)] = size_bytes(decoder)
        return LongRun(np.array(outputs), np.array(step_ns), sizes, fault)

    def _fault(self, fitted: Fitted) -> str:
        """What is wrong with the answers; empty if they are finite."""
        try:
            outputs = self.respond(fitted.decoder, self.inputs)
        except Exception as error:
            return describe(error)
        n_bad = int(np.sum(~np.isfinite(outputs).all(axis=1)))
        return f"{n_bad} of {len(outputs)} answers are not finite after it" if n_bad else ""


def describe(error: BaseException) -> str:
    """An error in one line."""
    text = str(error) if isinstance(error, Broken) else f"{type(error).__name__}: {error}"
    return " ".join(text.split())[:300]


def same(expected: np.ndarray, outputs: np.ndarray, when: str, *, limit: float = TOLERANCE) -> str:
    """Compare two (n_bins, n_outputs) and tell the largest difference.

    Raises:
        Broken: If it exceeds `limit` times the largest expected output, or is not finite; with the bin and `when`.
    """
    found = difference(expected, outputs)
    if not found.worst <= limit:
        raise Broken(f"bin {found.row} differs by {found.worst:.2g} of the largest output (allowed {limit:g}) {when}")
    return f"largest difference {found.worst:.2g} of the largest output"


def refuse_not_finite(outputs: np.ndarray) -> None:
    """Raise `Broken` with the first bin whose outputs (n_bins, n_outputs) are not finite."""
    bad = np.flatnonzero(~np.isfinite(outputs).all(axis=1))
    if bad.size:
        raise Broken(f"bin {bad[0]}: output {outputs[bad[0]].tolist()}; {bad.size} of {len(outputs)} are not finite")

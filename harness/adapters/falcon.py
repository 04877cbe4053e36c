"""`from_falcon`: a decoder written for the FALCON benchmark, already trained, made into a decoder of this one."""

import copy
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from harness.adapters.plain import Kept, is_estimator, read, write
from harness.decoder import Decoder
from harness.errors import DecoderError, UsageError
from harness.types import Bin, Recording, SessionInfo

RIDGE = 1e-6
"""Of the outputs' variance: what keeps the calibration solvable where an output is constant."""


def from_falcon(
    make_decoder: Callable[[], Any],
    *,
    stream: str = "spikes",
    bin_s: float = 0.02,
    name: str | None = None,
) -> "type[FalconDecoder]":
    """A decoder class around one that has FALCON's interface, with a batch of one.

    At each bin it is asked `predict(counts (1, n_channels))` -> (1, n_outputs), then told `on_done([False])`, as FALCON
    does within a trial. At a reset it is as the factory made it, then told `reset([session.id])`. `observe` is never
    called, since a decoder here is not told which bins are scored.

    Args:
        make_decoder: Makes the trained decoder, each time a new one; it may read files of its own package.
        stream: Which stream of counts.
        bin_s: Length of the bins that it was trained for; other sessions are refused.
        name: Of the class.

    Returns:
        A dataclass with the fields `seed` and `calibrate`.
    """
    body = {"inputs": (stream,), "make_decoder": staticmethod(make_decoder), "bin_s": bin_s}
    body |= {"__doc__": FalconDecoder.__doc__}
    made = dataclasses.make_dataclass(name or "Falcon", [], bases=(FalconDecoder,), namespace=body)
    made.__module__ = make_decoder.__module__
    return made


@dataclass
class FalconDecoder(Decoder):
    """A decoder written for FALCON.

    calibrate: Whether `fit` learns a linear map from its outputs to the targets, for other units or another subject;
        otherwise `fit` learns nothing, and its outputs must be the session's, in order and unit.
    """

    deterministic = True
    make_decoder: ClassVar[Callable[[], Any]]
    bin_s: ClassVar[float]
    seed: int = 0
    calibrate: bool = False

    def fit(self, train: Sequence[Recording], validation: Sequence[Recording]) -> None:
        """Keep the trained decoder's arrays; map its outputs to the scored targets if that is asked for."""
        fresh = self._made()
        self._hold(write(fresh, self._made(), _parts_of(fresh)))
        if not self.calibrate:
            return
        parts = [r for r in (*train, *validation) if r.scored.any()]
        outputs = np.concatenate([self._answers(r)[r.scored] for r in parts])
        targets = np.concatenate([r.targets[r.scored] for r in parts]).astype(np.float64)
        centre, offset = outputs.mean(axis=0), targets.mean(axis=0)
        outputs, targets = outputs - centre, targets - offset
        gram = outputs.T @ outputs
        gram += RIDGE * max(float(np.trace(gram)) / len(gram), 1.0) * np.eye(len(gram))
        self.map_ = np.linalg.solve(gram, outputs.T @ targets)
        self.offset_ = offset - centre @ self.map_

    def reset(self, session: SessionInfo) -> None:
        if not np.isclose(session.bin_s, self.bin_s):
            raise UsageError(
                f"session {session.id!r} has bins of {session.bin_s} s; this decoder was trained for {self.bin_s} s; "
                f"take a suite with such bins, or say `bin_s` to from_falcon"
            )
        self.n_outputs = len(session.outputs)
        # FALCON lets a decoder keep what it likes from file to file; here a reset must forget all.
        self.running = copy.deepcopy(self.decoder)
        self.running.reset([session.id])

    def step(self, bin: Bin) -> np.ndarray:
        answer = self._asked(bin)
        answer = answer @ self.map_ + self.offset_ if self.calibrate else answer
        if answer.shape != (self.n_outputs,):
            raise DecoderError(
                f"the FALCON decoder gives {len(answer)} outputs, the session has {self.n_outputs}; with "
                f"calibrate=True they are mapped to the session's"
            )
        return answer

    def state(self) -> dict[str, np.ndarray]:
        return super().state() | self.kept.to_state()

    def restore(self, state: Mapping[str, np.ndarray], sessions: Sequence[SessionInfo]) -> None:
        super().restore({k: v for k, v in state.items() if k.endswith("_")}, sessions)
        self._hold(Kept.from_state(state))

    def _hold(self, kept: Kept) -> None:
        fresh = self._made()
        self.kept, self.decoder = kept, read(kept, fresh, _parts_of(fresh))

    def _made(self) -> Any:
        """A new decoder, for a batch of one."""
        made = type(self).make_decoder()
        if getattr(made, "batch_size", 1) != 1:
            made.set_batch_size(1)
        return made

    def _answers(self, recording: Recording) -> np.ndarray:
        """(n_bins, n_outputs of the FALCON decoder)."""
        found = []
        for starts, bin in recording.inputs.bins():
            if starts:
                self.reset(recording.session)
            found.append(self._asked(bin))
        return np.stack(found)

    def _asked(self, bin: Bin) -> np.ndarray:
        answer = np.array(self.running.predict(bin[self.inputs[0]][None]), np.float64)
        self.running.on_done(np.zeros(1, bool))
        return answer.reshape(-1)


def _parts_of(decoder: Any) -> Callable[[type], bool]:
    """What of a FALCON decoder is taken apart: objects of its own package and of FALCON's, and estimators."""
    homes = (type(decoder).__module__.partition(".")[0], "falcon_challenge")
    return lambda kind: kind.__module__.partition(".")[0] in homes or is_estimator(kind)

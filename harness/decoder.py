"""The decoder contract: the one class that people outside write against."""

import abc
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from harness.checkpoint import Checkpoint
from harness.types import Bin, Cost, Delay, Inputs, Recording, SessionInfo


class Decoder(abc.ABC):
    """Turns one bin of neural activity after the other into behaviour.

    Subclasses are dataclasses: their fields are the hyper-parameters, `seed: int = 0` among them. Everything learned
    is an attribute whose name ends in `_` and holds an array: after `fit` the judge keeps those arrays and nothing
    else, and a fresh process restores them before the first test bin is sent.

    inputs: Streams that the decoder wants, e.g. ("spikes",).
    causal: False for a decoder with `predict` only; it is ranked on the offline track alone.
    deterministic: True if the seed changes nothing; one seed is then enough.
    checkpoint: Where long training notes how far it is, and from where it could go on.
    """

    inputs: ClassVar[tuple[str, ...]] = ()
    causal: ClassVar[bool] = True
    deterministic: ClassVar[bool] = False
    checkpoint: ClassVar[Checkpoint] = Checkpoint()

    @abc.abstractmethod
    def fit(self, train: Sequence[Recording], validation: Sequence[Recording]) -> None:
        """Learn from `train`; choose hyper-parameters on `validation` only."""

    @abc.abstractmethod
    def reset(self, session: SessionInfo) -> None:
        """Forget: a segment of this session starts."""

    @abc.abstractmethod
    def step(self, bin: Bin) -> np.ndarray:
        """Answer one bin from what was seen since `reset`.

        Args:
            bin: Stream name -> (n_units,) or (samples_per_bin, n_channels) float32.

        Returns:
            (n_outputs,) finite numbers: targets in their own unit, or class scores.
        """

    def pretrain(self, recordings: Sequence[Recording]) -> None:  # noqa: B027
        """Learn once per suite and seed from the suite's pretraining sessions, before any `fit`."""

    def pretrained_by(self) -> "Decoder | None":
        """A decoder whose pretraining this one begins with, such as a teacher's.

        It is done once for all that name an equal one; its seed is this decoder's. What its `state` gives is restored
        into this decoder, before `pretrain` if that is written here, and before `fit`.
        """
        return None

    def adapt(self, recording: Recording) -> None:  # noqa: B027
        """Adjust to a new session from the few labelled minutes that the suite gives."""

    def delay(self) -> Delay:
        """Of which bin an answer speaks; by default of the bin that has just ended."""
        return Delay()

    def cost(self, session: SessionInfo) -> Cost:
        """Declare the operations of one bin, where they cannot be counted."""
        raise NotImplementedError(f"{type(self).__name__} declares no cost for session {session.id}")

    def predict(self, inputs: Inputs, session: SessionInfo) -> np.ndarray:
        """Decode a whole stream at once; must equal `reset` and `step`, which is what this default runs.

        Returns:
            (n_bins, n_outputs) float32.
        """
        outputs = np.empty((len(inputs), len(session.outputs)), np.float32)
        for k, (starts, bin) in enumerate(inputs.bins()):
            if starts:
                self.reset(session)
            outputs[k] = self.step(bin)
        return outputs

    def state(self) -> dict[str, np.ndarray]:
        """Everything learned: name -> array. By default the attributes whose name ends in `_`."""
        return {k: np.asarray(v) for k, v in vars(self).items() if k.endswith("_") and not k.startswith("_")}

    def restore(self, state: Mapping[str, np.ndarray], sessions: Sequence[SessionInfo]) -> None:
        """Undo `state` in a fresh process.

        Args:
            state: What `state` returned.
            sessions: The sessions that the decoder was fitted on, for those who build a network from their shapes.
        """
        for name, value in state.items():
            setattr(self, name, value)

    def parameters(self) -> dict[str, Any]:
        """The hyper-parameters: field name -> value."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}  # type: ignore[arg-type]

"""A decoder of rows behind a front that makes them: how the decoders of counts serve the local field potential."""

import abc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from baselines.lfp.features import Front
from harness import Bin, Decoder, Inputs, Recording, SessionInfo, StreamInfo

ROWS = "rows"
PREFIX = "front."


@dataclass
class Fronted(Decoder):
    """Features first, then a decoder that reads them as if they were counts.

    Training rows are made once and then serve every candidate that the decoder behind tries.
    """

    seed: int = 0

    @abc.abstractmethod
    def learn_front(self, recordings: Sequence[Recording]) -> Front:
        """A front from training recordings."""

    @abc.abstractmethod
    def front_of(self, arrays: Mapping[str, np.ndarray]) -> Front:
        """The front again, from its arrays."""

    @abc.abstractmethod
    def behind(self, bin_s: float) -> Decoder:
        """A new decoder of the stream `ROWS`, with this one's seed."""

    def fit(self, train: Sequence[Recording], validation: Sequence[Recording]) -> None:
        self._front, self._behind = self.learn_front(train), self.behind(train[0].session.bin_s)
        self._behind.fit([self._rows_of(r) for r in train], [self._rows_of(r) for r in validation])

    def reset(self, session: SessionInfo) -> None:
        self._front.reset()
        self._behind.reset(self._as_rows(session))

    def step(self, bin: Bin) -> np.ndarray:
        return self._behind.step({ROWS: self._front.row(bin[self.inputs[0]])})

    def predict(self, inputs: Inputs, session: SessionInfo) -> np.ndarray:
        rows = self._front.rows(inputs.streams[self.inputs[0]], inputs)
        return self._behind.predict(replace(inputs, streams={ROWS: rows}), self._as_rows(session))

    def state(self) -> dict[str, np.ndarray]:
        return {PREFIX + name: array for name, array in self._front.arrays().items()} | self._behind.state()

    def restore(self, state: Mapping[str, np.ndarray], sessions: Sequence[SessionInfo]) -> None:
        arrays = {k.removeprefix(PREFIX): v for k, v in state.items() if k.startswith(PREFIX)}
        self._front, self._behind = self.front_of(arrays), self.behind(sessions[0].bin_s)
        learned = {k: v for k, v in state.items() if not k.startswith(PREFIX)}
        self._behind.restore(learned, [self._as_rows(s) for s in sessions])

    def _rows_of(self, recording: Recording) -> Recording:
        rows = self._front.rows(recording.inputs.streams[self.inputs[0]], recording.inputs)
        inputs = replace(recording.inputs, streams={ROWS: rows})
        return replace(recording, session=self._as_rows(recording.session), inputs=inputs)

    def _as_rows(self, session: SessionInfo) -> SessionInfo:
        n_channels = session.streams[self.inputs[0]].n_channels
        return replace(session, streams={ROWS: StreamInfo(self._front.n_features(n_channels))})

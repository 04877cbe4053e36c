"""`from_sklearn`: a scikit-learn pipeline of windows, as MOABB has them, made into a streaming decoder."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from harness.adapters.plain import Kept, is_estimator, read, write
from harness.adapters.windows import Band, Window, bins_of, cut, stream_of
from harness.decoder import Decoder
from harness.errors import DecoderError
from harness.types import Bin, Recording, SessionInfo

FLAT = 1e-12
"""In the stream's own unit: a window without any larger sample holds nothing to decode."""
CLOSE = 1e-6
"""Of the largest score: how near a pipeline put together from its arrays must come to the one that was fitted."""


def from_sklearn(
    make_pipeline: Callable[[], Any],
    window_s: float,
    *,
    stream: str = "eeg",
    band_hz: Band | None = None,
    name: str | None = None,
) -> "type[WindowPipeline]":
    """A decoder class around a scikit-learn pipeline, which sees the last `window_s` at every bin.

    Classification: the pipeline is fitted on X (n_trials, n_channels, n_samples) float64 and y (n_trials,) int, places
    in `session.outputs`, of the windows that end at scored bins of train and validation; it answers with its
    `decision_function`, else its `predict_proba`, else its `predict`. Regression: y is (n_windows, n_outputs), and it
    answers with `predict`. Arguments `random_state` that are None become the seed.

    Where the window is not yet full, what is missing is the first sample, or zeros of a stream of counts. Where a
    window is flat, or is not yet full and the pipeline raises ValueError, the answer is the mean one of training.

    Args:
        make_pipeline: Makes the unfitted pipeline, each time a new one.
        window_s: Length of a window in seconds, rounded to whole bins.
        stream: Which stream.
        band_hz: Low and high edge of a causal band-pass before the windows are cut; None for none.
        name: Of the class.

    Returns:
        A dataclass with the fields `seed`, `window_s`, `band_hz` and `most_windows`.
    """
    fields: list[Any] = [("window_s", float, window_s), ("band_hz", Band | None, band_hz)]
    body = {"inputs": (stream,), "make_pipeline": staticmethod(make_pipeline), "__doc__": WindowPipeline.__doc__}
    made = dataclasses.make_dataclass(name or "Pipeline", fields, bases=(WindowPipeline,), namespace=body)
    made.__module__ = make_pipeline.__module__
    return made


@dataclass
class WindowPipeline(Decoder):
    """A scikit-learn pipeline on the last seconds of one stream.

    window_s: Length of the window.
    band_hz: Edges of the causal band-pass in front of it, or None.
    most_windows: Training uses at most so many windows, evenly spread.
    """

    deterministic = True
    make_pipeline: ClassVar[Callable[[], Any]]
    window_s: ClassVar[float]
    band_hz: ClassVar[Band | None]
    seed: int = 0
    most_windows: int = 5000

    def fit(self, train: Sequence[Recording], validation: Sequence[Recording]) -> None:
        """Fit the pipeline on all that is labelled: there is nothing here to choose on `validation`."""
        session = train[0].session
        parts, stream = [*train, *validation], self.inputs[0]
        x, targets = cut(parts, stream, self._window, ends=lambda r: r.scored, most=self.most_windows)
        y = targets.argmax(axis=1) if session.kind == "classification" else targets.astype(np.float64)
        fitted = self._fresh().fit(x, y)
        self.labels_ = np.unique(y) if session.kind == "classification" else np.zeros(0, np.int64)
        self._hold(write(fitted, self._fresh(), is_estimator))
        answers = self._scores(x, session)
        expected = scores(fitted, x, labels=self.labels_, n_outputs=len(session.outputs))
        if not np.abs(answers - expected).max() <= CLOSE * np.abs(expected).max():
            raise DecoderError(
                f"{type(fitted).__name__}, put together again from its arrays, answers the training windows otherwise: "
                f"it keeps what it learned outside its attributes; use other parts, or write a Decoder of your own"
            )
        self.mean_ = answers.mean(axis=0)

    def reset(self, session: SessionInfo) -> None:
        self.session, self.window = session, self._window(session)

    def step(self, bin: Bin) -> np.ndarray:
        window = self.window.push(bin[self.inputs[0]])
        if not np.abs(window).max() > FLAT:
            return np.array(self.mean_)
        try:
            return np.asarray(self._scores(window[None], self.session)[0])
        except ValueError:
            # A window that repeats one sample has a covariance without full rank, which some pipelines cannot answer.
            if self.window.is_full:
                raise
            return np.array(self.mean_)

    def state(self) -> dict[str, np.ndarray]:
        return super().state() | self.kept.to_state()

    def restore(self, state: Mapping[str, np.ndarray], sessions: Sequence[SessionInfo]) -> None:
        super().restore({k: v for k, v in state.items() if k.endswith("_")}, sessions)
        self._hold(Kept.from_state(state))

    def _hold(self, kept: Kept) -> None:
        """The fitted decoder answers from what is kept, as a restored one will: to the last bit."""
        self.kept = kept
        self.pipeline = read(kept, self._fresh(), is_estimator)

    def _fresh(self) -> Any:
        pipeline = type(self).make_pipeline()
        drawn = [k for k, v in pipeline.get_params().items() if k.rpartition("__")[2] == "random_state" and v is None]
        return pipeline.set_params(**dict.fromkeys(drawn, self.seed))

    def _window(self, session: SessionInfo) -> Window:
        return Window(stream_of(session, self.inputs[0]), bins_of(self.window_s, session.bin_s), self.band_hz)

    def _scores(self, x: np.ndarray, session: SessionInfo) -> np.ndarray:
        return scores(self.pipeline, x, labels=self.labels_, n_outputs=len(session.outputs))


def scores(pipeline: Any, x: np.ndarray, *, labels: np.ndarray, n_outputs: int) -> np.ndarray:
    """What a fitted pipeline answers.

    Args:
        pipeline: The pipeline.
        x: (n_windows, n_channels, n_samples).
        labels: (n_labels,) which outputs it was trained with, in order; empty for regression.
        n_outputs: How many there are.

    Returns:
        (n_windows, n_outputs); an output without a training example is below all others.
    """
    if not len(labels):
        return np.asarray(pipeline.predict(x), np.float64).reshape(len(x), n_outputs)
    known = _label_scores(pipeline, x, labels)
    every = np.repeat(known.min(axis=1, keepdims=True) - 1, n_outputs, axis=1)
    every[:, labels] = known
    return every


def _label_scores(pipeline: Any, x: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(n_windows, n_labels), from the first method that gives one number for each label."""
    for method in ("decision_function", "predict_proba"):
        if not hasattr(pipeline, method):
            continue
        found = np.asarray(getattr(pipeline, method)(x), np.float64)
        if found.ndim == 1 and len(labels) == 2:
            found = np.stack([-found, found], axis=1)
        if found.shape == (len(x), len(labels)):
            return found
    return np.asarray(np.asarray(pipeline.predict(x))[:, None] == labels, np.float64)

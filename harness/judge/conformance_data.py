"""Tiny made-up recordings for `harness check`: real enough to learn from, with the traps of real ones.

Channel 0 is silent in training and validation and speaks up in the test part; the behaviour is missing for a while.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness.types import Inputs, Recording, SessionInfo, StreamInfo

BIN_S = 0.02
N_UNITS = 20
SAMPLES_PER_BIN = 10
SCALP = ("Fz", "FC3", "FC4", "C3", "Cz", "C4", "CP3", "CP4")
# Networks train for a fixed number of updates, so their time grows with these; a class needs some trials.
N_TRAIN = {"regression": 500, "classification": 1500}
N_VALIDATION = {"regression": 200, "classification": 450}
N_TEST = 400
SECOND_SEGMENT = 230
TRIAL_BINS, CUE_AT, DECISION_AT = 150, 25, 125
UNMEASURED = slice(100, 160)


@dataclass(frozen=True)
class Data:
    """One session's parts. The test part has two segments, the second from bin `SECOND_SEGMENT` on."""

    train: Recording
    validation: Recording
    test: Recording
    pretraining: Recording


def make_data(inputs: Sequence[str], *, with_gaps: bool = True, seed: int = 0) -> Data:
    """Make the parts of a session that has the streams of `inputs`.

    Args:
        inputs: Stream names: `spikes` are counts, `cue` marks trials, any other name is a signal.
        with_gaps: Whether targets are NaN wherever no bin is scored, and a stretch is not scored.
        seed: Of the whole session.
    """
    rng = np.random.default_rng(seed)
    session = make_session(inputs)
    mixing = {
        name: rng.normal(size=(2, info.n_channels))
        for name, info in (*session.streams.items(), ("spikes", _stream_info("spikes")))
    }
    train, validation, pretraining = (
        _recording(session, mixing, n_bins[session.kind], rng) for n_bins in (N_TRAIN, N_VALIDATION, N_VALIDATION)
    )
    for part in (train, validation, pretraining):
        _silence(part)
    if with_gaps:
        train, validation = _with_gaps(train), _with_gaps(validation)
    test = _recording(session, mixing, N_TEST, rng)
    test.inputs.starts[SECOND_SEGMENT] = True
    elsewhere = dataclasses.replace(session, id="check-pretraining", subject="other")
    return Data(train, validation, test, dataclasses.replace(pretraining, session=elsewhere))


def make_session(inputs: Sequence[str]) -> SessionInfo:
    """A session with these streams: of classification if it has a cue or EEG, else of velocity."""
    classes = "cue" in inputs or "eeg" in inputs
    return SessionInfo(
        id="check",
        subject="made-up",
        streams={name: _stream_info(name) for name in inputs},
        bin_s=BIN_S,
        outputs=("left", "right") if classes else ("vx", "vy"),
        kind="classification" if classes else "regression",
    )


def noise_from(inputs: Inputs, start: int, stop: int | None = None, *, seed: int = 1) -> Inputs:
    """The same inputs with bins [start, stop) replaced by doubled, shuffled values of the whole."""
    rng = np.random.default_rng(seed)
    streams = {name: values.copy() for name, values in inputs.streams.items()}
    for values in streams.values():
        values[start:stop] = 2 * rng.choice(values.ravel(), values[start:stop].shape)
    return Inputs(streams, inputs.starts, inputs.bin_s)


def joined(first: Inputs, second: Inputs) -> Inputs:
    """One stretch after the other."""
    streams = {name: np.concatenate([values, second.streams[name]]) for name, values in first.streams.items()}
    return Inputs(streams, np.concatenate([first.starts, second.starts]), first.bin_s)


def _stream_info(name: str) -> StreamInfo:
    if name == "spikes":
        return StreamInfo(N_UNITS, channels=tuple(f"unit{i}" for i in range(N_UNITS)))
    if name == "cue":
        return StreamInfo(1, unit="1", channels=("cue",))
    names = SCALP if name == "eeg" else tuple(f"{name}{i}" for i in range(len(SCALP)))
    n = _samples_per_bin(name)
    return StreamInfo(len(names), n, n / BIN_S, "uV", names)


def _samples_per_bin(name: str) -> int:
    """A stream called `lfp` has one sample in a bin, as in the suites; other signals have some."""
    return 1 if name == "lfp" else SAMPLES_PER_BIN


def _recording(
    session: SessionInfo, mixing: Mapping[str, np.ndarray], n_bins: int, rng: np.random.Generator
) -> Recording:
    """A stretch with all bins measured; `spikes` are privileged where they are no input."""
    in_trial = np.arange(n_bins) % TRIAL_BINS
    if session.kind == "classification":
        i_class = np.arange(n_bins) // TRIAL_BINS % 2
        targets, scored = np.eye(2)[i_class], in_trial == DECISION_AT
        latent = (targets - 0.5) * (in_trial > CUE_AT)[:, None]
    else:
        targets = latent = _smooth(rng.normal(size=(n_bins, 2)))
        scored = np.ones(n_bins, bool)
    made = {name: _values(name, latent @ mix, rng) for name, mix in mixing.items()}
    starts = np.zeros(n_bins, bool)
    starts[0] = True
    streams = {name: made[name] for name in session.streams}
    privileged = {} if "spikes" in streams else {"spikes": made["spikes"]}
    return Recording(session, Inputs(streams, starts, BIN_S), targets.astype(np.float32), scored, privileged)


def _values(name: str, drive: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One stream from its drive (n_bins, n_channels): float32, shaped as in `Inputs`."""
    if name == "cue":
        return np.asarray(np.arange(len(drive)) % TRIAL_BINS == CUE_AT, np.float32)[:, None]
    if name == "spikes":
        return np.asarray(rng.poisson(np.clip(0.6 + 0.4 * drive, 0, 4)), np.float32)
    noise = rng.normal(size=(len(drive), _samples_per_bin(name), drive.shape[1]))
    return np.asarray(20 * (drive[:, None] + noise), np.float32)


def _smooth(white: np.ndarray) -> np.ndarray:
    """(n_bins, n) white noise -> noise of unit variance with a memory of 20 bins."""
    kernel = 0.95 ** np.arange(100)
    columns = [np.convolve(column, kernel)[: len(white)] for column in white.T]
    return np.asarray(np.stack(columns, axis=1) / np.linalg.norm(kernel))


def _silence(part: Recording) -> None:
    for name, values in part.inputs.streams.items():
        if name != "cue":
            values[..., 0] = 0


def _with_gaps(part: Recording) -> Recording:
    scored = part.scored.copy()
    scored[UNMEASURED] = False
    return dataclasses.replace(part, scored=scored, targets=np.where(scored[:, None], part.targets, np.float32(np.nan)))

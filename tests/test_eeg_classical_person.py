"""Classical EEG decoders on a person's recordings: each run of imagery tested once, fitted on the other two."""

import importlib.util

import numpy as np
import pytest

from baselines.eeg.riemann import TangentSpace
from harness import Inputs, Recording, SessionInfo, StreamInfo

RATE, SAMPLES = 160, 16
EACH_TASK = pytest.mark.parametrize(
    "runs, at_2_s, at_3_s",
    [((4, 8, 12), 0.80, 0.70), ((6, 10, 14), 0.85, 0.93)],
    ids=["left or right", "fists or feet"],
)


@pytest.fixture(scope="module")
def edf(realdata):
    """What reads one run's file: run number -> (signals, annotations)."""
    spec = importlib.util.spec_from_file_location("edf_read", realdata / "edf_read.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return lambda number: module.read_edf(realdata / "eegmmidb" / f"S001R{number:02d}.edf")[1:]


def recording(signals, notes):
    """A run as the suite cuts it: bins of 100 ms, labels for 4 s after the cue, the decision 2 s after it."""
    eeg = np.stack([s["digital"] * s["gain"] + s["offset"] for s in signals], axis=1).astype(np.float32)
    n_bins = len(eeg) // SAMPLES
    known_at = SAMPLES * np.arange(1, n_bins + 1)
    targets, scored = np.full((n_bins, 2), np.nan, np.float32), np.zeros(n_bins, bool)
    for onset_s, _, code in notes:
        if code != "T0":
            cue = round(onset_s * RATE)
            targets[(known_at - SAMPLES >= cue) & (known_at <= cue + 4 * RATE)] = [code == "T1", code == "T2"]
            scored[np.flatnonzero(known_at <= cue + 2 * RATE)[-1]] = True
    info = StreamInfo(64, SAMPLES, float(RATE), "uV", tuple(s["label"] for s in signals))
    session = SessionInfo("S001", "S001", {"eeg": info}, 0.1, ("first", "second"), "classification")
    inputs = Inputs({"eeg": eeg[: n_bins * SAMPLES].reshape(n_bins, SAMPLES, -1)}, np.arange(n_bins) == 0, 0.1)
    return Recording(session, inputs, targets, scored)


@pytest.mark.long
@EACH_TASK
def test_imagery_is_told_apart_as_well_as_is_known(edf, runs, at_2_s, at_3_s):
    parts, right = [recording(*edf(number)) for number in runs], {20: [], 30: []}
    for i, test in enumerate(parts):
        decoder = TangentSpace()
        decoder.fit([parts[i - 2]], [parts[i - 1]])
        answers = decoder.predict(test.inputs, test.session).argmax(axis=1)
        for n_bins, found in right.items():
            decisions = np.flatnonzero(test.scored)
            found += zip(test.targets[decisions].argmax(axis=1), answers[decisions + n_bins - 20], strict=True)
    accuracies = [np.mean([np.mean([a == k for y, a in found if y == k]) for k in (0, 1)]) for found in right.values()]
    assert accuracies[0] >= at_2_s
    assert accuracies[1] >= at_3_s

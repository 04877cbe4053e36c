"""PhysioNet's EEG Motor Movement/Imagery Dataset: EDF runs of one subject become one NWB file.

Schalk, McFarland, Hinterberger, Birbaumer, Wolpaw 2004, doi:10.1109/TBME.2004.827072; data doi:10.13026/C28G6P.
Runs 3 to 14 are four kinds of run, three times over: a movement of one fist, its imagery, a movement of both fists or
both feet, its imagery. In each, a rest (T0) comes before each of 15 cues (T1 or T2).
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from harness.data.edf import Edf, read_edf
from harness.data.nwb_eeg import EegRecording, EegRun, Trial, write_eeg
from harness.errors import BadData, Excluded

VERSION = 1
"""Of this conversion; to be raised with any change of what it, or `write_eeg`, puts into a file."""

RATE_HZ = 160.0
SHORTEST_RUN_S = 120.0
N_CUED = 15
SHORTEST_TRIAL_S = 4.0
TOUCH_S = 1e-6

_ROWS = (
    "FC5 FC3 FC1 FCz FC2 FC4 FC6 C5 C3 C1 Cz C2 C4 C6 CP5 CP3 CP1 CPz CP2 CP4 CP6",
    "Fp1 Fpz Fp2 AF7 AF3 AFz AF4 AF8 F7 F5 F3 F1 Fz F2 F4 F6 F8 FT7 FT8 T7 T8 T9 T10 TP7 TP8",
    "P7 P5 P3 P1 Pz P2 P4 P6 P8 PO7 PO3 POz PO4 PO8 O1 Oz O2 Iz",
)
CHANNELS = tuple(name for row in _ROWS for name in row.split())
"""Of every file, in this order; the files write `Fc5.` for FC5."""

IMAGINED_RUNS = (4, 6, 8, 10, 12, 14)
FIST_RUNS = (3, 4, 7, 8, 11, 12)
REST = "rest"
_ONE_FIST = {"T0": REST, "T1": "left_fist", "T2": "right_fist"}
_FISTS_OR_FEET = {"T0": REST, "T1": "both_fists", "T2": "both_feet"}


def convert(files: Sequence[Path], to: Path, *, subject: str, runs: Sequence[int]) -> None:
    """Write the runs of a subject as one NWB file, complete or absent.

    Args:
        files: The EDF file of each run.
        to: The new file.
        subject: Its name in the data set, `S001`.
        runs: The number of each run, 3 to 14.

    Raises:
        Excluded: If a run is not as the data set's description says.
        BadData: If a file cannot be read.
    """
    write_eeg(to, recording_of(files, subject=subject, runs=runs))


def recording_of(files: Sequence[Path], *, subject: str, runs: Sequence[int]) -> EegRecording:
    """Read the runs of a subject; arguments and errors as in `convert`."""
    numbers = ", ".join(map(str, runs))
    session_id = f"eegmmidb-{subject}-runs-{'-'.join(map(str, runs))}"
    return EegRecording(
        session_id=session_id,
        subject=subject,
        identifier=f"{session_id}-conversion-{VERSION}",
        description=f"EEG Motor Movement/Imagery Dataset 1.0.0, PhysioNet: subject {subject}, runs {numbers}",
        rate_hz=RATE_HZ,
        channels=CHANNELS,
        microvolts_per_count=1.0,
        runs=[read_run(file, run, name=f"{subject}R{run:02d}") for file, run in zip(files, runs, strict=True)],
        keywords=("EEG", "motor imagery", "brain-computer interface"),
    )


def read_run(path: Path, number: int, *, name: str) -> EegRun:
    """Read one run, if the rule of exclusion lets it pass.

    A run is excluded if its rate is not 160 Hz, if it is shorter than 120 s, if it has not 15 cued trials, if one of
    them is shorter than 4 s or ends with the run before that, or if its channels, their unit or its notes are others.

    Raises:
        Excluded: Saying which part of the rule it breaks.
        BadData: If the file cannot be read.
    """
    try:
        edf = read_edf(path)
    except BadData as error:
        raise BadData(f"{name}: {error}") from error  # in the cache, a path does not say whose file it is
    _check(edf, name)
    trials = _trials(edf, number, name)
    cued = [trial for trial in trials if trial.label != REST]
    if len(cued) != N_CUED:
        raise _excluded(name, f"it has {len(cued)} cued trials, not {N_CUED}")
    shortest = min(cued, key=lambda trial: trial.duration_s)
    if shortest.duration_s < SHORTEST_TRIAL_S - TOUCH_S:
        raise _excluded(
            name,
            f"its trial at {shortest.start_s:g} s has {shortest.duration_s:g} s, less than {SHORTEST_TRIAL_S:g} s",
        )
    return EegRun(number, number in IMAGINED_RUNS, edf.counts, trials)


def _excluded(name: str, why: str) -> Excluded:
    return Excluded(f"{name} is excluded by the rule for this data set: {why}")


def _check(edf: Edf, name: str) -> None:
    """Rate, length, channels and unit."""
    run_s = len(edf.counts) / edf.rate_hz
    if edf.rate_hz != RATE_HZ:
        raise _excluded(name, f"its sampling rate is {edf.rate_hz:g} Hz, not {RATE_HZ:g} Hz")
    if run_s < SHORTEST_RUN_S:
        raise _excluded(name, f"it lasts {run_s:g} s, less than {SHORTEST_RUN_S:g} s")
    channels = [label.rstrip(".").upper() for label in edf.labels]
    if channels != [channel.upper() for channel in CHANNELS]:
        strange = sorted(set(channels) - {channel.upper() for channel in CHANNELS})
        what = f"among them {strange[0]}" if strange else "missing some or in another order"
        raise _excluded(name, f"its {len(channels)} channels are not the {len(CHANNELS)} of the data set, {what}")
    if set(edf.units) != {"uV"} or not np.allclose(edf.unit_per_count, 1) or not np.allclose(edf.offset, 0):
        raise _excluded(name, f"a count is not one microvolt (units {', '.join(sorted(set(edf.units)))})")


def _trials(edf: Edf, number: int, name: str) -> list[Trial]:
    """The notes of a run as trials, cut where the run ends; a note that begins there is none."""
    labels = _ONE_FIST if number in FIST_RUNS else _FISTS_OR_FEET
    run_s = len(edf.counts) / edf.rate_hz
    trials = []
    for note in edf.annotations:
        if note.text not in labels:
            raise _excluded(name, f"it has the note {note.text!r} at {note.onset_s:g} s, not {' or '.join(labels)}")
        duration_s = min(note.duration_s, run_s - note.onset_s)
        if note.onset_s >= 0 and duration_s > 0:
            trials.append(Trial(note.onset_s, duration_s, labels[note.text]))
    return trials

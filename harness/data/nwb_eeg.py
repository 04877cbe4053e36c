"""Writing the EEG of one subject as NWB: all runs one after the other, their trials, and what the channels are called.

The paths below are where a suite's layout finds things, in converted and in simulated files alike.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.errors import BadData

if TYPE_CHECKING:
    from pynwb import NWBFile

EEG_PATH = "acquisition/eeg"
TRIALS_PATH = "intervals/trials"
RUNS_PATH = "intervals/runs"
LABELS = ("rest", "left_fist", "right_fist", "both_fists", "both_feet")

RUN_GAP_S = 10.0
"""From the end of a run to the start of the next: how long the pauses really were is not recorded."""
TICK_S = 0.1
"""A run starts at a multiple of this, so that bins of this width begin where it begins."""

NO_DATE = datetime(2000, 1, 1, tzinfo=UTC)
CHUNK_SAMPLES = 8192
VOLTS_PER_MICROVOLT = 1e-6
TOUCH_S = 1e-6
"""A trial may end this much after its run: times are floats."""


@dataclass(frozen=True)
class Trial:
    """One stretch of a run, in seconds from the start of the run; `label` is one of LABELS."""

    start_s: float
    duration_s: float
    label: str


@dataclass(frozen=True)
class EegRun:
    """One uninterrupted recording: counts (n_samples, n_channels) int16; `number` is its number at the source."""

    number: int
    imagined: bool
    counts: np.ndarray
    trials: Sequence[Trial]


@dataclass(frozen=True)
class EegRecording:
    """Runs of one subject, in their order.

    identifier: Unique in the world, and the same each time that the file is made.
    truth: JSON that no decoder is shown; of simulated files alone.
    started: None where nobody knows the date.
    positions_um: (n_channels, 3) of the electrodes in micrometres: +x posterior, +y inferior, +z right, as NWB has it.
        None where nobody measured them: the file then has no positions.
    positions_from: How they were come by, for the file's description of them.
    """

    session_id: str
    subject: str
    identifier: str
    description: str
    rate_hz: float
    channels: Sequence[str]
    microvolts_per_count: float
    runs: Sequence[EegRun]
    truth: str = ""
    keywords: Sequence[str] = ()
    started: datetime | None = None
    positions_um: np.ndarray | None = None
    positions_from: str = ""


def write_eeg(path: Path, recording: EegRecording) -> None:
    """Write a file under a temporary name beside `path`, then rename it: it is complete or absent.

    The same recording gives the same bytes with the same versions of the libraries.

    Raises:
        BadData: If counts, channels and trials do not fit together.
    """
    from pynwb import NWBHDF5IO

    from harness.data.nwb_pack import name_objects

    _check(recording)
    nwb = _file(recording)
    starts_s = run_starts_s([len(run.counts) for run in recording.runs], recording.rate_hz)
    _add_signal(nwb, recording, starts_s)
    _add_trials(nwb, recording, starts_s)
    if recording.truth:
        nwb.add_scratch(recording.truth, name="ground_truth", description="JSON: parameters and best reachable scores")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.nwb")
    try:
        with NWBHDF5IO(temporary, "w") as io:
            io.write(nwb)
        name_objects(temporary, recording.identifier)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def run_starts_s(n_samples: Sequence[int], rate_hz: float) -> list[float]:
    """When each run starts: RUN_GAP_S after the end of the one before, then at the next multiple of TICK_S.

    Args:
        n_samples: Of each run.
        rate_hz: Samples per second.
    """
    starts_s, start_s = [], 0.0
    for n in n_samples:
        starts_s.append(start_s)
        # rounded first, lest 135.00000000000003 s become 135.1 s
        ticks = np.ceil(round((start_s + n / rate_hz + RUN_GAP_S) / TICK_S, 6))
        start_s = float(np.round(ticks * TICK_S, 6))
    return starts_s


def _check(recording: EegRecording) -> None:
    if not recording.runs:
        raise BadData(f"{recording.session_id} has no run; give one at least")
    _check_positions(recording)
    for run in recording.runs:
        name, shape = f"{recording.session_id}, run {run.number}", run.counts.shape
        if run.counts.dtype != np.int16 or run.counts.ndim != 2 or shape[1] != len(recording.channels) or not shape[0]:
            raise BadData(
                f"{name}: counts are {shape} {run.counts.dtype}, where (n_samples, {len(recording.channels)}) int16 "
                f"belong; give one column for each channel"
            )
        for trial in run.trials:
            _check_trial(name, trial, run_s=shape[0] / recording.rate_hz)


def _check_positions(recording: EegRecording) -> None:
    positions_um, needed = recording.positions_um, (len(recording.channels), 3)
    if positions_um is not None and positions_um.shape != needed:
        raise BadData(
            f"{recording.session_id}: positions_um are {positions_um.shape}, where {needed} belong; give x, y and z of "
            f"each channel, or None where they are not known"
        )


def _check_trial(name: str, trial: Trial, *, run_s: float) -> None:
    if trial.label not in LABELS:
        raise BadData(f"{name}: trial {trial.label!r} at {trial.start_s:g} s; known labels: {', '.join(LABELS)}")
    if not (trial.start_s >= 0 and trial.duration_s > 0 and trial.start_s + trial.duration_s <= run_s + TOUCH_S):
        raise BadData(
            f"{name}: trial of {trial.duration_s:g} s at {trial.start_s:g} s does not lie in the run's {run_s:g} s; "
            f"correct or cut its times"
        )


def _file(recording: EegRecording) -> "NWBFile":
    from pynwb import NWBFile
    from pynwb.file import Subject

    simulated = bool(recording.truth)
    started = recording.started or NO_DATE
    pauses = f"How long the pauses between runs were is not recorded: they are {RUN_GAP_S:g} s here."
    return NWBFile(
        session_description=recording.description,
        identifier=recording.identifier,
        session_id=recording.session_id,
        session_start_time=started,
        file_create_date=[started],
        keywords=list(recording.keywords) or None,
        notes=pauses if recording.started else f"The start time is a placeholder: the date is not known. {pauses}",
        subject=Subject(
            subject_id=recording.subject,
            species="Homo sapiens",
            sex="U",
            description="Simulated: nobody was recorded." if simulated else "Age and sex are not published.",
        ),
    )


def _add_signal(nwb: "NWBFile", recording: EegRecording, starts_s: Sequence[float]) -> None:
    from pynwb.ecephys import ElectricalSeries

    _add_electrodes(nwb, recording)
    counts = np.concatenate([run.counts for run in recording.runs])
    times_s = np.concatenate(
        [
            start_s + np.arange(len(r.counts)) / recording.rate_hz
            for r, start_s in zip(recording.runs, starts_s, strict=True)
        ]
    )
    nwb.add_acquisition(
        ElectricalSeries(
            name="eeg",
            description=f"EEG at {recording.rate_hz:g} Hz, one run after the other; see intervals/runs",
            data=_packed(counts, (min(CHUNK_SAMPLES, len(counts)), counts.shape[1])),
            electrodes=nwb.create_electrode_table_region(list(range(counts.shape[1])), "all channels"),
            timestamps=_packed(times_s, (min(CHUNK_SAMPLES, len(counts)),)),
            conversion=recording.microvolts_per_count * VOLTS_PER_MICROVOLT,
            filtering="none but the amplifier's: as recorded",
        )
    )


def _add_electrodes(nwb: "NWBFile", recording: EegRecording) -> None:
    device = nwb.create_device("eeg", description="electrodes on the scalp")
    from_where = f"; positions: {recording.positions_from}" if recording.positions_um is not None else ""
    group = nwb.create_electrode_group(
        "scalp", description=f"all electrodes{from_where}", location="scalp", device=device
    )
    nwb.add_electrode_column("channel_name", "the place in the 10-10 system")
    for i, name in enumerate(recording.channels):
        known = {} if recording.positions_um is None else dict(zip("xyz", recording.positions_um[i], strict=True))
        nwb.add_electrode(group=group, location="scalp", channel_name=name, **known)


def _packed(values: np.ndarray, chunks: tuple[int, ...]) -> Any:
    from hdmf.backends.hdf5 import H5DataIO

    return H5DataIO(values, compression="gzip", compression_opts=1, shuffle=True, chunks=chunks)


def _add_trials(nwb: "NWBFile", recording: EegRecording, starts_s: Sequence[float]) -> None:
    from pynwb.epoch import TimeIntervals

    nwb.add_trial_column("class", f"what the subject did or imagined: {', '.join(LABELS)}")
    nwb.add_trial_column("imagined", "whether the run is one of imagery, not of movement")
    nwb.add_trial_column("run", "number of the run at the source")
    for row in _trial_rows(recording, starts_s):
        nwb.add_trial(**row)
    runs = TimeIntervals(name="runs", description="stretches without interruption; [start, stop) in seconds")
    runs.add_column("run", "number of the run at the source")
    for run, start_s in zip(recording.runs, starts_s, strict=True):
        stop_s = start_s + len(run.counts) / recording.rate_hz
        runs.add_interval(start_time=start_s, stop_time=stop_s, run=run.number)
    nwb.add_time_intervals(runs)


def _trial_rows(recording: EegRecording, starts_s: Sequence[float]) -> Iterator[dict[str, Any]]:
    """The rows of the table of trials, in the file's time."""
    for run, start_s in zip(recording.runs, starts_s, strict=True):
        for trial in run.trials:
            begins_s = start_s + trial.start_s
            yield {
                "start_time": begins_s,
                "stop_time": begins_s + trial.duration_s,
                "class": trial.label,
                "imagined": run.imagined,
                "run": run.number,
            }

"""A simulated EEG recording from its parameters to its NWB file."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harness.data.nwb_eeg import EegRecording, EegRun, Trial, write_eeg
from harness.data.simulate_eeg.montage import CHANNELS, electrode_positions_um
from harness.data.simulate_eeg.noise import RATE_HZ
from harness.data.simulate_eeg.parameters import GENERATOR_VERSION, Parameters, parse, spec_sha256
from harness.data.simulate_eeg.recording import STEP_UV, SimulatedRun, draw_cap, simulate
from harness.data.simulate_eeg.schedule import RUN_S, Schedule
from harness.data.simulate_eeg.subject import AREAS, BANDS, draw_subject
from harness.data.simulate_eeg.truth import best_scores

TRUTH_STEP_S = 0.1


def write_recording(path: Path, parameters: Mapping[str, Any], *, session_id: str, subject: str) -> None:
    """Simulate a recording and write it as NWB; the file appears under its name only when it is complete.

    Args:
        path: The file to write, `.nwb`.
        parameters: As in `Parameters`; what is left out has its default.
        session_id: Written into the file.
        subject: Written into the file.

    Raises:
        UsageError: If a parameter is unknown or out of range.
    """
    checked = parse(parameters)
    runs = simulate(checked)
    recording = EegRecording(
        session_id=session_id,
        subject=subject,
        identifier=f"{session_id}-{spec_sha256(parameters)[:16]}",
        description=(
            f"SIMULATED motor imagery, generator version {GENERATOR_VERSION}; parameters: {checked.model_dump_json()}"
        ),
        rate_hz=RATE_HZ,
        channels=CHANNELS,
        microvolts_per_count=STEP_UV,
        runs=[EegRun(run.plan.number, True, run.counts, trials(run.plan)) for run in runs],
        truth=truth(checked, runs),
        keywords=("simulated", "EEG", "motor imagery", "neural decoding"),
        positions_um=electrode_positions_um(),
        positions_from="by the angles of the 10-10 system, on a sphere of 90 mm: the simulated head",
    )
    write_eeg(path, recording)


def trials(plan: Schedule) -> list[Trial]:
    """Rest and imagery in turn, from the start of the run to its end."""
    rest_from_s = [0.0, *plan.ends_s.tolist()]
    rest_to_s = [*plan.cues_s.tolist(), RUN_S]
    rest = [
        Trial(start_s, round(stop_s - start_s, 1), "rest")
        for start_s, stop_s in zip(rest_from_s, rest_to_s, strict=True)
    ]
    imagery = [
        Trial(float(cue_s), round(float(end_s - cue_s), 1), label)
        for cue_s, end_s, label in zip(plan.cues_s, plan.ends_s, plan.labels, strict=True)
    ]
    return sorted(rest + imagery, key=lambda trial: trial.start_s)


def truth(parameters: Parameters, runs: Sequence[SimulatedRun]) -> str:
    """JSON of what is known: the subject, bad electrodes, the best scores, and how imagery moved each source."""
    subject, every = draw_subject(parameters), round(TRUTH_STEP_S * RATE_HZ)
    return json.dumps(
        {
            "generator_version": GENERATOR_VERSION,
            "parameters": parameters.model_dump(mode="json"),
            "best_scores": best_scores(parameters, subject, runs),
            "subject": subject.facts(),
            "bad_electrodes": {CHANNELS[bad.channel]: bad.kind for bad in draw_cap(parameters).bad},
            "faulty_runs": [number for number in parameters.runs if parameters.faulty(number)],
            "motor_sources": [f"{area} {band}" for area in AREAS for band in BANDS],
            "modulation_step_s": TRUTH_STEP_S,
            "log_amplitude_modulation": {
                str(run.plan.number): np.round(run.modulation[:, ::every], 2).tolist() for run in runs
            },
        }
    )

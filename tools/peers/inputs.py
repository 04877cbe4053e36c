"""Made-up recordings that this project and its peers all read: `write(folder)`. Seeded; nobody's data.

A session like MC_RTT for nlb_tools, one like FALCON's M2, one in O'Doherty's layout for NeuroBench, and subjects of
motor imagery as arrays for MOABB and as NWB for us.
"""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from pynwb import NWBHDF5IO, NWBFile, TimeSeries
from pynwb.behavior import BehavioralTimeSeries

from harness.data.nwb_eeg import EegRecording, EegRun, Trial, write_eeg
from tests.mat_files import recording

SEED = 1
RTT, MAT = "rtt.nwb", "indy_20000101_01.mat"
M2 = "sub-MonkeyN-held-in-calib_ses-2020-10-19-Run1_behavior+ecephys.nwb"
"""Named as FALCON's are, for it reads the run out of the name."""
N_UNITS, RTT_S, TRIAL_S = 130, 600, 0.6
N_CHANNELS, N_BINS, BIN_S = 96, 20_000, 0.02
MAT_SAMPLES = 75_000
SUBJECTS, RUNS, TRIALS, RATE_HZ = ("S1",), 3, 30, 160.0
FIRST_CUE_S, PERIOD_S, CUE_S = 4.2, 8.3, 4.1
EEG = ("FC3", "FCz", "FC4", "C5", "C3", "C1", "Cz", "C2", "C4", "C6", "CP3", "CP1", "CPz", "CP2", "CP4", "Pz")
SIDES = ("left_fist", "right_fist")


def write(folder: Path) -> None:
    """All of them, into a folder that exists; about 100 MB."""
    rng = np.random.default_rng(SEED)
    write_rtt(folder / RTT, rng)
    write_m2(folder, rng)
    recording(seed=SEED, n_samples=MAT_SAMPLES).write(folder / MAT)
    for subject in SUBJECTS:
        write_subject(folder, subject, rng)


def write_rtt(path: Path, rng: np.random.Generator) -> None:
    """130 units at some 20 Hz, 600 s, positions at 1 kHz with timestamps, trials side by side."""
    nwb = _file("rtt")
    nwb.add_unit_column("heldout", "whether a unit is held out")
    for i in range(N_UNITS):
        ticks = np.sort(rng.integers(0, RTT_S * 30_000, 20 * RTT_S))
        nwb.add_unit(spike_times=ticks / 30_000, obs_intervals=[[0.0, float(RTT_S)]], heldout=i >= 98)
    nwb.add_trial_column("split", "train or val")
    for k in range(round(RTT_S / TRIAL_S)):
        nwb.add_trial(start_time=k * TRIAL_S, stop_time=(k + 1) * TRIAL_S, split="val" if k % 5 == 4 else "train")
    times_s = np.arange(RTT_S * 1000) / 1000
    position = 40 * np.sin(np.outer(times_s, [1.3, 0.9]) + rng.uniform(0, 6, 2))
    module = nwb.create_processing_module("behavior", "movement")
    module.add(TimeSeries(name="cursor_pos", data=position, unit="mm", timestamps=times_s, comments="columns=[x,y]"))
    _save(nwb, path)


def write_m2(folder: Path, rng: np.random.Generator) -> None:
    """FALCON's M2: 96 units, 20 000 bins of 20 ms, two finger velocities; and its counts and a decoder as arrays."""
    counts = rng.poisson(0.3, (N_BINS, N_CHANNELS)).astype(np.uint8)
    decoder = rng.normal(0, 0.1, (N_CHANNELS, 2)).astype(np.float32)
    np.savez(folder / "m2.npz", counts=counts, decoder=decoder)
    nwb = _file("m2")
    for unit in counts.T:
        # In the middle of its bin, where no rule for edges can put it elsewhere.
        nwb.add_unit(spike_times=(np.repeat(np.arange(N_BINS), unit) + 0.5) * BIN_S)
    for k in range(0, N_BINS, 200):
        nwb.add_trial(start_time=k * BIN_S, stop_time=(k + 200) * BIN_S)
    times_s = np.arange(N_BINS) * BIN_S
    velocity = counts @ decoder + rng.normal(0, 0.3, (N_BINS, 2))
    of = BehavioralTimeSeries(name="finger_vel")
    for name, values in zip(("index", "mrs"), velocity.T, strict=True):
        of.add_timeseries(TimeSeries(name=name, data=values, unit="AU", timestamps=times_s))
    nwb.add_acquisition(of)
    nwb.add_acquisition(TimeSeries(name="eval_mask", data=np.ones(N_BINS, bool), unit="", timestamps=times_s))
    _save(nwb, folder / M2)


def write_subject(folder: Path, subject: str, rng: np.random.Generator) -> None:
    """Three runs of 30 trials of 16 channels at 160 Hz; 12 Hz at C3 and C4 is weaker opposite to the imagined hand."""
    n = round((FIRST_CUE_S + TRIALS * PERIOD_S + 1) * RATE_HZ)
    cues_s, runs, labels = FIRST_CUE_S + PERIOD_S * np.arange(TRIALS), [], []
    mixing = rng.normal(0, 0.3, (len(EEG), len(EEG))) + np.eye(len(EEG))
    for number in range(1, RUNS + 1):
        sides = rng.permuted(np.resize([0, 1], TRIALS))
        rhythm = 120 * np.sin(2 * np.pi * 12 * np.arange(n) / RATE_HZ + rng.normal(0, 0.05, (2, n)).cumsum(axis=1))
        for cue_s, side in zip(cues_s, sides, strict=True):
            inside = slice(round(cue_s * RATE_HZ), round((cue_s + CUE_S) * RATE_HZ))
            rhythm[1 - side, inside] *= rng.uniform(0.1, 0.9)
        values = rng.normal(0, 60, (n, len(EEG))) @ mixing
        values[:, [EEG.index("C3"), EEG.index("C4")]] += rhythm.T
        trials = [Trial(float(t), CUE_S, SIDES[s]) for t, s in zip(cues_s, sides, strict=True)]
        runs.append(EegRun(number, True, values.astype(np.int16), trials))
        labels.append(sides)
    np.savez(
        folder / f"{subject}.npz", counts=np.stack([r.counts for r in runs]), cues_s=cues_s, sides=np.stack(labels)
    )
    write_eeg(folder / f"{subject}.nwb", EegRecording(subject, subject, subject, "made up", RATE_HZ, EEG, 1.0, runs))


def _file(name: str) -> NWBFile:
    return NWBFile(session_description="made up", identifier=name, session_start_time=datetime(2000, 1, 1, tzinfo=UTC))


def _save(nwb: NWBFile, path: Path) -> None:
    with NWBHDF5IO(path, "w") as io:
        io.write(nwb)

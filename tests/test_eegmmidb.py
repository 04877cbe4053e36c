"""EDF runs of the motor data set become one NWB file: what is in it, and which recordings stay out."""

import json

import h5py
import numpy as np
import pytest

from harness.data import nwb_pack
from harness.data.eegmmidb import CHANNELS, convert, read_run, recording_of
from harness.data.nwb_eeg import EEG_PATH, RUNS_PATH, TRIALS_PATH, EegRecording, EegRun, Trial, run_starts_s, write_eeg
from harness.data.nwb_file import open_nwb
from harness.data.nwb_series import read_signal
from harness.data.nwb_tables import read_trials
from harness.data.nwb_write import read_truth
from harness.data.protocol import SignalAt
from harness.errors import BadData, Excluded
from tests.edf_files import motor_notes, motor_run

# What the new file holds


def small(**changes) -> EegRecording:
    """Two runs of three channels, the second a sample longer."""
    rng = np.random.default_rng(0)
    runs = [
        EegRun(4, True, rng.integers(-99, 99, (800, 3), np.int16), [Trial(0, 2, "rest"), Trial(2.1, 2.5, "left_fist")]),
        EegRun(9, False, rng.integers(-99, 99, (801, 3), np.int16), [Trial(1, 4.00625, "both_feet")]),
    ]
    given = {"channels": ("FC5", "Cz", "Iz"), "microvolts_per_count": 0.5, "runs": runs} | changes
    return EegRecording("s", "S001", "i", "d", rate_hz=160.0, **given)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "eeg.nwb"


def test_the_signal_comes_back_in_microvolts_with_its_channels_names(path):
    write_eeg(path, small())
    with open_nwb(path) as nwb:
        signal = read_signal(nwb, SignalAt(path=EEG_PATH))
        last = read_signal(nwb, SignalAt(path=EEG_PATH, columns=(2,)))
    assert (signal.names, signal.unit, last.names) == (("FC5", "Cz", "Iz"), "uV", ("Iz",))
    assert np.array_equal(signal.values, np.concatenate([run.counts for run in small().runs]))
    assert np.allclose(signal.scale, 0.5) and signal.offset == 0


def test_positions_of_electrodes_are_written_where_they_are_known(path, tmp_path):
    positions_um = np.arange(9.0).reshape(3, 3)
    write_eeg(path, small(positions_um=positions_um, positions_from="made up"))
    write_eeg(tmp_path / "unknown.nwb", small())
    with h5py.File(path) as known, h5py.File(tmp_path / "unknown.nwb") as unknown:
        written = known["general/extracellular_ephys/electrodes"]
        assert np.array_equal(np.stack([written[axis][:] for axis in "xyz"], axis=1), positions_um)
        assert known["general/extracellular_ephys/scalp"].attrs["description"].endswith("positions: made up")
        assert not {"x", "y", "z"} & set(unknown["general/extracellular_ephys/electrodes"])


def test_positions_of_other_electrodes_are_refused(path):
    with pytest.raises(BadData, match=r"positions_um are \(2, 3\), where \(3, 3\) belong; give x, y and z"):
        write_eeg(path, small(positions_um=np.zeros((2, 3))))


def test_runs_and_trials_lie_where_their_samples_are(path):
    write_eeg(path, small())
    with open_nwb(path) as nwb:
        times_s = read_signal(nwb, SignalAt(path=EEG_PATH)).times_s
        trials, runs = read_trials(nwb, TRIALS_PATH), read_trials(nwb, RUNS_PATH)
    assert np.allclose(times_s, np.concatenate([np.arange(800) / 160, 15 + np.arange(801) / 160]), atol=1e-12)
    assert (runs["run"].tolist(), runs["start_time"].tolist(), runs["stop_time"].tolist()) == (
        [4, 9],
        [0, 15],
        [5, 20.00625],
    )
    assert trials["class"].tolist() == ["rest", "left_fist", "both_feet"]
    assert np.allclose(trials["start_time"], [0, 2.1, 16]) and np.allclose(trials["stop_time"], [2, 4.6, 20.00625])
    assert (trials["imagined"].tolist(), trials["run"].tolist()) == ([True, True, False], [4, 4, 9])


@pytest.mark.parametrize(
    "n_samples, expected_s",
    [
        ([20000] * 3, [0, 135, 270]),
        ([19680, 20000, 160], [0, 133, 268]),
        ([1, 1], [0, 10.1]),
        ([16, 17, 1], [0, 10.1, 20.3]),
    ],
)
def test_a_run_starts_at_a_tenth_of_a_second_at_least_ten_seconds_after_the_last(n_samples, expected_s):
    assert run_starts_s(n_samples, 160.0) == expected_s


def test_the_file_is_valid_and_the_same_bytes_each_time(path):
    from pynwb import validate

    write_eeg(path, small())
    first = path.read_bytes()
    write_eeg(path, small())
    assert path.read_bytes() == first and not validate(path=path)


def test_only_a_simulated_file_holds_a_truth(path):
    write_eeg(path, small(truth=json.dumps({"accuracy": 0.9})))
    assert read_truth(path) == {"accuracy": 0.9}
    write_eeg(path, small())
    assert read_truth(path) == {}


def test_a_write_that_fails_leaves_nothing(path, monkeypatch):
    monkeypatch.setattr(nwb_pack, "name_objects", lambda *given: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_eeg(path, small())
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize(
    "run, words",
    [
        (EegRun(4, True, np.zeros((9, 2), np.int16), []), r"run 4: counts are \(9, 2\) int16, where"),
        (EegRun(4, True, np.zeros((9, 3)), []), r"counts are \(9, 3\) float64"),
        (EegRun(4, True, np.zeros((160, 3), np.int16), [Trial(0, 0.5, "tongue")]), "trial 'tongue' at 0 s; known"),
        (EegRun(4, True, np.zeros((160, 3), np.int16), [Trial(0.8, 0.3, "rest")]), "does not lie in the run's 1 s"),
        (EegRun(4, True, np.zeros((160, 3), np.int16), [Trial(float("nan"), 0.3, "rest")]), "trial of 0.3 s at nan s"),
    ],
)
def test_what_does_not_fit_together_is_not_written(path, run, words):
    with pytest.raises(BadData, match=words):
        write_eeg(path, small(runs=[run]))
    assert not path.exists()


# What a run is, and which are excluded


def edf(tmp_path, **changes):
    path = tmp_path / "run.edf"
    path.write_bytes(motor_run(**changes))
    return path


@pytest.mark.parametrize(
    "number, imagined, classes",
    [
        (3, False, ["left_fist", "right_fist"]),
        (4, True, ["left_fist", "right_fist"]),
        (5, False, ["both_fists", "both_feet"]),
        (6, True, ["both_fists", "both_feet"]),
        (12, True, ["left_fist", "right_fist"]),
        (13, False, ["both_fists", "both_feet"]),
        (14, True, ["both_fists", "both_feet"]),
    ],
)
def test_the_number_of_a_run_says_what_its_cues_mean(tmp_path, number, imagined, classes):
    run = read_run(edf(tmp_path), number, name="r")
    assert run.imagined == imagined and run.counts.shape == (20000, 64)
    assert [trial.label for trial in run.trials[:4]] == ["rest", classes[0], "rest", classes[0]]
    assert run.trials[5] == Trial(20.8, 4.1, classes[1]) and len(run.trials) == 30


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"rate_hz": 128}, "S001R04 is excluded by the rule .*: its sampling rate is 128 Hz, not 160 Hz"),
        ({"n_s": 119, "notes": motor_notes(n_cued=14)}, "it lasts 119 s, less than 120 s"),
        ({"notes": motor_notes(n_cued=14)}, "it has 14 cued trials, not 15"),
        ({"n_s": 135, "notes": motor_notes(n_cued=16)}, "it has 16 cued trials, not 15"),
        ({"notes": motor_notes(trial_s=3.9)}, "its trial at 4.2 s has 3.9 s, less than 4 s"),
        ({"n_s": 124}, "its trial at 120.4 s has 3.6 s, less than 4 s"),
        (
            {"labels": CHANNELS[::-1]},
            "its 64 channels are not the 64 of the data set, missing some or in another order",
        ),
        ({"labels": ["EMG", *CHANNELS[1:]]}, "among them EMG"),
        ({"low": -800, "high": 800}, "a count is not one microvolt"),
        ({"unit": "mV"}, r"a count is not one microvolt \(units mV\)"),
        ({"notes": [*motor_notes(), (124.6, 0.2, "T3")]}, "it has the note 'T3' at 124.6 s, not T0 or T1 or T2"),
    ],
)
def test_a_run_that_breaks_the_rule_is_excluded_with_the_reason(tmp_path, changes, words):
    with pytest.raises(Excluded, match=words):
        read_run(edf(tmp_path, **changes), 4, name="S001R04")


def test_a_run_that_cannot_be_read_is_no_excluded_one_and_is_named(tmp_path):
    path = edf(tmp_path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(BadData, match="S001R04: .*run.edf is cut short") as refused:
        read_run(path, 4, name="S001R04")
    assert not isinstance(refused.value, Excluded)


def test_a_rest_that_goes_on_after_the_last_sample_ends_there(tmp_path):
    notes = [*motor_notes(), (124.5, 4.2, "T0")]
    run = read_run(edf(tmp_path, notes=notes), 4, name="r")
    assert run.trials[-1] == Trial(124.5, 0.5, "rest")


def test_no_file_is_left_of_a_subject_one_of_whose_runs_is_excluded(tmp_path):
    good, bad, made = tmp_path / "good.edf", tmp_path / "bad.edf", tmp_path / "made"
    good.write_bytes(motor_run())
    bad.write_bytes(motor_run(n_s=100, notes=[]))
    made.mkdir()
    with pytest.raises(Excluded, match="S007R08 is excluded"):
        convert([good, bad], made / "S007.nwb", subject="S007", runs=[4, 8])
    assert list(made.iterdir()) == []


# Real recordings


def test_all_runs_of_a_real_subject_are_what_an_independent_reader_reads(tmp_path, realdata):
    mne = pytest.importorskip("mne")
    files = {run: realdata / "eegmmidb" / f"S001R{run:02d}.edf" for run in range(3, 15)}
    convert(list(files.values()), tmp_path / "S001.nwb", subject="S001", runs=list(files))
    with open_nwb(tmp_path / "S001.nwb") as nwb:
        signal, trials = read_signal(nwb, SignalAt(path=EEG_PATH)), read_trials(nwb, TRIALS_PATH)
        runs = read_trials(nwb, RUNS_PATH)
    for run, start_s, stop_s in zip(runs["run"], runs["start_time"], runs["stop_time"], strict=True):
        raw = mne.io.read_raw_edf(files[run], preload=True, verbose="error")
        of_run = slice(*np.searchsorted(signal.times_s, [start_s, stop_s]))
        mine = trials["run"] == run
        assert np.allclose(signal.values[of_run].T * signal.scale[0], raw.get_data() * 1e6, atol=1e-6)
        assert [name.upper() for name in signal.names] == [name.rstrip(".").upper() for name in raw.ch_names]
        assert np.allclose(trials["start_time"][mine] - start_s, raw.annotations.onset)
        assert np.allclose((trials["stop_time"] - trials["start_time"])[mine], raw.annotations.duration)
        second = "right_fist" if run in (3, 4, 7, 8, 11, 12) else "both_feet"
        assert [text == "T2" for text in raw.annotations.description] == (trials["class"][mine] == second).tolist()
        assert set(trials["imagined"][mine]) == {run % 2 == 0}


def test_the_trials_of_a_real_subject_are_as_many_as_were_counted(realdata):
    files = {run: realdata / "eegmmidb" / f"S001R{run:02d}.edf" for run in (4, 6, 8, 10, 12, 14)}
    recording = recording_of(list(files.values()), subject="S001", runs=list(files))
    labels = [trial.label for run in recording.runs for trial in run.trials]
    counted = {"rest": 90, "left_fist": 23, "right_fist": 22, "both_fists": 21, "both_feet": 24}
    assert {label: labels.count(label) for label in counted} == counted

"""The EEG generator against what it claims: seeds, timing, classes that only motor sources know, faults, the file."""

import dataclasses
import functools
from pathlib import Path

import numpy as np
import pytest

from harness.data import generators, simulate
from harness.data.nwb_write import read_truth
from harness.data.simulate_eeg import parameters, parse, recording, spec_sha256, write_recording
from harness.data.simulate_eeg.montage import CHANNELS, electrode_positions_um
from harness.data.simulate_eeg.noise import RATE_HZ
from harness.data.simulate_eeg.schedule import schedule
from harness.data.simulate_eeg.subject import draw_subject, topographies
from harness.data.simulate_eeg.truth import Discriminant, balanced_accuracy
from harness.data.sources import Simulated
from harness.errors import UsageError

ONE_RUN = {"runs": (4,), "bad_electrodes": 0}
REAL = Path(__file__).parents[2] / "shared/realdata/eegmmidb/sub-S001_task-motor_eeg.nwb"


def one_run(**given):
    return recording.simulate(parse({**ONE_RUN, **given}))[0]


@functools.cache
def known_run(**given):
    return one_run(**given)


@pytest.mark.parametrize(
    "given, named",
    [
        ({"minutes": 3}, "minutes"),
        ({"strength": -1}, "strength"),
        ({"runs": (3,)}, "4, 6, 8"),
        ({"runs": (8, 4)}, "rising order"),
        ({"faults": {"kill": 0.5}}, "faults.kill"),
        ({"faults": {"from_run": 3}}, "from_run"),
    ],
)
def test_a_parameter_that_is_unknown_or_out_of_range_is_refused_by_name(given, named):
    with pytest.raises(UsageError, match=named):
        parse(given)


def test_the_hash_sees_every_parameter_and_fills_in_defaults():
    assert spec_sha256({}) == spec_sha256({"runs": [4, 8, 12], "faults": {}})
    changed = [{}, {"subject_seed": 1}, {"session": 1}, {"strength": 0.5}, {"faults": {"noise_uv": 1.0}}, {"drift": 0}]
    assert len({spec_sha256(given) for given in changed}) == len(changed)


def test_the_hash_sees_the_code_of_the_generator_and_of_the_writer():
    names = {path.name for path in parameters.source_files()}
    assert {"recording.py", "subject.py", "imagery.py", "background.py", "nwb_eeg.py"} <= names


@pytest.mark.parametrize("generator, spec", [("reaching", simulate.spec_sha256), ("motor-imagery", spec_sha256)])
def test_a_suite_names_the_generator_whose_hash_and_file_it_gets(generator, spec):
    source = Simulated(host="simulated", generator=generator, parameters={"subject_seed": 3})
    assert generators.spec_sha256(source) == spec({"subject_seed": 3})


def test_the_same_parameters_give_the_same_counts_and_other_seeds_give_others():
    first, again = known_run().counts, one_run().counts
    assert first.shape == (20_000, 64) and first.dtype == np.int16
    assert np.array_equal(first, again)
    for other in (known_run(subject_seed=1), known_run(session=1), known_run(runs=(8,))):
        assert np.abs(np.corrcoef(first[:, 8], other.counts[:, 8])[0, 1]) < 0.3


def test_a_run_is_the_same_whatever_others_are_in_the_file():
    both = recording.simulate(parse({**ONE_RUN, "runs": (4, 8)}))
    assert np.array_equal(both[1].counts, known_run(runs=(8,)).counts)


def test_a_subject_is_the_same_in_all_its_sessions_and_runs_and_unlike_others():
    subjects = [
        draw_subject(parse({"subject_seed": seed, "session": session})) for seed, session in ((1, 0), (1, 4), (2, 0))
    ]
    assert subjects[0].facts() == subjects[1].facts() != subjects[2].facts()


def test_subjects_differ_in_strength_and_keep_to_their_bands():
    subjects = [draw_subject(parse({"subject_seed": seed})) for seed in range(60)]
    strength = np.array([subject.strength for subject in subjects])
    assert np.std(np.log(strength)) == pytest.approx(0.5, abs=0.1)
    mu_hz, beta_hz = np.array([subject.motor.frequency_hz for subject in subjects]).reshape(60, 3, 2).T[:, 0]
    assert 7.5 < mu_hz.min() < 9.5 and 11.5 < mu_hz.max() < 13.5
    assert 17 < beta_hz.min() < 20 and 23 < beta_hz.max() < 26


def test_cues_come_when_they_come_in_the_data_set():
    h5py = pytest.importorskip("h5py")
    if not REAL.exists():
        pytest.skip(f"the real recording {REAL.name} is not beside the repository")
    with h5py.File(REAL) as file:
        trials = file["intervals/trials"]
        cued = (trials["run"][:] == 4) & (trials["label"].asstr()[:] != "rest")
        starts_s = trials["start_time"][:][cued] - trials["start_time"][:][trials["run"][:] == 4].min()
    assert np.allclose(known_run().plan.cues_s, starts_s, atol=1e-6)


@pytest.mark.parametrize("number, movements", [(4, {"left_fist", "right_fist"}), (6, {"both_fists", "both_feet"})])
def test_a_run_cues_seven_or_eight_of_each_movement_in_an_order_of_its_own(number, movements):
    plans = [schedule(number, np.random.default_rng(seed)) for seed in range(2)]
    assert all(sorted(plan.labels.count(movement) for movement in movements) == [7, 8] for plan in plans)
    assert plans[0].labels != plans[1].labels


def with_labels(monkeypatch, swap, **given):
    """One run whose classes are exchanged and in which nothing else is."""
    real = recording.schedule
    names = {"left_fist": "right_fist", "right_fist": "left_fist"} if swap else {}

    def changed(number, rng):
        plan = real(number, rng)
        return dataclasses.replace(plan, labels=tuple(names.get(label, label) for label in plan.labels))

    monkeypatch.setattr(recording, "schedule", changed)
    run = one_run(**given)
    monkeypatch.setattr(recording, "schedule", real)
    return run


def test_without_strength_the_classes_leave_no_trace_at_all(monkeypatch):
    as_cued, exchanged = (with_labels(monkeypatch, swap, strength=0.0) for swap in (False, True))
    assert as_cued.plan.labels != exchanged.plan.labels
    assert np.array_equal(as_cued.counts, exchanged.counts)


def test_the_classes_are_in_nothing_but_the_six_motor_sources(monkeypatch):
    strong = {"subject_seed": 3, "drift": 0.0}
    as_cued, exchanged = (with_labels(monkeypatch, swap, **strong) for swap in (False, True))
    difference = as_cued.counts.astype(float) - exchanged.counts
    assert np.abs(difference[: round(4.2 * RATE_HZ)]).max() == 0  # nothing before the first cue
    cap, subject = (draw(parse({**ONE_RUN, **strong})) for draw in (recording.draw_cap, draw_subject))
    seen = cap.gain[:, None] * topographies(subject.motor, cap.electrodes)
    beyond = difference.T - seen @ np.linalg.lstsq(seen, difference.T, rcond=None)[0]
    assert (difference.T - beyond).std() > 0.6
    assert np.abs(beyond).max() < 4 and beyond.std() < 0.5  # two roundings to whole microvolts


def test_imagery_of_a_hand_lowers_the_sources_on_the_other_side_more():
    run = known_run(strength=2.0)
    after = [run.modulation[:, round((cue_s + 2) * RATE_HZ)] for cue_s in run.plan.cues_s]
    right = np.mean([a for a, label in zip(after, run.plan.labels, strict=True) if label == "right_fist"], axis=0)
    left = np.mean([a for a, label in zip(after, run.plan.labels, strict=True) if label == "left_fist"], axis=0)
    assert right[0] < right[2] < 0 and left[2] < left[0] < 0  # mu on the left, mu on the right
    assert right[1] < right[3] < 0 and left[3] < left[1] < 0  # beta


def test_faster_waves_come_back_stronger_after_a_trial():
    run = known_run(strength=2.0)
    rebound = np.array([run.modulation[:, round((end_s + 1.2) * RATE_HZ)] for end_s in run.plan.ends_s[:-1]])
    assert rebound[:, [1, 3]].max(axis=1).mean() > 0.05


def test_the_discriminant_is_fishers():
    rng = np.random.default_rng(0)
    features, labels = rng.normal(size=(400, 2)), np.repeat(["a", "b"], 200)
    features[200:] += [1.0, 2.0]
    model = Discriminant(features, labels)
    direction = model.weights[:, 1] - model.weights[:, 0]
    assert direction / np.linalg.norm(direction) == pytest.approx(np.array([1, 2]) / np.sqrt(5), abs=0.15)
    assert balanced_accuracy(labels, model.labels_of(features)) == pytest.approx(0.868, abs=0.04)  # normal at sqrt(5)/2


@pytest.mark.parametrize(
    "faults, changed",
    [
        ({"kill_fraction": 0.25}, lambda well, ill: np.sum(np.all(ill == 0, axis=0)) == 16),
        ({"noise_uv": 50.0}, lambda well, ill: np.std(ill.astype(float) - well) == pytest.approx(50, rel=0.03)),
        ({"gain_shift": 0.5}, lambda well, ill: 0.3 < np.std(np.log(ill.std(axis=0) / well.std(axis=0))) < 0.7),
        ({"topography_drift": 0.9}, lambda well, ill: 1 < np.std(ill.astype(float) - well) < well.std()),
    ],
)
def test_a_fault_strikes_the_last_run_alone(faults, changed):
    ill = recording.simulate(parse({**ONE_RUN, "runs": (4, 8), "faults": faults}))
    assert np.array_equal(known_run().counts, ill[0].counts)
    assert changed(known_run(runs=(8,)).counts, ill[1].counts)


def test_a_fault_may_begin_with_the_first_run():
    ill = one_run(faults={"kill_fraction": 1.0, "from_run": 0})
    assert not ill.counts.any()


def test_bad_electrodes_are_as_many_as_asked_for_and_the_others_stay_as_they_are():
    good, bad = known_run(), one_run(bad_electrodes=5)
    differ = np.flatnonzero(np.any(good.counts != bad.counts, axis=0))
    named = [electrode.channel for electrode in recording.draw_cap(parse({**ONE_RUN, "bad_electrodes": 5})).bad]
    assert sorted(named) == differ.tolist() and len(named) == 5


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    path = tmp_path_factory.mktemp("eeg") / "a.nwb"
    write_recording(path, {"runs": [4, 8], "bad_electrodes": 0}, session_id="a-0", subject="a")
    return path


def test_pynwb_reads_back_what_was_simulated(written):
    from pynwb import NWBHDF5IO

    runs = [known_run(), known_run(runs=(8,))]
    with NWBHDF5IO(written, "r") as io:
        nwb = io.read()
        eeg = nwb.acquisition["eeg"]
        assert np.array_equal(eeg.data[:], np.concatenate([run.counts for run in runs]))
        assert eeg.conversion == pytest.approx(1e-6)
        assert tuple(nwb.electrodes["channel_name"][:]) == CHANNELS
        assert np.array_equal(nwb.electrodes.to_dataframe()[["x", "y", "z"]], electrode_positions_um())
        trials = nwb.trials.to_dataframe()
    cued = trials[trials["class"] != "rest"]
    assert cued["class"].tolist() == [label for run in runs for label in run.plan.labels]
    assert cued["start_time"].to_numpy()[:15] == pytest.approx(runs[0].plan.cues_s)
    assert np.allclose(trials["stop_time"].to_numpy()[:30], trials["start_time"].to_numpy()[1:31])  # no gap in a run


def test_the_file_states_what_sources_would_give_and_how_imagery_moved_them(written):
    scores = simulate.best_score(written)
    assert set(scores) == {"source_amplitudes", "source_amplitudes_expected"}
    assert 0.6 < scores["source_amplitudes_expected"] <= 1 and 0.5 < scores["source_amplitudes"] <= 1
    truth = read_truth(written)
    assert np.array(truth["log_amplitude_modulation"]["8"]).shape == (6, 1250)
    assert truth["parameters"]["runs"] == [4, 8] and truth["subject"]["strength"] > 0


def test_without_strength_even_the_sources_say_nothing(tmp_path):
    write_recording(tmp_path / "z.nwb", {"strength": 0.0, "runs": [4]}, session_id="z", subject="z")
    assert simulate.best_score(tmp_path / "z.nwb")["source_amplitudes_expected"] == pytest.approx(0.5, abs=0.09)


def test_a_write_that_fails_leaves_no_file(tmp_path):
    with pytest.raises(UsageError):
        write_recording(tmp_path / "x.nwb", {"runs": [5]}, session_id="x", subject="x")
    assert list(tmp_path.iterdir()) == []

"""The generator against what it claims: closed forms, dead times, rates, seeds, and a best score that is the best."""

import json

import numpy as np
import pytest

from harness.data.nwb_write import read_truth
from harness.data.simulate import best_score, parameters, parse, spec_sha256, write_session
from harness.data.simulate.behaviour import PAD_S, RATE_HZ, minimum_jerk, simulate_behaviour
from harness.data.simulate.latents import N_LATENTS, subject_dynamics
from harness.data.simulate.linear_gaussian import linear_gaussian_model, linear_gaussian_session, position_m
from harness.data.simulate.parameters import random_stream
from harness.data.simulate.population import session_population
from harness.data.simulate.session import simulate
from harness.data.simulate.spikes import (
    DETECTOR_DEAD_S,
    REFRACTORY_S,
    cell_train,
    inhomogeneous_poisson,
    with_dead_time,
)
from harness.data.simulate.truth import closed_form_r2, kalman_filter, kalman_optimum, r2, scored_bins
from harness.errors import UsageError

SMALL = {"minutes": 0.5, "n_units": 12, "areas": ["M1", "S1"]}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    path = tmp_path_factory.mktemp("simulated") / "small.nwb"
    write_session(path, SMALL, session_id="small-0", subject="small")
    return path


def history(counts, n_bins):
    past = [np.roll(counts, k, axis=0) for k in range(n_bins)]
    return np.hstack([*past, np.ones((len(counts), 1))])


def linear_r2(features, targets, test_start, penalty=100.0):
    x, y = features[20:test_start], targets[20:test_start]
    weights = np.linalg.solve(x.T @ x + penalty * np.eye(x.shape[1]), x.T @ y)
    return r2(targets[test_start:], features[test_start:] @ weights)


@pytest.mark.parametrize(
    "given", [{"units": 3}, {"minutes": -1}, {"n_units": 0}, {"faults": {"kill": 0.5}}, {"task": "maze"}]
)
def test_a_parameter_that_is_unknown_or_out_of_range_is_refused_by_name(given):
    with pytest.raises(UsageError, match=next(iter(given))):
        parse(given)


def test_the_linear_gaussian_variant_takes_no_faults():
    with pytest.raises(UsageError, match="optimum"):
        parse({"variant": "linear-gaussian", "faults": {"noise_hz": 5}})


def test_the_hash_sees_every_parameter_and_fills_in_defaults():
    assert spec_sha256({}) == spec_sha256({"minutes": 4, "faults": {}})
    changed = [{}, {"subject_seed": 1}, {"session": 1}, {"faults": {"noise_hz": 1.0}}, {"task": "centre-out"}]
    assert len({spec_sha256(given) for given in changed}) == len(changed)


def test_minimum_jerk_has_the_textbook_peak_speed_and_the_least_jerk():
    phase = np.linspace(0, 1, 2001)
    way = minimum_jerk(phase)
    assert np.allclose([way[0], way[1000], way[-1]], [0, 0.5, 1])
    assert np.max(np.gradient(way, phase)) == pytest.approx(1.875, abs=1e-4)  # 15/8 of the mean speed
    sixth = np.polynomial.Polynomial.fit(phase, way, 6).convert().coef
    assert np.allclose(sixth, [0, 0, 0, 10, -15, 6, 0], atol=1e-6)  # its sixth derivative, the jerk's Euler term, is 0


def test_the_cursor_ends_every_reach_on_its_target():
    parameters = parse({"minutes": 1})
    behaviour = simulate_behaviour(parameters, np.random.default_rng(3))
    rows = [(round((r.stop_s + PAD_S) * RATE_HZ) - 1, r.target_m) for r in behaviour.reaches]
    rows = [(i, target) for i, target in rows if i < len(behaviour.cursor_m)]
    missed_m = [np.linalg.norm(behaviour.cursor_m[i] - target) for i, target in rows]
    assert len(missed_m) > 30
    assert np.mean(np.array(missed_m) < 0.0075 + 3 * 0.0006 * np.sqrt(2)) > 0.95  # radius, and a hand not quite still


def test_centre_out_targets_alternate_with_the_centre_and_wait_for_the_cue():
    reaches = simulate_behaviour(parse({"minutes": 1, "task": "centre-out"}), np.random.default_rng(0)).reaches
    distances_m = [np.linalg.norm(r.target_m) for r in reaches]
    assert np.allclose(distances_m[0::2], 0.08) and np.allclose(distances_m[1::2], 0)
    assert all(r.go_cue_s - r.start_s >= 0.4 for r in reaches[0::2])
    assert all(r.pieces[0].onset_s > r.go_cue_s for r in reaches)


def test_dead_time_keeps_what_a_slow_loop_keeps():
    times_s = np.sort(np.random.default_rng(0).uniform(0, 1, 2000))
    kept = [times_s[0]]
    for t in times_s[1:]:
        if t - kept[-1] >= 0.002:
            kept.append(t)
    assert np.array_equal(with_dead_time(times_s, 0.002), kept)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_a_cell_keeps_its_mean_rate_and_never_its_refractory_period_short(order):
    rng = np.random.default_rng(order)
    train = cell_train(np.full(200 * 600, 40.0), order, rng)
    assert np.diff(train).min() >= REFRACTORY_S
    assert len(train) / 600 == pytest.approx(40.0, rel=0.03)
    assert np.std(np.diff(train)) / np.mean(np.diff(train)) == pytest.approx(1 / np.sqrt(order), abs=0.09)


def test_a_poisson_process_follows_its_rate():
    rate_hz = np.repeat([5.0, 50.0, 0.0], 40_000)
    counts = np.histogram(inhomogeneous_poisson(rate_hz, np.random.default_rng(0)), [0, 200, 400, 600])[0]
    assert counts == pytest.approx([1000, 10_000, 0], rel=0.1)


def test_channels_fire_at_the_requested_rates_and_respect_the_detector():
    simulated = simulate(parse({"minutes": 3, "n_units": 40}))
    wanted_hz = simulated.population.rate_hz.sum(axis=1) + simulated.population.crossings_hz
    found_hz = np.array([len(t) for t in simulated.spikes_s]) / 180
    assert np.abs(found_hz / wanted_hz - 1).max() < 0.15
    assert np.sum(found_hz) == pytest.approx(np.sum(wanted_hz), rel=0.03)
    assert min(np.diff(t).min() for t in simulated.spikes_s) > DETECTOR_DEAD_S - 1e-9


def test_the_same_parameters_give_the_same_arrays_and_another_session_gives_others():
    first, again = (simulate(parse(SMALL)) for _ in range(2))
    other = simulate(parse({**SMALL, "session": 1}))
    assert np.array_equal(first.behaviour.cursor_m, again.behaviour.cursor_m)
    assert all(np.array_equal(a, b) for a, b in zip(first.spikes_s, again.spikes_s, strict=True))
    assert not np.array_equal(first.behaviour.cursor_m, other.behaviour.cursor_m)


def test_sessions_of_a_subject_share_stable_dynamics_and_subjects_do_not():
    matrices = [
        subject_dynamics(parse({"subject_seed": seed, "session": session})).matrix
        for seed, session in [(1, 0), (1, 5), (2, 0)]
    ]
    assert np.array_equal(matrices[0], matrices[1])
    assert not np.allclose(matrices[0], matrices[2])
    assert 10 <= N_LATENTS <= 16 and np.abs(np.linalg.eigvals(matrices[0])).max() < 1


def test_latents_obey_the_dynamics_matrix_that_the_file_states():
    simulated = simulate(parse(SMALL))
    z = simulated.latents[:, -7:]  # the task-free part is driven by noise alone
    fitted = np.linalg.lstsq(z[:-1], z[1:], rcond=None)[0].T
    assert np.allclose(fitted, simulated.dynamics.matrix[-7:, -7:], atol=0.02)


def test_units_come_and_go_and_those_that_stay_drift_from_session_to_session():
    first, second, tenth = (session_population(parse({"n_units": 300, "session": s})) for s in (0, 1, 9))
    stayed = np.array(first.names) == np.array(second.names)
    assert 0.8 < stayed.mean() < 0.95
    assert np.mean(np.array(first.names) == np.array(tenth.names)) < 0.5

    def likeness(other, kept):
        a, b = first.loadings[kept][:, 0].ravel(), other.loadings[kept][:, 0].ravel()
        return np.corrcoef(a, b)[0, 1]

    assert 0.93 < likeness(second, stayed) < 0.999
    assert abs(likeness(second, ~stayed)) < 0.2
    spread = [np.std(p.loadings[:, 0, :8]) for p in (first, tenth)]
    assert spread[1] == pytest.approx(spread[0], rel=0.1)  # days change the tuning, not its depth
    assert tenth.loadings[..., 8].mean() == pytest.approx(first.loadings[..., 8].mean(), abs=0.03)


def test_the_kalman_filter_equals_conditioning_a_joint_gaussian_by_brute_force():
    model = linear_gaussian_model(parse({"variant": "linear-gaussian", "n_units": 3}))
    session = linear_gaussian_session(parse({"variant": "linear-gaussian", "n_units": 3, "minutes": 0.25}))
    t = 12
    powers = [np.linalg.matrix_power(model.a, k) @ model.stationary for k in range(t)]
    states = np.block([[powers[i - j] if i >= j else powers[j - i].T for j in range(t)] for i in range(t)])
    c = np.kron(np.eye(t), model.c)
    seen = (session.counts[:t] - model.mean).ravel()
    joint = states @ c.T @ np.linalg.solve(c @ states @ c.T + np.kron(np.eye(t), model.q), seen)
    assert np.allclose(kalman_filter(model, session.counts)[t - 1], joint[-2:], atol=1e-10)


def test_the_closed_form_optimum_is_what_filtering_a_long_session_gives():
    parameters = parse({"variant": "linear-gaussian", "n_units": 8, "minutes": 20, "subject_seed": 4})
    session = linear_gaussian_session(parameters)
    filtered = r2(session.velocity_m_per_s, kalman_filter(session.model, session.counts))
    assert filtered == pytest.approx(closed_form_r2(session.model), abs=0.02)


def test_no_fitted_filter_beats_the_known_optimum():
    parameters = parse({"variant": "linear-gaussian", "n_units": 16, "minutes": 10})
    session = linear_gaussian_session(parameters)
    optimum, start = kalman_optimum(parameters, session), scored_bins(parameters).start
    features = (session.counts - 100) / 10
    scores = [linear_r2(history(features, n), session.velocity_m_per_s, start) for n in (1, 10, 20)]
    assert scores[0] < scores[1] < optimum
    assert optimum - 0.03 < scores[2] < optimum


def test_the_cursor_of_the_linear_gaussian_variant_differentiates_to_its_velocity():
    session = linear_gaussian_session(parse({"variant": "linear-gaussian", "minutes": 0.25}))
    assert np.allclose(np.diff(position_m(session.velocity_m_per_s), axis=0) / 0.02, session.velocity_m_per_s)


def test_a_full_session_states_a_reference_above_what_its_spikes_give(tmp_path):
    given = {"minutes": 3, "n_units": 60, "subject_seed": 1}
    write_session(tmp_path / "a.nwb", given, session_id="a", subject="a")
    simulated = simulate(parse(given))
    n_bins = 9000
    edges_s = np.arange(n_bins + 1) * 0.02
    counts = np.column_stack([np.histogram(t, edges_s)[0] for t in simulated.spikes_s])
    cursor = simulated.behaviour.cursor_m[1000 : 1000 + 20 * n_bins + 1 : 20]
    score = linear_r2(history(np.sqrt(counts), 10), np.diff(cursor, axis=0) / 0.02, scored_bins(parse(given)).start)
    assert 0.4 < score < best_score(tmp_path / "a.nwb")["latent_readout"] < 1


@pytest.mark.parametrize(
    "faults, changes",
    [
        ({"kill_fraction": 0.5}, lambda before, after: np.sum(after == 0) == 10),
        ({"noise_hz": 20.0}, lambda before, after: 15 < np.mean(after - before) / 12 < 22),
        ({"gain_shift": 1.0}, lambda before, after: np.std(np.log(after / before)) > 0.4),
        ({"tuning_drift": 1.0}, lambda before, after: np.abs(after / before - 1).max() > 0.1),
    ],
)
def test_a_fault_strikes_the_test_part_alone_and_its_dose_is_in_the_file(faults, changes, tmp_path):
    given = {"minutes": 1, "n_units": 20}
    well, ill = simulate(parse(given)).spikes_s, simulate(parse({**given, "faults": faults})).spikes_s
    before, after = (np.array([np.sum(t >= 48) for t in trains]) for trains in (well, ill))
    assert changes(before, after)
    early = [np.sum(t < 48) for t in ill]
    assert np.allclose(early, [np.sum(t < 48) for t in well], rtol=0.5, atol=30)
    write_session(tmp_path / "ill.nwb", {**given, "faults": faults}, session_id="ill", subject="a")
    assert read_truth(tmp_path / "ill.nwb")["parameters"]["faults"].items() >= faults.items()


def test_pynwb_reads_back_what_was_simulated(small):
    from pynwb import NWBHDF5IO

    simulated = simulate(parse(SMALL))
    with NWBHDF5IO(small, "r") as io:
        nwb = io.read()
        cursor = nwb.processing["behavior"]["Position"]["cursor_pos"]
        assert np.allclose(
            cursor.data[:] * cursor.conversion, simulated.behaviour.cursor_m[1000 : 1000 + 30_001], atol=1e-6
        )
        assert np.array_equal(nwb.units["spike_times"][3], simulated.spikes_s[3])
        assert nwb.units["area"][:].tolist() == ["M1"] * 6 + ["S1"] * 6
        assert nwb.units["obs_intervals"][0].tolist() == [[0.0, 30.0]]
        trials = nwb.trials.to_dataframe()
    assert {"start_time", "stop_time", "go_cue_time", "target_x", "target_y"} <= set(trials.columns)
    assert (trials.stop_time > trials.move_onset_time).all() and (trials.move_onset_time > trials.go_cue_time).all()


@pytest.mark.parametrize("variant", ["full", "linear-gaussian"])
def test_nwbinspector_finds_nothing_to_object_to(variant, tmp_path):
    from nwbinspector import Importance, inspect_nwbfile

    path = tmp_path / "inspected.nwb"
    write_session(path, {"minutes": 0.5, "n_units": 6, "variant": variant}, session_id="i-0", subject="i")
    messages = inspect_nwbfile(nwbfile_path=path, importance_threshold=Importance.BEST_PRACTICE_VIOLATION)
    assert [m.message for m in messages] == []


def test_the_best_score_is_read_from_the_file_and_absent_from_others(small, tmp_path):
    import h5py

    assert set(best_score(small)) == {"latent_readout"}
    with h5py.File(tmp_path / "real.nwb", "w") as file:
        file["units/id"] = [0]
    assert best_score(tmp_path / "real.nwb") == {}


def test_a_write_that_fails_leaves_no_file(tmp_path):
    with pytest.raises(UsageError):
        write_session(tmp_path / "x.nwb", {"minutes": 0}, session_id="x", subject="x")
    assert list(tmp_path.iterdir()) == []


def test_random_streams_are_independent_of_each_other():
    parameters = parse({})
    streams = [("behaviour", None), ("behaviour", 0), ("behaviour", 1), ("spikes", 0)]
    draws = [random_stream(parameters, name, session=session).random(4).tolist() for name, session in streams]
    assert len({json.dumps(d) for d in draws}) == len(draws)


def test_the_hash_sees_every_change_of_the_generators_code(monkeypatch, tmp_path):
    before = spec_sha256({})
    (tmp_path / "spikes.py").write_text("DEAD_S = 0.002")
    files = (*parameters.source_files(), tmp_path / "spikes.py")
    assert {"session.py", "spikes.py", "latents.py", "nwb_write.py"} < {path.name for path in parameters.source_files()}
    monkeypatch.setattr(parameters, "source_files", lambda: files)
    hashes = [before]
    for code in ("DEAD_S = 0.001", "DEAD_S = 0.002", "DEAD_S = 0.001"):
        (tmp_path / "spikes.py").write_text(code)
        parameters.source_sha256.cache_clear()
        hashes.append(spec_sha256({}))
    parameters.source_sha256.cache_clear()
    assert hashes[1] == hashes[3] and len(set(hashes)) == 3

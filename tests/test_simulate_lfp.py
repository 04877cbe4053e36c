"""Simulated field potentials: spectra, spatial laws, what drives each term, faults, and the file they go into."""

import dataclasses
import math

import numpy as np
import pytest

from harness.data.nwb_write import LFP_PATH, read_truth
from harness.data.simulate import best_score, parse, tissue, write_session
from harness.data.simulate.coloured import analytic_noise, coloured_noise
from harness.data.simulate.electrodes import (
    N_ELECTRODES,
    bank,
    distances_mm,
    positions_mm,
    session_channels,
    unit_electrodes,
)
from harness.data.simulate.latents import N_LATENTS, STEP_S
from harness.data.simulate.lfp import STEP_UV, counted, simulate_lfp
from harness.data.simulate.session import lfp_source, simulate
from harness.errors import UsageError

SMALL = {"minutes": 0.25, "n_units": 12, "lfp": True}
TEST_START = 12_000  # samples; the last fifth of a quarter of a minute


def recorded(**more):
    return simulate_lfp(lfp_source(simulate(parse({**SMALL, **more}))))


@pytest.fixture(scope="module")
def well():
    return recorded()


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("simulated") / "lfp.nwb"
    write_session(path, SMALL, session_id="lfp-0", subject="lfp")
    return path


def band_power(values, low_hz, high_hz):
    frequency_hz = np.fft.rfftfreq(values.shape[-1], 0.001)
    power = np.abs(np.fft.rfft(values)) ** 2 / values.shape[-1] ** 2 * 2
    return power[..., (frequency_hz >= low_hz) & (frequency_hz < high_hz)].sum(axis=-1)


@pytest.mark.parametrize(
    "given", [{"areas": ["M1", "S1"]}, {"n_units": 97}, {"variant": "linear-gaussian"}], ids=lambda g: next(iter(g))
)
def test_what_one_array_cannot_record_is_refused(given):
    with pytest.raises(UsageError, match="96 electrodes"):
        parse({"lfp": True, **given})


def test_recording_the_lfp_changes_nothing_else():
    with_lfp, without = simulate(parse(SMALL)), simulate(parse({**SMALL, "lfp": False}))
    assert np.array_equal(with_lfp.behaviour.cursor_m, without.behaviour.cursor_m)
    assert np.array_equal(with_lfp.latents, without.latents)
    assert all(np.array_equal(a, b) for a, b in zip(with_lfp.spikes_s, without.spikes_s, strict=True))


def test_the_same_parameters_give_the_same_counts_and_another_session_gives_others(well):
    assert np.array_equal(recorded().counts, well.counts)
    assert not np.array_equal(recorded(session=1).counts, well.counts)


def test_coloured_noise_has_unit_variance_and_the_spectrum_that_was_asked_for():
    noise = coloured_noise(lambda f: (f < 100) + 3.0 * (f >= 400), 20, 40_000, np.random.default_rng(0))
    assert noise.var() == pytest.approx(1, rel=0.02)
    low, middle, high = (band_power(noise, *band).mean() for band in ((1, 99), (110, 390), (401, 499)))
    assert high / low == pytest.approx(3, rel=0.03)
    assert middle < 1e-3 * low
    assert abs(np.corrcoef(noise[0], noise[1])[0, 1]) < 0.03


def test_analytic_noise_turns_one_way_only():
    noise = analytic_noise(lambda f: np.exp(-((f - 20) ** 2)), 3, 40_000, np.random.default_rng(0))
    assert noise.real.var() == pytest.approx(1, rel=0.1)
    turned_rad = np.angle(np.sum(noise[:, 1:] * np.conj(noise[:, :-1]), axis=1))
    assert turned_rad == pytest.approx(2 * math.pi * 20 / 1000, rel=0.02)


def test_the_array_is_a_ten_by_ten_grid_without_corners():
    places = {tuple(p) for p in np.rint(positions_mm() / 0.4).astype(int).tolist()}
    corners = {(0, 0), (0, 9), (9, 0), (9, 9)}
    assert places == {(x, y) for x in range(10) for y in range(10)} - corners
    assert np.bincount(bank()).tolist() == [32, 32, 32]


def test_units_keep_their_electrodes_over_the_sessions_of_a_subject():
    first, later, other = (
        unit_electrodes(parse({**SMALL, "subject_seed": subject, "session": session}))
        for subject, session in ((1, 0), (1, 7), (2, 0))
    )
    assert np.array_equal(first, later) and not np.array_equal(first, other)
    assert len(set(first.tolist())) == 12
    assert np.array_equal(unit_electrodes(parse({"lfp": True})), np.arange(96))


def test_electrodes_wear_out_and_what_is_dead_stays_dead():
    sessions = [session_channels(parse({**SMALL, "subject_seed": 3, "session": s})) for s in (0, 50, 200)]
    dead = [channels.dead for channels in sessions]
    assert dead[0].sum() < dead[1].sum() < dead[2].sum()
    assert not np.any(dead[0] & ~dead[1]) and not np.any(dead[1] & ~dead[2])
    alive = ~dead[2]
    assert sessions[2].gain[alive].mean() < 0.6 * sessions[0].gain[alive].mean()
    assert np.median(sessions[2].noise_uv) > 2 * np.median(sessions[0].noise_uv)


def test_the_motor_potential_is_linear_in_the_latents_and_slow():
    cortex, rng = tissue.session_tissue(parse(SMALL)), np.random.default_rng(0)
    n_steps = 3000
    one, two = rng.normal(size=(2, n_steps + 400, N_LATENTS))
    summed = tissue.motor_potential(cortex, 2 * one + two, n_steps)
    apart = 2 * tissue.motor_potential(cortex, one, n_steps) + tissue.motor_potential(cortex, two, n_steps)
    assert np.allclose(summed, apart, atol=1e-3)
    fast_hz = np.fft.rfftfreq(n_steps, STEP_S) > 20
    power = np.abs(np.fft.rfft(summed)) ** 2
    assert power[:, fast_hz].mean() < 0.01 * power[:, ~fast_hz].mean()


def test_high_gamma_power_follows_the_rate_on_the_electrode_and_hardly_that_far_away():
    rates_hz = np.full((N_ELECTRODES, 4000), 10.0, np.float32)
    rates_hz[40, 2000:] = 90.0
    activity = tissue.nearby(rates_hz, np.full(N_ELECTRODES, 10.0))
    noise = tissue.high_gamma(activity, 20_000, np.random.default_rng(0))
    ratio = (noise[:, 10_010:] ** 2).mean(axis=1) / (noise[:, :9990] ** 2).mean(axis=1)
    weights = np.exp(-distances_mm() / tissue.HEARING_MM)
    expected = 1 + 8 * weights[:, 40] / weights.sum(axis=1)
    assert ratio == pytest.approx(expected, rel=0.25)
    assert ratio[40] > 2.5 and expected[95] < 1.01


def test_beta_falls_with_speed_by_what_each_electrode_states():
    behaviour = simulate(parse(SMALL)).behaviour
    still, moving = (
        dataclasses.replace(behaviour, velocity_m_per_s=np.tile([speed, 0.0], (len(behaviour.cursor_m), 1)))
        for speed in (0.0, 0.14)
    )
    cortex = tissue.session_tissue(parse(SMALL))
    at_rest, in_movement = (tissue.beta(cortex, b, 10_000, np.random.default_rng(0)) for b in (still, moving))
    assert np.allclose(in_movement, at_rest * np.exp(-2 * cortex.beta_fall)[:, None], rtol=0.01, atol=1e-3)
    assert band_power(at_rest, 10, 35).sum() > 0.95 * band_power(at_rest, 1, 500).sum()


def test_the_background_loses_its_likeness_with_distance():
    noise = tissue.background(60_000, np.random.default_rng(0))
    fast = np.diff(noise, axis=1)  # slow fluctuations are too few in a minute for a stable correlation
    found = np.corrcoef(fast)
    near, far = (found[np.abs(distances_mm() - d) < 0.01].mean() for d in (0.4, 3.2))
    assert near / far == pytest.approx(math.exp((3.2 - 0.4) / tissue.WIDE_LENGTH_MM), rel=0.1)


def test_a_dead_channel_has_only_noise_and_line_and_a_noisy_one_more_than_others():
    lfp = recorded(session=40)  # late enough for both kinds
    fast_uv = np.sqrt(band_power(lfp.counts.T * STEP_UV, 400, 500))
    worn = lfp.channels
    assert worn.dead.any() and worn.noisy.any()
    assert (lfp.counts[:, worn.dead].std(axis=0) * STEP_UV).max() < 20 < lfp.counts[:, ~worn.dead].std() * STEP_UV
    assert fast_uv[worn.noisy].min() > 2 * np.median(fast_uv)


def test_an_amplifier_stays_at_its_rail():
    assert counted(np.array([[1e5, -1e5, 0.6]], np.float32)).T.tolist() == [[32767, -32768, 2]]


@pytest.mark.parametrize(
    "faults, struck",
    [
        ({"kill_fraction": 0.5}, lambda ratio, lfp, sound: np.array_equal(ratio < 0.3, lfp.killed[sound])),
        ({"gain_shift": 0.5}, lambda ratio, lfp, sound: np.allclose(ratio, lfp.fault_gain[sound], rtol=0.1, atol=0.1)),
        ({"tuning_drift": 1.0}, lambda ratio, lfp, sound: 0.01 < np.abs(ratio - 1).max() < 0.5),
        ({"noise_hz": 20.0}, lambda ratio, lfp, sound: (ratio == 1).all()),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_fault_strikes_the_test_part_of_the_channels_alone(faults, struck, well):
    ill = recorded(faults=faults)
    before = slice(TEST_START - 5)  # one step of the latents' clock lies between two tunings
    assert np.array_equal(ill.counts[before], well.counts[before])
    sound = ~(well.channels.dead | well.channels.noisy | well.channels.drifting)
    ratio = ill.counts[TEST_START:].std(axis=0) / well.counts[TEST_START:].std(axis=0)
    assert struck(ratio[sound], ill, sound)


def test_the_electrode_of_a_killed_unit_is_killed_too():
    given = {**SMALL, "faults": {"kill_fraction": 0.5}}
    trains, lfp = simulate(parse(given)).spikes_s, recorded(faults={"kill_fraction": 0.5})
    silent = np.array([np.all(times_s < TEST_START / 1000) for times_s in trains])
    assert np.array_equal(silent, lfp.killed[unit_electrodes(parse(given))])
    assert lfp.killed.sum() == 48


def test_the_sessions_of_a_subject_share_their_motor_loadings_apart_from_a_slow_drift():
    tissues = [
        tissue.session_tissue(parse({**SMALL, "subject_seed": subject, "session": session}))
        for subject, session in ((1, 0), (1, 3), (1, 30), (2, 0))
    ]
    likeness = [np.corrcoef(tissues[0].motor.ravel(), other.motor.ravel())[0, 1] for other in tissues[1:]]
    assert likeness == pytest.approx([tissue.MOTOR_KEPT**3, tissue.MOTOR_KEPT**30, 0], abs=0.12)
    assert tissues[2].motor.std() == pytest.approx(tissues[0].motor.std(), rel=0.15)


def test_pynwb_reads_back_the_field_potentials_and_where_they_were_recorded(file, well):
    from pynwb import NWBHDF5IO

    with NWBHDF5IO(file, "r") as io:
        nwb = io.read()
        series = nwb.processing["ecephys"]["LFP"]["lfp"]
        assert f"processing/ecephys/LFP/{series.name}" == LFP_PATH
        assert np.array_equal(series.data[:], well.counts)
        assert (series.rate, series.starting_time) == (1000.0, 0.0)
        assert series.conversion == pytest.approx(STEP_UV * 1e-6)
        table = series.electrodes.to_dataframe()
        assert np.allclose(table[["rel_x", "rel_y"]], 1000 * positions_mm())
        on = [nwb.units["electrodes"][i].index[0] for i in range(12)]
    assert on == unit_electrodes(parse(SMALL)).tolist()


def test_the_truth_names_the_worn_channels_and_the_best_score_stays_that_of_the_latents(file, well, tmp_path):
    facts = read_truth(file)["lfp"]
    assert facts["dead"] == np.flatnonzero(well.channels.dead).tolist() and facts["killed"] == []
    assert np.allclose(facts["gain"], well.channels.gain, atol=1e-4)
    write_session(tmp_path / "without.nwb", {**SMALL, "lfp": False}, session_id="w", subject="w")
    assert best_score(file) == best_score(tmp_path / "without.nwb")


def test_nwbinspector_finds_nothing_to_object_to_in_a_file_with_lfp(file):
    from nwbinspector import Importance, inspect_nwbfile

    messages = inspect_nwbfile(nwbfile_path=file, importance_threshold=Importance.BEST_PRACTICE_VIOLATION)
    assert [m.message for m in messages] == []

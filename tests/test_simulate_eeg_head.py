"""The head of the EEG generator: electrodes, the three shells, noise with a wanted spectrum, what is no brain."""

from pathlib import Path

import numpy as np
import pytest

from harness.data.simulate_eeg import parse
from harness.data.simulate_eeg.artefacts import eyes, muscles
from harness.data.simulate_eeg.background import background, brain_spectrum
from harness.data.simulate_eeg.head import BRAIN, SKULL, lead_field, shell_weights
from harness.data.simulate_eeg.montage import CHANNELS, electrode_directions, electrode_positions_um
from harness.data.simulate_eeg.noise import RATE_HZ, analytic, band, coloured
from harness.data.simulate_eeg.schedule import schedule
from harness.data.simulate_eeg.subject import draw_subject

REAL = Path(__file__).parents[2] / "shared/realdata/eegmmidb/sub-S001_task-motor_eeg.nwb"
MIRRORED = {"1": "2", "3": "4", "5": "6", "7": "8", "9": "10"}


def at(name):
    return electrode_directions()[CHANNELS.index(name)]


def test_every_electrode_lies_on_the_head_and_each_left_one_mirrors_a_right_one():
    assert len(set(CHANNELS)) == 64 and np.allclose(np.linalg.norm(electrode_directions(), axis=1), 1)
    for name in (name for name in CHANNELS if name[-1] in MIRRORED and not name.endswith("10")):
        assert np.allclose(at(name) * [-1, 1, 1], at(name[:-1] + MIRRORED[name[-1]])), name


def test_names_and_places_are_those_of_the_data_set():
    h5py = pytest.importorskip("h5py")
    if not REAL.exists():
        pytest.skip(f"the real recording {REAL.name} is not beside the repository")
    with h5py.File(REAL) as file:
        table = file["general/extracellular_ephys/electrodes"]
        names = table["label"].asstr()[:].tolist()
        places = np.column_stack(
            [table["z"][:], -table["x"][:], -table["y"][:]]
        )  # NWB's axes are posterior, down, right
    assert names == list(CHANNELS)
    offset = np.column_stack([2 * places, np.ones(64)])  # the sphere that fits a head best: |p|^2 = 2 p . c + const
    centre = np.linalg.lstsq(offset, np.sum(places**2, axis=1), rcond=None)[0][:3]
    outward = (places - centre) / np.linalg.norm(places - centre, axis=1, keepdims=True)
    apart_deg = np.degrees(np.arccos(np.clip(np.sum(outward * electrode_directions(), axis=1), -1, 1)))
    assert np.median(apart_deg) < 6 and apart_deg.max() < 13


def test_positions_in_files_are_behind_below_and_to_the_right_of_the_heads_centre():
    positions_mm = dict(zip(CHANNELS, electrode_positions_um() / 1000, strict=True))
    assert np.allclose(positions_mm["Cz"], [0, -90, 0]) and np.allclose(positions_mm["T8"], [0, 3.14, 89.95], atol=0.01)
    assert np.allclose(positions_mm["Oz"], [89.95, 3.14, 0], atol=0.01)


def one_sphere(electrodes, place, moment):
    """Potential of a dipole in a sphere of radius 1: the gradient, by place, of 2 / d - log(1 - e . place + d)."""
    away = electrodes - place
    distance = np.linalg.norm(away, axis=1, keepdims=True)
    height = np.sum(electrodes * away, axis=1, keepdims=True)
    field = 2 * away / distance**3 + (electrodes + away / distance) / (height + distance)
    return field @ moment


@pytest.mark.parametrize("place", [(0.1, 0.2, 0.7), (0.5, -0.5, 0.1), (0.0, 0.0, 0.3)])
@pytest.mark.parametrize("moment", [(0, 0, 1.0), (1.0, 0, 0), (0.3, -0.5, 0.2)])
def test_a_skull_that_conducts_like_brain_leaves_the_closed_form_of_one_sphere(place, moment, monkeypatch):
    monkeypatch.setattr("harness.data.simulate_eeg.head.SKULL_CONDUCTS", 1.0)
    series = lead_field(electrode_directions(), np.array([place]), np.array([moment]))[:, 0]
    assert np.allclose(series, one_sphere(electrode_directions(), np.array(place), np.array(moment)), atol=2e-5)


@pytest.mark.parametrize("n", [1, 2, 5, 12])
def test_the_shells_weights_solve_the_conditions_at_the_borders(n):
    skull = 1 / 40
    a, b = BRAIN, SKULL
    # unknown: what the brain gains (r^n), skull r^n and r^-(n+1), scalp r^n and r^-(n+1); the dipole gives r^-(n+1)
    rows = [
        [a**n, -(a**n), -(a ** -(n + 1)), 0, 0],
        [n * a ** (n - 1), -skull * n * a ** (n - 1), skull * (n + 1) * a ** -(n + 2), 0, 0],
        [0, b**n, b ** -(n + 1), -(b**n), -(b ** -(n + 1))],
        [0, skull * n * b ** (n - 1), -skull * (n + 1) * b ** -(n + 2), -n * b ** (n - 1), (n + 1) * b ** -(n + 2)],
        [0, 0, 0, n, -(n + 1)],
    ]
    found = np.linalg.solve(np.array(rows), [-(a ** -(n + 1)), (n + 1) * a ** -(n + 2), 0, 0, 0])
    assert shell_weights(np.array([n]), skull)[0] == pytest.approx(found[3] + found[4], rel=1e-9)


def test_noise_has_unit_variance_and_the_spectrum_that_was_asked_for():
    from scipy.signal import welch

    noise = coloured(brain_spectrum, 40, 20_000, np.random.default_rng(0))
    assert noise.var() == pytest.approx(1, rel=0.1)
    frequency_hz, power = welch(noise, RATE_HZ, nperseg=640)
    inside = (frequency_hz >= 2) & (frequency_hz <= 60)
    ratio = power.mean(axis=0)[inside] / brain_spectrum(frequency_hz[inside])
    assert np.all(np.abs(ratio / np.median(ratio) - 1) < 0.2)


def test_analytic_noise_stays_in_its_band_on_one_side_of_zero():
    wave = analytic(band(10.0, 1.0), 4, 16_000, np.random.default_rng(1))
    spectrum = np.mean(np.abs(np.fft.fft(wave * np.hanning(16_000))) ** 2, axis=0)
    frequency_hz = np.fft.fftfreq(16_000, 1 / RATE_HZ)
    assert spectrum[np.abs(frequency_hz - 10) < 4].sum() / spectrum.sum() > 0.999
    assert wave.real.var() == pytest.approx(1, rel=0.25)


def test_channels_next_to_each_other_share_more_of_the_background():
    total_uv = background(8000, np.random.default_rng(2), size=1.0, tone_uv=4.0, drift=1.0)
    alike = np.corrcoef(total_uv)
    apart = np.arccos(np.clip(electrode_directions() @ electrode_directions().T, -1, 1))
    near, far = (apart > 0.1) & (apart < 0.5), apart > 1.8
    assert alike[near].mean() > 0.75 and alike[far].mean() < alike[near].mean() - 0.2


def test_blinks_are_frontal_and_muscles_temporal():
    subject = draw_subject(parse({"subject_seed": 4}))
    plan = schedule(4, np.random.default_rng(0))
    blinks = eyes(subject, plan, 20_000, np.random.default_rng(3)).std(axis=1)
    bursts = muscles(subject, 20_000, np.random.default_rng(3)).std(axis=1)
    assert blinks[CHANNELS.index("Fpz")] > 20 > 1 > blinks[CHANNELS.index("Oz")]
    sides = [CHANNELS.index(name) for name in ("T7", "T8", "FT7", "FT8")]
    assert bursts[sides].min() > 5 * bursts[CHANNELS.index("Cz")]

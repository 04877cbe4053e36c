"""DLink's parts: filters, teacher, router, losses and student against closed forms, loops and other libraries."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.signal
import torch
from threadpoolctl import threadpool_limits

from baselines.dlink import losses
from baselines.dlink.public_checkpoint import load_public, public_name
from baselines.dlink.router import Router, entropy_shortfall, mixed
from baselines.dlink.shape import PRESETS, Clock, preset_of
from baselines.dlink.signals import Front, referenced, resampling
from baselines.dlink.streaming import StudentStream
from baselines.dlink.student import Student, anti_aliased, stretching, strided, waves
from baselines.dlink.teacher import Attention, CrissCross, Embedding, Teacher
from harness import HarnessError, SessionInfo, StreamInfo

TINY = PRESETS["tiny"]


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """As the judge has it: on a busy machine several threads wait for each other."""
    with threadpool_limits(1):
        yield


def session_of(n_channels=4, n_samples=16, rate_hz=160.0, bin_s=0.1):
    info = StreamInfo(n_channels, n_samples, rate_hz, "uV")
    return SessionInfo("a", "s", {"eeg": info}, bin_s, ("left", "right"), "classification")


CLOCK = Clock.of(session_of(), TINY)


def made(*shape, seed=0):
    torch.manual_seed(seed)
    return torch.randn(*shape)


@pytest.mark.parametrize("scaled", [False, True])
def test_the_front_end_carried_from_bin_to_bin_is_that_of_the_whole_segment(scaled):
    values = np.random.default_rng(0).normal(100, 30, (40, 16, 4)).astype(np.float32)
    front = Front(160.0, scaled=scaled)
    stream = front.stream(16)
    streamed = np.concatenate([stream.step(bin) for bin in values])
    np.testing.assert_allclose(streamed, front.whole(values), atol=1e-5)


def test_a_scaled_channel_is_divided_by_the_root_mean_square_of_its_past():
    values = np.random.default_rng(0).normal(0, 30, (700, 16, 3)).astype(np.float32)
    values[300:] *= 5
    band = scipy.signal.butter(2, (4.0, 38.0), "bandpass", fs=160.0, output="sos")
    rows = referenced(values.reshape(-1, 3).astype(np.float64))
    start = scipy.signal.sosfilt_zi(band)[..., None] * rows[0]
    rows = scipy.signal.sosfilt(band, rows, axis=0, zi=start)[0]
    found = Front(160.0, scaled=True).whole(values)
    for n_bins in (1, 40, 310):  # two seconds of 10 uV count as if they had been seen before
        power = (
            2.0 * 0.1**2 + 0.1 * np.square(rows[: 16 * n_bins]).reshape(n_bins, 16, 3).mean(axis=1).sum(axis=0)
        ) / (2.0 + 0.1 * n_bins)
        last = slice(16 * n_bins - 16, 16 * n_bins)
        np.testing.assert_allclose(found[last], rows[last] / np.sqrt(power), rtol=1e-4, atol=1e-5)


def test_a_subject_whose_rhythms_are_larger_looks_the_same_when_scaled():
    values = np.random.default_rng(0).normal(0, 30, (300, 16, 3)).astype(np.float32)
    small, large = (Front(160.0, scaled=True).whole(k * values)[-1600:] for k in (1, 4))
    np.testing.assert_allclose(large, small, rtol=0.05, atol=0.05)


def test_the_front_end_is_an_average_reference_then_a_high_pass_without_a_step_at_the_start():
    seconds = np.arange(3200) / 160
    tones = np.sin(2 * np.pi * np.array([[0.02], [10.0]]) * seconds)
    rows = np.stack([100 * tones[0] + 5000, 100 * tones[1] - 3000, np.zeros(3200)], axis=1)
    found = Front(160.0).whole(rows.reshape(-1, 16, 3).astype(np.float32))
    assert np.abs(found.sum(axis=1)).max() < 1e-3  # a mean of 0 stays one
    assert np.abs(found[0]).max() < 1e-3 and np.abs(found[:, 0] - found[:, 2]).max() < 0.05
    gain = np.abs(found[1600:, 1] - found[1600:, 2]).max()
    assert gain == pytest.approx(1, abs=0.02)


def test_resampling_keeps_a_tone_and_equal_rates_need_none():
    assert resampling(320, 160.0, 160.0) is None
    matrix = resampling(320, 160.0, 200.0)
    tone = np.sin(2 * np.pi * 10 * np.arange(320) / 160)
    expected = np.sin(2 * np.pi * 10 * np.arange(400) / 200)
    np.testing.assert_allclose((matrix @ tone)[40:-40], expected[40:-40], atol=0.01)


@pytest.mark.parametrize("rate_hz, n_samples, bin_s", [(160.0, 16, 0.1), (500.0, 10, 0.02), (250.0, 25, 0.1)])
def test_a_clock_divides_bins_and_windows_evenly(rate_hz, n_samples, bin_s):
    clock = Clock.of(session_of(4, n_samples, rate_hz, bin_s), PRESETS["small"])
    assert n_samples % clock.hop == 0 and clock.hop <= 0.025 * rate_hz
    assert clock.window_samples == round(2.0 * rate_hz)
    assert clock.n_patches == 4


def test_the_paper_teacher_has_the_parameters_of_its_formula():
    width, half, hidden, n_taps = 200, 100, 800, 19 * 7
    convolutions = (25 * 49 + 25) + 2 * (25 * 25 * 3 + 25) + 3 * 2 * 25
    embedding = convolutions + (101 * width + width) + width * (n_taps + 1) + 200
    attention = 2 * (3 * half * half + 3 * half + half * half + half)
    layer = attention + (width * hidden + hidden) + (hidden * width + width) + 4 * width
    teacher = Teacher(PRESETS["paper"].teacher, CLOCK)
    expected = embedding + 12 * layer + (width * 200 + 200)
    assert sum(w.numel() for w in teacher.parameters()) == expected == 4_924_000


def test_attention_is_that_of_pytorch():
    own, other = Attention(8, 2, 0.0), torch.nn.MultiheadAttention(8, 2, batch_first=True)
    other.in_proj_weight, other.in_proj_bias = own.enter.weight, own.enter.bias
    other.out_proj.weight, other.out_proj.bias = own.leave.weight, own.leave.bias
    x = made(3, 5, 8)
    torch.testing.assert_close(own(x), other(x, x, x)[0])


@pytest.mark.parametrize("half, axis", [(slice(0, 8), "channels"), (slice(8, 16), "time")])
def test_half_the_width_looks_across_channels_and_half_across_time(half, axis):
    layer, x = CrissCross(TINY.teacher).eval(), made(1, 4, 3, 16)
    layer.narrow.weight.data.zero_()  # the perceptron would mix the halves
    other = x.clone()
    other[0, 2, 1] += made(16, seed=1)
    changed = (layer(other) != layer(x))[..., half].any(dim=-1)[0]
    expected = torch.zeros(4, 3, dtype=torch.bool)
    expected[(slice(None), 1) if axis == "channels" else (2, slice(None))] = True
    assert torch.equal(changed, expected)


def test_the_spectrum_of_a_patch_is_the_amplitude_of_its_fft():
    embedding, patches = Embedding(TINY.teacher), made(2, 3, 4, 80)
    real, imaginary = (patches @ embedding.waves).chunk(2, dim=-1)
    expected = np.abs(np.fft.rfft(patches.numpy(), norm="forward"))
    np.testing.assert_allclose(torch.hypot(real, imaginary).numpy(), expected, atol=1e-5)


def test_log_power_hears_a_tone_and_not_the_drift_under_it():
    embedding = Embedding(replace(TINY.teacher, spectrum="log"))
    seconds = np.arange(80) / 160
    tone, drift = np.sin(2 * np.pi * 10 * seconds), 3 * (seconds - 0.25)
    seen = []
    embedding.spectrum.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    embedding(torch.from_numpy(np.stack([tone + drift, drift]).astype(np.float32))[None, None])
    with_tone, without = seen[0][0, 0].numpy()
    assert with_tone[5] == pytest.approx(np.log1p(0.25 / 1e-3), abs=0.1)
    assert without[5] < 0.2 * with_tone[5]


def test_a_teacher_that_sharpens_begins_with_each_channel_as_it_is():
    values = made(2, 320, 4)
    plain, mixing = (Teacher(replace(TINY.teacher, sharpens=k), CLOCK, n_channels=4) for k in (False, True))
    torch.testing.assert_close(mixing.patches(values), plain.patches(values))
    mixing.sharpen.weight.data[0, 1] = 2.0
    expected = values.clone()
    expected[..., 0] += 2 * values[..., 1]
    torch.testing.assert_close(mixing.patches(values), plain.patches(expected))


def test_a_hidden_patch_is_read_as_silence():
    embedding, patches = Embedding(TINY.teacher).eval(), made(1, 3, 4, 80)
    mask = torch.zeros(1, 3, 4, dtype=torch.bool)
    mask[0, 1, 2] = True
    silent = patches.clone()
    silent[0, 1, 2] = 0
    torch.testing.assert_close(embedding(patches, mask), embedding(silent))


@pytest.mark.parametrize(
    "choice, expected", [("last", [0, 0, 0, 1]), ("uniform", [0.25] * 4), ("top1", None), ("router", None)]
)
def test_a_router_gives_weights_that_sum_to_one(choice, expected):
    weights, _ = Router(choice, 6)(made(5, 6), made(5, 4, 7, 6, seed=1))
    np.testing.assert_allclose(weights.sum(dim=1).detach(), 1, rtol=1e-6)
    if expected is not None:
        np.testing.assert_allclose(weights, np.tile(expected, (5, 1)))
    ones = (weights.detach().max(dim=1).values > 0.999).all()
    assert bool(ones) == (choice in ("last", "top1"))


def test_a_choice_of_one_layer_passes_gradients_on_to_its_router():
    router = Router("top1", 6)
    weights, _ = router(made(5, 6), made(5, 4, 7, 6, seed=1))
    (weights * made(5, 4, seed=2)).sum().backward()
    assert router.score[0].weight.grad.abs().max() > 0


def test_layers_are_mixed_after_each_was_normalised():
    hidden, weights = 50 * made(2, 3, 4, 5, 6), torch.tensor([[0.2, 0.3, 0.5], [1.0, 0.0, 0.0]])
    found = mixed(weights, hidden).numpy()
    h = hidden.numpy()
    normal = (h - h.mean(-1, keepdims=True)) / h.std(-1, keepdims=True)
    np.testing.assert_allclose(found[0], np.tensordot([0.2, 0.3, 0.5], normal[0], 1), atol=1e-4)
    np.testing.assert_allclose(found[1], normal[1, 0], atol=1e-4)


@pytest.mark.parametrize("weights, expected", [([0.25] * 4, 0.0), ([1.0, 0, 0, 0], 0.3 * np.log(4))])
def test_only_a_router_that_has_collapsed_pays(weights, expected):
    assert entropy_shortfall(torch.tensor([weights])).item() == pytest.approx(expected, abs=1e-6)


def test_the_answer_loss_is_the_softened_divergence():
    taught, scores = made(5, 3), made(5, 3, seed=1)
    p, q = (scipy.special.softmax(x.numpy() / 2, axis=1) for x in (taught, scores))
    expected = 4 * (p * np.log(p / q)).sum(axis=1).mean()
    assert losses.answer_loss(taught, scores).item() == pytest.approx(expected, rel=1e-4)


def test_the_label_loss_looks_at_labelled_windows_alone():
    scores, labels = made(6, 3), torch.tensor([0, -1, 2, 1, -1, 0])
    log_q = scipy.special.log_softmax(scores.numpy(), axis=1)
    smooth = 0.9 * np.eye(3)[labels] + 0.1 / 3
    expected = -(smooth * log_q).sum(axis=1)[labels >= 0].mean()
    assert losses.label_loss(scores, labels).item() == pytest.approx(expected, rel=1e-5)
    assert losses.label_loss(scores, torch.full((6,), -1)).item() == 0


def test_spectral_losses_are_those_of_loops():
    found, wanted = made(2, 3, 4, 5), made(2, 3, 4, 5, seed=1)
    magnitude, phase = [], []
    for b, c, d in np.ndindex(2, 3, 5):
        m, t = (np.fft.rfft(x[b, c, :, d].numpy(), 16) for x in (found, wanted))
        magnitude += list(np.abs(np.log1p(np.abs(t)) - np.log1p(np.abs(m))))
        weights = np.abs(t) / np.abs(t).sum()
        phase.append((weights * (1 - np.cos(np.angle(t) - np.angle(m)))).sum())
    spectra = losses.spectra(found), losses.spectra(wanted)
    assert losses.magnitude_loss(*spectra).item() == pytest.approx(np.mean(magnitude), rel=1e-3)
    assert losses.phase_loss(*spectra).item() == pytest.approx(np.mean(phase), rel=1e-3)


def test_imitation_is_perfect_up_to_scale_and_only_phase_sees_a_shift_in_time():
    features = made(2, 3, 4, 5)
    assert losses.mimic_loss(3 * features, features).item() < 1e-4 < losses.mimic_loss(-features, features).item()
    lesson = torch.nn.functional.pad(features, (0, 0, 0, 2))
    early, late = losses.spectra(lesson), losses.spectra(lesson.roll(1, dims=2))
    assert losses.magnitude_loss(late, early).item() < 0.02 < losses.phase_loss(late, early).item()


@pytest.mark.parametrize("n_patches", [1, 2, 4, 5])
def test_thinning_out_is_a_low_pass_and_every_second_patch(n_patches):
    row = np.random.default_rng(0).normal(size=n_patches)
    padded = np.pad(row, 1, mode="edge")
    expected = [0.25 * padded[i] + 0.5 * padded[i + 1] + 0.25 * padded[i + 2] for i in range(0, n_patches, 2)]
    np.testing.assert_allclose(anti_aliased(n_patches) @ row, expected, rtol=1e-5)
    assert stretching(n_patches, len(expected)).shape == (n_patches, len(expected))


def test_what_alternates_faster_than_the_student_can_tell_is_taken_out():
    alternating = np.array([1, -1, 1, -1, 1, -1])
    assert np.abs(anti_aliased(6) @ alternating)[1:].max() < 1e-6  # the edge repeats a patch
    assert np.abs(alternating[::2]).min() == 1


def test_filters_begin_at_frequencies_from_5_to_36_hz():
    found = np.abs(np.fft.rfft(waves(5, CLOCK), 1600)).argmax(axis=1) / 10
    np.testing.assert_allclose(found, np.geomspace(5, 36, 5), atol=1.5)


@pytest.mark.parametrize("teacher_width", [16, 0])
def test_a_streamed_student_answers_as_its_network_does_of_every_window(teacher_width):
    torch.manual_seed(0)
    student = Student(TINY.student, CLOCK, teacher_width=teacher_width, n_channels=4, n_classes=2)
    student.train()(made(8, CLOCK.lead_samples + CLOCK.window_samples, 4))  # running means that are not 0
    for mixer in student.eval().mixers:
        mixer.channels.weight.data = made(4, 4)
    rows = made(45 * 16, 4).numpy()
    weights = {k: v.numpy() for k, v in student.state_dict().items()}
    stream = StudentStream(weights, student.thinning.numpy(), CLOCK)
    answers = [stream.step(rows[16 * k : 16 * k + 16]) for k in range(45)]
    n = CLOCK.lead_samples + CLOCK.window_samples
    silence = np.concatenate([np.zeros((n, 4), np.float32), rows])
    with torch.inference_mode():
        windows = np.stack([silence[16 * k : n + 16 * k] for k in range(1, 46)])
        expected = student(torch.from_numpy(windows)).scores.numpy()
    np.testing.assert_allclose(answers, expected, atol=1e-4 * np.abs(expected).max())


def renamed(teacher):
    return {public_name(k): v.clone() for k, v in teacher.state_dict().items()}


def test_names_of_the_public_model_are_each_of_one_weight():
    names = [public_name(own) for own in Teacher(TINY.teacher, CLOCK).state_dict()]
    assert len(set(names)) == len(names)
    for name in ("patch_embedding.proj_in.3.weight", "encoder.layers.1.self_attn_t.in_proj_bias", "proj_out.0.bias"):
        assert name in names


@pytest.mark.parametrize("prefix", ["", "module."])
def test_public_weights_are_read_by_name(prefix, tmp_path):
    torch.manual_seed(0)
    given, own = Teacher(TINY.teacher, CLOCK), Teacher(TINY.teacher, CLOCK)
    path = tmp_path / "weights.pth"
    torch.save({prefix + k: v for k, v in renamed(given).items()}, path)
    load_public(own, str(path))
    for one, other in zip(given.parameters(), own.parameters(), strict=True):
        assert torch.equal(one, other)


def test_public_weights_of_another_shape_or_none_are_refused_by_name(tmp_path):
    path, teacher = tmp_path / "weights.pth", Teacher(TINY.teacher, CLOCK)
    torch.save(renamed(Teacher(replace(TINY.teacher, hidden=48), CLOCK)), path)
    with pytest.raises(HarnessError, match=r"linear1.weight.*\(48, 16\).*needs \(32, 16\)"):
        load_public(teacher, str(path))
    torch.save({"other": torch.zeros(1)}, path)
    with pytest.raises(HarnessError, match=r"lacks .* of .*'patch_embedding.*it holds other"):
        load_public(teacher, str(path))
    with pytest.raises(HarnessError, match="no file"):
        load_public(teacher, str(tmp_path / "nowhere.pth"))


def test_a_file_that_holds_more_than_tensors_is_not_run(tmp_path):
    path = tmp_path / "weights.pth"
    torch.save({"weights": pytest.approx(1)}, path)
    with pytest.raises(HarnessError, match="as tensors alone"):
        load_public(Teacher(TINY.teacher, CLOCK), str(path))


def test_an_unknown_preset_is_named():
    with pytest.raises(HarnessError, match="unknown preset 'huge'; known: paper, small, tiny"):
        preset_of("huge")


@pytest.mark.parametrize("n_samples, taps, hop", [(364, 48, 4), (101, 13, 4), (50, 7, 3), (20, 20, 4), (9, 2, 5)])
def test_the_stems_convolution_by_phases_is_one_with_a_stride(n_samples, taps, hop):
    rows, filters = made(2, 5, n_samples).double(), made(3, taps, seed=1).double()
    expected = torch.nn.functional.conv2d(rows[:, None], filters[:, None, None], stride=(1, hop))
    torch.testing.assert_close(strided(rows, filters, hop), expected, rtol=1e-12, atol=1e-12)

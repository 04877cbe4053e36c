"""The cross-modal decoders: what each stage learns from, leaves behind and goes on from."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from baselines.crossmodal import stages, training
from baselines.crossmodal.decoders import (
    Crossmodal,
    CrossmodalCausal,
    CrossmodalSupervised,
    CrossmodalTransfer,
    LfpTransformer,
    MsLfp,
    SpikeTransformer,
)
from baselines.crossmodal.encoder import Encoder
from baselines.crossmodal.shape import PRESETS, Schedule
from baselines.crossmodal.stages import embedded, heir, mean_counts
from baselines.crossmodal.training import Lesson, Stretch, consecutive, draw, learn, n_updates
from baselines.sessions import session_key
from harness import Decoder, Delay, HarnessError, Inputs, Recording, SessionInfo, StreamInfo

STUDENTS = [Crossmodal, CrossmodalSupervised, CrossmodalCausal, CrossmodalTransfer, LfpTransformer, MsLfp]
N_CHANNELS, BIN_S = 6, 0.02


def recording(name="new", subject="s", *, n_bins=200, n_units=10, stream="lfp", labels=True, seed=0):
    """A smooth latent drives velocity, LFP and spikes; spikes are privileged where they are no input."""
    rng = np.random.default_rng(seed)
    latent = np.cumsum(rng.normal(size=(n_bins, 2)), axis=0)
    latent = (latent - latent.mean(axis=0)) / latent.std(axis=0)
    mixing = np.random.default_rng(99).normal(size=(2, N_CHANNELS))
    lfp = (20 * (latent @ mixing + 0.1 * rng.normal(size=(n_bins, N_CHANNELS))))[:, None].astype(np.float32)
    spikes = rng.poisson(np.exp(0.5 * latent @ rng.normal(size=(2, n_units)) - 1)).astype(np.float32)
    infos = {"lfp": StreamInfo(N_CHANNELS, 1, 1 / BIN_S, "uV"), "spikes": StreamInfo(n_units)}
    session = SessionInfo(name, subject, {stream: infos[stream]}, BIN_S, ("x", "y"))
    inputs = Inputs({stream: {"lfp": lfp, "spikes": spikes}[stream]}, np.arange(n_bins) == 0, BIN_S)
    targets = latent.astype(np.float32) if labels else np.full((n_bins, 2), np.nan, np.float32)
    privileged = {"spikes": spikes} if stream == "lfp" else {}
    return Recording(session, inputs, targets, np.full(n_bins, labels), privileged)


def earlier(stream="lfp"):
    """Pretraining sessions of two subjects, with other units each and without labels."""
    sizes = {("a.1", "s"): 10, ("a.2", "s"): 7, ("b.1", "other"): 18}
    return [
        recording(name, subject, n_units=n, stream=stream, labels=False, seed=n) for (name, subject), n in sizes.items()
    ]


def pretrained(kind, **changes):
    """A decoder as the process that fits gets it: after its teacher's pretraining and its own."""
    decoder = kind(preset="tiny", **changes)
    teacher = decoder.pretrained_by()
    sessions = [r.session for r in earlier()]
    if teacher is not None:
        teacher.pretrain(earlier())
        decoder.restore(teacher.state(), sessions)
    if kind.pretrain is not Decoder.pretrain:
        decoder.pretrain(earlier(*kind.inputs))
        state, decoder = decoder.state(), kind(preset="tiny", **changes)
        decoder.restore(state, sessions)
    return decoder


def fitted(kind, **changes):
    decoder = pretrained(kind, **changes)
    stream = kind.inputs[0]
    decoder.fit([recording(stream=stream)], [recording(stream=stream, n_bins=80, seed=1)])
    return decoder


@pytest.mark.parametrize("kind", [SpikeTransformer, *STUDENTS])
def test_after_fit_the_state_holds_the_answering_encoder_alone_and_answers_the_same(kind):
    decoder = fitted(kind)
    state, test = decoder.state(), recording(stream=kind.inputs[0], n_bins=90, seed=2)
    others = {name for name in state if not name.startswith(f"network.{decoder.answering}.")}
    standard = set() if kind is SpikeTransformer else {"mean_", "gain_"}
    assert others == {"readout_", "intercept_"} | standard
    assert [name for name in state if ".places." in name] == [f"network.{decoder.answering}.places.session-new"]
    fresh = kind(preset="tiny")
    fresh.restore(state, [test.session])
    np.testing.assert_array_equal(fresh.predict(test.inputs, test.session), decoder.predict(test.inputs, test.session))


@pytest.mark.parametrize("kind", [SpikeTransformer, *STUDENTS])
def test_without_pretraining_fit_does_it_all_on_the_session(kind):
    decoder, stream = kind(preset="tiny"), kind.inputs[0]
    decoder.fit([recording(stream=stream)], [recording(stream=stream, n_bins=80, seed=1)])
    test = recording(stream=stream, n_bins=31, seed=2)
    assert np.isfinite(decoder.predict(test.inputs, test.session)).all()


@pytest.mark.parametrize("kind", [SpikeTransformer, Crossmodal, CrossmodalTransfer, MsLfp])
@pytest.mark.parametrize("is_pretrained", [True, False])
def test_a_second_fit_begins_where_the_first_one_did(kind, is_pretrained):
    parts, states = [[recording(stream=kind.inputs[0], n_bins=n, seed=n)] for n in (120, 80)], []
    left = pretrained(kind).state() if is_pretrained else {}
    for before in ([], [parts[::-1]]):
        decoder = kind(preset="tiny")
        if left:
            decoder.restore(left, [r.session for r in earlier()])
        for given in (*before, parts):
            decoder.fit(*given)
        states.append({key: array.tobytes() for key, array in decoder.state().items()})
    assert states[0] == states[1]


@pytest.mark.parametrize("kind", [SpikeTransformer, MsLfp])
def test_what_fit_left_is_no_start_for_another_autoencoding(kind):
    done, again = fitted(kind), kind(preset="tiny")
    given = [recording(stream=kind.inputs[0])]
    again.restore(done.state(), [given[0].session])
    with pytest.raises(HarnessError, match=f"{kind.__name__} holds an encoder of .* without its predictor"):
        again.fit(given, given)


@pytest.mark.parametrize("kind", [Crossmodal, CrossmodalSupervised, CrossmodalCausal, CrossmodalTransfer])
def test_students_without_spikes_say_what_to_do(kind):
    blind = replace(recording(), privileged={})
    with pytest.raises(HarnessError, match="session new came without spikes .*privileged: none.*lfp-transformer"):
        kind(preset="tiny").fit([blind], [blind])


@pytest.mark.parametrize("kind", [LfpTransformer, MsLfp])
def test_the_plain_alternatives_never_look_at_spikes(kind):
    decoder = kind(preset="tiny")
    decoder.fit([replace(recording(), privileged={})], [])
    seeing = kind(preset="tiny")
    seeing.fit([recording()], [])
    assert {k: v.tobytes() for k, v in decoder.state().items()} == {k: v.tobytes() for k, v in seeing.state().items()}


def test_the_teacher_takes_spikes_as_input_or_as_privileged():
    states = []
    for stream in ("lfp", "spikes"):
        teacher = SpikeTransformer(preset="tiny")
        teacher.pretrain(earlier(stream))
        states.append({k: v.tobytes() for k, v in teacher.state().items()})
    assert states[0] == states[1]


def test_all_students_of_a_seed_share_one_teacher():
    kinds = (Crossmodal, CrossmodalSupervised, CrossmodalCausal, CrossmodalTransfer)
    parents = [kind(preset="tiny", seed=3).pretrained_by() for kind in kinds]
    assert parents == [SpikeTransformer(preset="tiny", seed=3)] * 4
    assert LfpTransformer().pretrained_by() is None
    assert Crossmodal.pretrain is CrossmodalCausal.pretrain is Decoder.pretrain


def test_labels_do_not_reach_the_unsupervised_student():
    networks = []
    for labelled in (recording(), replace(recording(), targets=recording().targets[::-1])):
        decoder = Crossmodal(preset="tiny")
        decoder.fit([labelled], [])
        networks.append({k: v.tobytes() for k, v in decoder.state().items() if k.startswith("network.")})
    assert networks[0] == networks[1]


def test_the_transferred_student_is_applied_unchanged_with_places_of_the_subjects_last_session():
    decoder = pretrained(CrossmodalTransfer)
    before = decoder.state()
    decoder.fit([recording()], [])
    after = decoder.state()
    trunk = [name for name in after if name.startswith("network.student.") and ".places." not in name]
    assert all(np.array_equal(before[name], after[name]) for name in trunk)
    np.testing.assert_array_equal(
        after["network.student.places.session-new"], before["network.student.places.session-a%2E2"]
    )


@pytest.mark.parametrize(
    "name, nearest", [("a.0", "a.1"), ("a.1", "a.1"), ("a.2", "a.1"), ("a.4", "a.3"), ("b", "a.3")]
)
def test_places_come_from_the_last_session_before_by_name_else_from_the_first_after(name, nearest):
    decoder, encoder = Crossmodal(preset="tiny"), Encoder(PRESETS["tiny"].shape, "lfp", {})
    known = [recording(one, subject, n_bins=5).session for one, subject in (("a.3", "s"), ("a.1", "s"), ("a.12", "t"))]
    decoder.remember(known)
    for one in known:
        encoder.places[session_key(one)] = torch.nn.Parameter(torch.randn(2, 16))
    own = recording(name, n_bins=5).session
    place = heir(encoder, session_key(own), 2, elders=decoder.elders(own)).places[session_key(own)]
    expected = next(encoder.places[session_key(one)] for one in known if one.id == nearest)
    assert torch.equal(place, expected)


def test_a_session_of_an_unknown_subject_gets_the_mean_of_all_places():
    decoder = pretrained(CrossmodalTransfer)
    student = decoder.network["student"]
    tables = np.stack([table.detach().numpy() for table in student.places.values()])
    place = heir(student, "new", 2, elders=[]).places["new"].detach().numpy()
    np.testing.assert_allclose(place, tables.mean(axis=0), atol=1e-6)


@pytest.mark.parametrize("n_bins", [7, 20, 50])
def test_a_recording_is_embedded_in_windows_the_last_of_which_reaches_back(n_bins):
    encoder = fitted(Crossmodal).network["student"]
    values = np.random.default_rng(0).normal(size=(n_bins, N_CHANNELS)).astype(np.float32)
    found = embedded(encoder, values, [slice(0, n_bins)], key="session-new", window_bins=20)
    for start in {0, 20, n_bins - 10}.intersection(range(n_bins)):
        first = start // 20 * 20 if start + 20 <= n_bins // 20 * 20 else max(0, n_bins - 20)
        with torch.no_grad():
            window = encoder(torch.from_numpy(values[first : first + 20])[None], "session-new")[0].numpy()
        np.testing.assert_allclose(found[start], window[start - first], atol=1e-5)


def test_the_causal_decoder_answers_step_by_step_as_in_one_piece():
    decoder = fitted(CrossmodalCausal)
    test = recording(n_bins=120, seed=2)
    test.inputs.starts[[50, 53]] = True
    whole, steps = (kind.predict(decoder, test.inputs, test.session) for kind in (CrossmodalCausal, Decoder))
    np.testing.assert_allclose(steps, whole, atol=1e-4 * np.abs(whole).max())


def test_a_long_segment_is_embedded_in_stretches_as_in_one_piece(monkeypatch):
    torch.manual_seed(0)
    encoder = Encoder(replace(PRESETS["tiny"].shape, n_layers=2), "lfp", {"a": 2}, context_bins=10).eval()
    values = np.random.default_rng(5).normal(size=(700, N_CHANNELS)).astype(np.float32)
    monkeypatch.setattr(stages, "STRETCH_CONTEXTS", 1)
    found = embedded(encoder, values, [slice(0, 700)], key="a", window_bins=10)
    with torch.no_grad():
        whole = encoder(torch.from_numpy(values)[None], "a")[0].numpy()
    np.testing.assert_allclose(found, whole, atol=1e-5)


@pytest.mark.parametrize(
    "kind, preset, weight",
    [
        (Crossmodal, "paper", 5),
        (Crossmodal, "small", 5),
        (CrossmodalSupervised, "paper", 5),
        (CrossmodalSupervised, "small", 1),
        (CrossmodalCausal, "tiny", 1),
        (CrossmodalTransfer, "tiny", 5),
        (LfpTransformer, "paper", 0),
    ],
)
def test_the_preset_weighs_the_alignment_unless_a_weight_is_given(kind, preset, weight):
    assert kind(preset=preset).loss_weights.cosine == weight
    assert kind(preset=preset, cosine_weight=2.5).loss_weights.cosine == 2.5
    assert Crossmodal().parameters()["cosine_weight"] is CrossmodalCausal().parameters()["cosine_weight"] is None


def test_an_offline_decoder_is_as_late_as_its_window_and_the_causal_one_is_not():
    assert Crossmodal(preset="paper").delay() == Delay(window_s=5.0)
    assert Crossmodal(window_s=2.0).delay() == Delay(window_s=2.0)
    assert CrossmodalCausal().delay() == Delay()


def test_an_offline_decoder_has_no_steps():
    with pytest.raises(HarnessError, match="use predict"):
        Crossmodal().step({"lfp": np.zeros((1, N_CHANNELS), np.float32)})


def test_two_sessions_at_once_are_refused():
    with pytest.raises(HarnessError, match="sessions a, b to fit together"):
        LfpTransformer(preset="tiny").fit([recording("a"), recording("b")], [])


def lesson():
    """Two layers with dropout on two sessions; the loss draws noise, so that a resumption has to get that right too."""
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Dropout(0.5), torch.nn.Linear(8, 3))
    rng = np.random.default_rng(0)
    made = [Stretch(key, rng.normal(size=(40, 3)).astype(np.float32)) for key in ("a", "a", "b")]

    def loss(batch):
        return torch.mean((module(batch.values) - batch.values + torch.randn_like(batch.values)) ** 2)

    return Lesson(module, loss, made[:2], made[2:], window_bins=10)


class Interrupted(Exception):
    """Like a process that is stopped right after it saved."""


class Kept:
    """A checkpoint in memory, which stops the run at its `stops_at`-th note."""

    def __init__(self, stops_at=0):
        self.arrays, self.stops_at, self.n_saved, self.reports = None, stops_at, 0, []

    def load(self):
        return self.arrays

    def save(self, arrays):
        self.arrays, self.n_saved = {k: np.array(v) for k, v in arrays.items()}, self.n_saved + 1
        if self.n_saved == self.stops_at:
            raise Interrupted

    def report(self, done, total, loss):
        self.reports.append((done, total))


@pytest.mark.parametrize("stops_at", [1, 7, 12])
def test_an_interrupted_training_goes_on_exactly(monkeypatch, stops_at):
    monkeypatch.setattr(training, "SAVE_EVERY_S", 0.0)
    schedule = Schedule(13, batch_size=2, check_every=5)
    whole, resumed, kept = lesson(), lesson(), Kept(stops_at)
    learn(whole, schedule, seed=4)
    with pytest.raises(Interrupted):
        learn(lesson(), schedule, seed=4, checkpoint=kept)
    learn(resumed, schedule, seed=4, checkpoint=kept)
    assert kept.reports == [(5, 13), (10, 13), (13, 13)]
    for a, b in zip(whole.module.parameters(), resumed.module.parameters(), strict=True):
        assert torch.equal(a, b)


def test_training_stops_when_held_out_windows_get_no_better_and_keeps_the_best():
    given = lesson()
    looks = iter([3.0, 1.0, 2.0, 2.0, 2.0, 0.0])
    worse = replace(given, loss=lambda batch: given.loss(batch) if given.module.training else torch.tensor(next(looks)))
    kept = Kept()
    worse = replace(worse, held_out=[Stretch("b", np.zeros((10, 3), np.float32))])
    assert learn(worse, Schedule(100, batch_size=2, check_every=1, patience=3), seed=0, checkpoint=kept) == 1.0
    assert kept.reports[-1][0] == 5


def test_a_units_mean_count_is_over_all_stretches_of_its_session_counts_above_five_as_five():
    given = {"a": [[[1, 0], [2, 0], [9, 1]], [[0, 1]]], "b": [[[3, 4, 7]]]}
    material = [Stretch(key, np.array(rows, np.float32)) for key, each in given.items() for rows in each]
    found = {key: means.tolist() for key, means in mean_counts(material).items()}
    assert found == {"a": [2.0, 0.5], "b": [3.0, 4.0, 5.0]}


def test_windows_come_from_one_session_and_from_inside_its_stretches():
    def ramp(first, n_bins):
        return np.arange(first, first + n_bins, dtype=np.float32)[:, None]

    material = [Stretch("a", ramp(0, 30)), Stretch("a", ramp(100, 5)), Stretch("b", ramp(200, 8))]
    rng = np.random.default_rng(0)
    for _ in range(50):
        batch = draw(material, 10, 4, rng)
        windows = batch.values[..., 0].numpy()
        assert windows.shape == (4, {"a": 10, "b": 8}[batch.key])
        assert (np.diff(windows, axis=1) == 1).all()
        assert batch.key == ("b" if windows.min() >= 200 else "a") and not ((windows >= 100) & (windows < 200)).any()


def test_held_out_windows_cover_whole_windows_once():
    material = [Stretch("a", np.arange(25, dtype=np.float32)[:, None])]
    found = np.concatenate([batch.values.numpy().ravel() for batch in consecutive(material, 10, 1)])
    np.testing.assert_array_equal(found, np.arange(20))


def test_little_material_takes_few_updates():
    schedule = Schedule(1000, batch_size=4, most_epochs=3)
    assert n_updates(lesson(), schedule) == 6  # 80 bins are 8 windows, 2 batches

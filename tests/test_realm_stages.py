"""REALM's stages of learning: masks, losses against loops, going on after an interruption, what is kept of each."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_limits

from baselines.pretraining import Objective, Training
from baselines.realm.autoencoding import MaskedAutoencoder, autoencoding_loss
from baselines.realm.decoder import (
    Realm,
    RealmAutoencoder,
    RealmBi,
    RealmLabelFree,
    RealmScratch,
    RealmTeacher,
    RealmUntrained,
)
from baselines.realm.distillation import Student, Weights, distillation_loss
from baselines.realm.encoder import Encoder
from baselines.realm.masking import disturbed, masked_bins
from baselines.realm.shape import PRESETS
from baselines.realm.windows import Batch, pool_of, stretches_of
from harness import Decoder, HarnessError, Inputs, Recording, SessionInfo, StreamInfo

TRAINED = [Realm, RealmAutoencoder, RealmBi, RealmLabelFree, RealmScratch, RealmTeacher]
ALL = [*TRAINED, RealmUntrained]


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """As the judge has it: on a busy machine several threads wait for each other."""
    with threadpool_limits(1):
        yield


def recording(n_bins, *, seed=0, n_channels=5, session="a", labels=True, starts=(0,)):
    """Voltages that hold a slow latent, and that latent as behaviour; channel 0 is constant."""
    rng = np.random.default_rng(seed)
    latent = np.cumsum(rng.normal(size=(n_bins, 2)), axis=0)
    latent -= latent.mean(axis=0)
    mixing = np.random.default_rng(99).normal(size=(2, n_channels))
    lfp = 20 * (latent @ mixing + rng.normal(size=(n_bins, n_channels)))
    lfp[:, 0] = 3
    begins = np.zeros(n_bins, bool)
    begins[list(starts)] = True
    info = SessionInfo(session, "m", {"lfp": StreamInfo(n_channels, 1, 100.0, "uV")}, 0.01, ("x", "y"))
    inputs = Inputs({"lfp": lfp[:, None].astype(np.float32)}, begins, 0.01)
    targets = np.where(labels, latent, np.nan).astype(np.float32)
    return Recording(info, inputs, targets, np.full(n_bins, labels))


def unlabelled():
    return [recording(300, seed=s, session=f"p{s}", labels=False) for s in (1, 2)]


def pretrained_state(decoder, recordings):
    """What the harness does: the chain of pretrainings, each in a decoder of its own."""
    parent = decoder.pretrained_by()
    if parent is not None:
        decoder.restore(pretrained_state(parent, recordings), [r.session for r in recordings])
    if type(decoder).pretrain is not Decoder.pretrain:
        decoder.pretrain(recordings)
    return decoder.state()


@cache
def pretrained(kind):
    """State of a decoder of the smallest preset after pretraining without labels."""
    parent, decoder = kind().pretrained_by(), kind(preset="tiny")
    if parent is not None:
        decoder.restore(pretrained(type(parent)), [])
    if kind.pretrain is not Decoder.pretrain:
        decoder.pretrain(unlabelled())
    return decoder.state()


@cache
def fitted(kind):
    decoder = kind(preset="tiny")
    decoder.restore(pretrained(kind), [r.session for r in unlabelled()])
    decoder.fit([recording(400, seed=5)], [recording(150, seed=6)])
    return decoder


def test_masks_cover_their_share_in_blocks_all_over_the_window():
    masks = masked_bins(400, 500, np.random.default_rng(0))
    assert np.all(masks.sum(axis=1) == 300)
    edges = np.diff(np.pad(masks, ((0, 0), (1, 1))).astype(int), axis=1)
    assert 10 < 300 / (edges == 1).sum(axis=1).mean() < 60  # bins in a run
    assert np.all(np.abs(masks[:, 50:-50].mean(axis=0) - 0.6) < 0.15)


@pytest.mark.parametrize("n_bins", [1, 7, 40])
def test_masks_of_short_windows_cover_their_share_too(n_bins):
    masks = masked_bins(20, n_bins, np.random.default_rng(0))
    assert set(masks.sum(axis=1)) == {round(0.6 * n_bins)}


def test_disturbed_voltages_lose_channels_and_have_other_gains():
    torch.manual_seed(0)
    given = disturbed(torch.full((500, 30, 8), 100.0))
    gains = given.mean(dim=1) / 100
    kept = gains > 0.5
    assert (~kept).float().mean().item() == pytest.approx(0.15, abs=0.02)
    assert 0.84 < gains[kept].min() < 0.87 and 1.13 < gains[kept].max() < 1.16
    assert (given - given.mean(dim=1, keepdim=True)).std().item() == pytest.approx(0.05, rel=0.05)


def made_batch(*, n_channels=8, n_bins=20, n_outputs=2):
    torch.manual_seed(3)
    present = torch.ones(3, n_channels)
    present[1, 5:] = 0
    targets = torch.randn(3, n_bins, n_outputs)
    targets[0, :4] = torch.nan
    return Batch(torch.randn(3, n_bins, n_channels) * present[:, None], present, targets)


def test_the_autoencoding_loss_looks_at_hidden_bins_of_channels_that_there_are():
    batch = made_batch()
    model = MaskedAutoencoder(Encoder(PRESETS["tiny"].teacher)).eval()
    mask = torch.from_numpy(masked_bins(3, 20, np.random.default_rng(0)))
    with torch.inference_mode():
        answers = model(batch.values, batch.present, mask).numpy()
        found = autoencoding_loss(model, batch, mask).item()
    where = np.argwhere(mask[..., None].numpy() & (batch.present[:, None].numpy() > 0))
    errors = [(answers[*i] - batch.values.numpy()[*i]) ** 2 for i in where]
    assert found == pytest.approx(np.mean(errors), rel=1e-5)


@pytest.mark.parametrize("both_ways", [True, False])
def test_a_hidden_bin_after_all_that_are_seen_leaks_into_an_encoder_of_both_ways_alone(both_ways):
    batch = made_batch()
    model = MaskedAutoencoder(Encoder(replace(PRESETS["tiny"].teacher, both_ways=both_ways))).eval()
    mask = torch.zeros(3, 20, dtype=torch.bool)
    mask[:, 17:] = True  # the convolution reaches two bins further: nothing that is seen holds the last bin
    changed = batch.values.clone()
    changed[:, -1] += 5
    with torch.inference_mode():
        answers = [model(values, batch.present, mask) for values in (batch.values, changed)]
    assert torch.equal(*answers) != both_ways


@pytest.mark.parametrize("weights", [Weights(), Weights(0.5, 0.0, 0.0), Weights(0.0, 2.0, 0.0), Weights(1.0, 1.0, 3.0)])
def test_the_distillation_loss_is_the_sum_of_its_terms(weights):
    batch, lesson = made_batch(), torch.randn(3, 20, 16)
    model = Student(Encoder(PRESETS["tiny"].student), 2).eval()
    shown = torch.rand(3, 20) < 0.3
    with torch.inference_mode():
        hidden = model.encoder.hidden(batch.values, batch.present)
        answers, rebuilt = model.answer(model.encoder.backbone.norm(hidden)).numpy(), model.reconstruct(hidden).numpy()
        found = distillation_loss(model, batch, lesson, shown, weights).item()
    terms = [[], [], []]
    for b, t in np.ndindex(3, 20):
        s, g = hidden[b, t].numpy(), lesson[b, t].numpy()
        terms[0].append(1 - s @ g / np.linalg.norm(s) / np.linalg.norm(g))
        there = batch.present[b].numpy() > 0
        terms[1] += ((rebuilt[b, t] - batch.values[b, t].numpy())[there] ** 2).tolist() if shown[b, t] else []
        wrong = answers[b, t] - batch.targets[b, t].numpy()
        terms[2] += [] if np.isnan(wrong).any() else (wrong**2).tolist()
    scales = weights.alignment, weights.reconstruction, weights.task
    assert found == pytest.approx(sum(w * np.mean(term) for w, term in zip(scales, terms, strict=True)), rel=1e-4)


def regression(seed=0):
    """A small network with dropout that learns a line from 40 windows."""
    x = torch.from_numpy(np.random.default_rng(8).normal(size=(40, 3))).float()
    torch.manual_seed(seed)
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Dropout(0.3), torch.nn.Linear(4, 1))

    def loss(numbers, rng):
        noise = torch.from_numpy(rng.normal(0, 0.1, (len(numbers), 3))).float()
        return ((module(x[numbers] + noise) - x[numbers].sum(dim=1, keepdim=True)) ** 2).mean()

    return Objective(module, loss, np.arange(30), np.arange(30, 40))


RECIPE = replace(PRESETS["tiny"].masking, updates=25, check_every=3, batch_windows=8, learning_rate=0.05)


class Memory:
    """A checkpoint in memory."""

    def __init__(self, arrays=None):
        self.arrays, self.reports = arrays, []

    def load(self):
        return self.arrays

    def save(self, arrays):
        self.arrays = arrays

    def report(self, done, total, loss=float("nan")):
        self.reports.append((done, total))


@pytest.mark.parametrize("n_before", [1, 11, 24])
def test_an_interrupted_training_goes_on_to_the_same_weights(n_before):
    whole, interrupted = regression(), Training(regression(), RECIPE, seed=4)
    Training(whole, RECIPE, seed=4).run(Memory())
    for _ in range(n_before):
        interrupted.look(interrupted.update())
    kept, resumed = {k: v.copy() for k, v in interrupted.arrays().items()}, regression(seed=77)
    final = Training(resumed, RECIPE, seed=4).run(checkpoint := Memory(kept))
    assert np.isfinite(final) and checkpoint.reports[0] == (n_before + 1, 25)
    for one, other in zip(whole.module.parameters(), resumed.module.parameters(), strict=True):
        assert torch.equal(one, other)


def test_training_saves_now_and_then(monkeypatch):
    monkeypatch.setattr("baselines.pretraining.SAVE_EVERY_S", 0.0)
    Training(regression(), RECIPE, seed=4).run(checkpoint := Memory())
    assert checkpoint.arrays["counters"][0] == 25
    assert [done for done, _ in checkpoint.reports] == list(range(1, 26))


def test_training_stops_when_what_is_held_out_gets_no_better():
    objective = regression()
    worse = replace(objective, loss=lambda numbers, rng: objective.loss(numbers, rng) * (numbers.min() < 30) + 1)
    training = Training(worse, replace(RECIPE, updates=1000, most_epochs=1000, patience=2), seed=4)
    training.run(Memory())
    assert training.done == 9  # the first look is the best; two more are not better


def test_a_loss_that_is_not_finite_is_an_error():
    objective = replace(regression(), loss=lambda numbers, rng: torch.tensor(torch.nan))
    with pytest.raises(HarnessError, match="loss became nan"):
        Training(objective, RECIPE, seed=4).run(Memory())


def test_windows_stay_in_their_stretch_and_the_last_tenth_is_held_out():
    parts = stretches_of([recording(1000, starts=(0, 400))], "lfp", 8)
    pool = pool_of(parts, window_bins=30, stride_bins=15)
    stops = [(i, at + 30) for i, at in pool.windows]
    assert all(stop <= (400, 600)[i] for i, stop in stops)
    assert set(pool.learned) == {k for k, (i, stop) in enumerate(stops) if stop <= (360, 540)[i]}
    assert all(at >= (360, 540)[i] for i, at in map(pool.windows.__getitem__, pool.held_out))


@pytest.mark.parametrize("window_bins", [125, 500])
def test_where_no_stretch_can_spare_a_window_the_last_tenth_of_a_sessions_windows_is_held_out(window_bins):
    given = [recording(500 * 12, session=name, starts=range(0, 6000, 500)) for name in ("a", "b")]
    pool = pool_of(stretches_of(given, "lfp", 8), window_bins=window_bins, stride_bins=window_bins // 2)
    n_own = len(pool.windows) // 2
    n_ends = n_own - int(0.9 * n_own)
    assert pool.held_out.tolist() == [*range(n_own - n_ends, n_own), *range(2 * n_own - n_ends, 2 * n_own)]
    bins = [{(i, at + k) for k in range(window_bins)} for i, at in pool.windows]
    ends = set().union(*(bins[k] for k in pool.held_out))
    free = [k for k in range(2 * n_own) if not bins[k] & ends]
    assert pool.learned.tolist() == free and len(free) > 0.8 * n_own


def test_a_session_of_too_few_windows_is_learned_from_entirely():
    parts = stretches_of([recording(100, session="few"), recording(1000, session="many")], "lfp", 8)
    pool = pool_of(parts, window_bins=80, stride_bins=10)
    assert pool.windows[:3] == [(0, 0), (0, 10), (0, 20)] and pool.learned[:3].tolist() == [0, 1, 2]
    assert {pool.windows[k][0] for k in pool.held_out} == {1}


def test_every_session_is_standardised_by_itself_and_its_constant_channels_are_absent():
    loud = recording(200, seed=1, session="loud")
    loud.inputs.streams["lfp"][:] *= 50
    for stretch in stretches_of([loud, recording(300, session="quiet")], "lfp", 8):
        np.testing.assert_array_equal(stretch.present, [0, 1, 1, 1, 1, 0, 0, 0])
        np.testing.assert_allclose(stretch.values.std(axis=0), stretch.present, atol=1e-3)
        np.testing.assert_allclose(stretch.targets.std(axis=0), 1, atol=1e-3)


@pytest.mark.parametrize("kind", ALL)
def test_a_fitted_decoder_keeps_one_encoder_and_answers_alike_when_restored(kind):
    decoder, test = fitted(kind), recording(120, seed=7, starts=(0, 70))
    state = decoder.state()
    assert {k.split(".")[1] for k in state if k.startswith("network.")} == {kind.role}
    own = {k for k in state if not k.startswith("network.")}
    noted = set() if kind is RealmUntrained else {"scan_backend_"}
    assert own == {"mean_", "gain_", "readout_", "intercept_"} | noted
    fresh = kind(preset="tiny")
    fresh.restore(state, [test.session])
    expected = decoder.predict(test.inputs, test.session)
    answers = super(kind, fresh).predict(test.inputs, test.session) if not kind.causal else streamed(fresh, test)
    np.testing.assert_allclose(answers, expected, atol=1e-4 * np.abs(expected).max())


def streamed(decoder, test):
    """Bin after bin, as the judge does it."""
    return Decoder.predict(decoder, test.inputs, test.session)


@pytest.mark.parametrize("kind", ALL)
def test_without_pretraining_a_decoder_learns_all_from_its_own_session(kind):
    decoder, test = kind(preset="tiny"), recording(100, seed=7)
    decoder.fit([recording(400, seed=5)], [recording(150, seed=6)])
    assert set(decoder.network) == {kind.role}
    assert np.isfinite(decoder.predict(test.inputs, test.session)).all()


def test_the_chain_of_pretraining_hands_on_what_each_stage_learned():
    teacher = RealmTeacher(preset="tiny")
    teacher.restore(pretrained(RealmTeacher), [])
    student = pretrained(Realm)
    assert RealmLabelFree(preset="tiny").pretrained_by() == Realm(preset="tiny")
    assert Realm(preset="tiny", seed=3).pretrained_by() == RealmTeacher(preset="tiny", seed=3)
    assert {k.split(".")[1] for k in student if k.startswith("network.")} == {"student"}
    near = student["network.student.tokenizer.merge.weight"] - teacher.state()["network.teacher.tokenizer.merge.weight"]
    assert 0 < np.abs(near).max() < 0.1  # it began as the teacher's and was trained on


def test_a_label_free_student_keeps_the_pretrained_weights_and_a_tuned_one_its_tokenizer():
    pretrained, free, tuned = (
        pretrained_state(Realm(preset="tiny"), unlabelled()),
        fitted(RealmLabelFree),
        fitted(Realm),
    )
    for key, before in pretrained.items():
        np.testing.assert_array_equal(free.state()[key], before)
        stays = ".tokenizer." in key or key == "scan_backend_"
        assert np.array_equal(tuned.state()[key], before) == stays


def test_a_preset_may_tune_the_tokenizer_too(monkeypatch):
    before = pretrained(Realm)
    monkeypatch.setitem(PRESETS, "tiny", replace(PRESETS["tiny"], tunes_tokenizer=True))
    tuned = Realm(preset="tiny")
    tuned.restore(before, [recording(10).session])
    tuned.fit([recording(400, seed=5)], [recording(150, seed=6)])
    trained = [not np.array_equal(tuned.state()[key], before[key]) for key in before if key.startswith("network.")]
    assert all(trained)
    assert not PRESETS["paper"].tunes_tokenizer  # as published


@pytest.mark.parametrize("kind", [Realm, RealmLabelFree, RealmScratch, RealmUntrained])
@pytest.mark.parametrize("is_pretrained", [True, False])
def test_a_second_fit_begins_where_the_first_one_did(kind, is_pretrained):
    parts, states = ([recording(200, seed=5)], [recording(150, seed=6)]), []
    for before in ([], [parts[::-1]]):
        decoder = kind(preset="tiny")
        if is_pretrained:
            decoder.restore(pretrained(kind), [r.session for r in unlabelled()])
        for given in (*before, parts):
            decoder.fit(*given)
        states.append({key: array.tobytes() for key, array in decoder.state().items()})
    assert states[0] == states[1]


@pytest.mark.parametrize("kind", [RealmScratch, RealmUntrained])
def test_what_nothing_was_learned_before_forgets_an_earlier_fit_though_it_was_restored(kind):
    again = kind(preset="tiny", seed=1)
    again.restore(fitted(kind).state(), [recording(10).session])
    fresh = kind(preset="tiny", seed=1)
    for decoder in (again, fresh):
        decoder.fit([recording(400, seed=5)], [recording(150, seed=6)])
    assert all(np.array_equal(array, again.state()[key]) for key, array in fresh.state().items())


@pytest.mark.parametrize("kind", TRAINED)
def test_the_scan_that_the_last_trained_stage_ran_on_is_kept_as_text(kind, monkeypatch):
    decoder = kind(preset="tiny")
    before = pretrained(kind)
    monkeypatch.setattr("baselines.realm.family.backend_note", lambda device: np.frombuffer(b"another", np.uint8))
    decoder.restore(before, [recording(10).session])
    decoder.fit([recording(400, seed=5)], [recording(150, seed=6)])
    trains_in_fit = kind in (Realm, RealmScratch)
    text = bytes(decoder.state()["scan_backend_"]).decode()
    assert text == ("another" if trains_in_fit else f"own scan, torch {torch.__version__}")


@pytest.mark.parametrize("task, same", [(0.0, True), (1.0, False)])
def test_labels_of_pretraining_sessions_count_only_if_the_task_has_a_weight(task, same):
    states = []
    for second in (True, False):
        given = [recording(300, seed=s, session=f"p{s}", labels=s == 1 or second) for s in (1, 2)]
        states.append(pretrained_state(Realm(preset="tiny", task=task), given))
    equal = [np.array_equal(states[0][key], states[1][key]) for key in states[0]]
    assert all(equal) == same


def test_a_task_with_a_weight_and_no_label_anywhere_is_refused():
    with pytest.raises(HarnessError, match=r"weight of 0.5 .*2 pretraining sessions.*`pretraining_labels: true`"):
        pretrained_state(Realm(preset="tiny", task=0.5), unlabelled())


def test_one_that_looks_ahead_does_not_stream():
    decoder = fitted(RealmTeacher)
    with pytest.raises(HarnessError, match="use predict"):
        decoder.reset(recording(10).session)


def test_a_session_of_more_channels_than_pretraining_had_is_refused_and_one_alone_is_not():
    many = recording(400, n_channels=12)
    decoder = RealmLabelFree(preset="tiny")
    decoder.restore(pretrained(RealmLabelFree), [])
    with pytest.raises(HarnessError, match="12 channels.*built for 8"):
        decoder.fit([many], [many])
    alone = RealmLabelFree(preset="tiny")
    alone.fit([many], [many])
    assert alone.network["student"].shape.n_channels == 12


def test_pretraining_without_a_bin_says_so():
    with pytest.raises(HarnessError, match="no bins"):
        RealmTeacher(preset="tiny").pretrain([])

"""DLink's stages of learning: windows, what each stage hands on, what is kept, and going on after an interruption."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_limits

from baselines.dlink.decoders import (
    Dlink,
    DlinkDirect,
    DlinkLabels,
    DlinkLastLayer,
    DlinkMagnitude,
    DlinkNoSpectral,
    DlinkTeacher,
    DlinkTop1,
    DlinkUniform,
)
from baselines.dlink.distillation import Lessons, Terms, learn_from_teacher
from baselines.dlink.shape import PRESETS, Clock
from baselines.dlink.windows import pool_of
from baselines.pretraining import Objective, Recipe, Stage, Training
from harness import Decoder, HarnessError, Inputs, Recording, SessionInfo, StreamInfo

STUDENTS = [Dlink, DlinkLastLayer, DlinkUniform, DlinkTop1, DlinkNoSpectral, DlinkMagnitude, DlinkDirect, DlinkLabels]
DISTINCT = [Dlink, DlinkDirect, DlinkLabels, DlinkTeacher]
"""Of each way to learn and to answer one; the others differ from `Dlink` in weights of the loss."""
RUN_BINS, CUES = 210, (10, 80, 150)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """As the judge has it: on a busy machine several threads wait for each other."""
    with threadpool_limits(1):
        yield


def recording(n_runs=2, *, seed=0, subject="a", labels=True, n_channels=4, n_noise=1.0):
    """Runs of three trials; a 10 Hz rhythm of channel 0 or 1 gets weaker after the cue, by the class."""
    rng = np.random.default_rng(seed)
    n_bins = n_runs * RUN_BINS
    targets, scored, starts = np.full((n_bins, 2), np.nan, np.float32), np.zeros(n_bins, bool), np.zeros(n_bins, bool)
    starts[::RUN_BINS] = True
    amplitude = np.full((n_bins, 1, n_channels), 15.0)
    for first in (r * RUN_BINS + cue for r in range(n_runs) for cue in CUES):
        kind = rng.integers(2)
        targets[first : first + 40], scored[first + 19] = np.eye(2)[kind], True
        amplitude[first : first + 40, 0, kind] = 3
    rhythm = np.sin(2 * np.pi * 10 * np.arange(n_bins * 16) / 160).reshape(n_bins, 16, 1)
    eeg = (amplitude * rhythm + n_noise * rng.normal(size=(n_bins, 16, n_channels))).astype(np.float32)
    info = SessionInfo(
        subject, subject, {"eeg": StreamInfo(n_channels, 16, 160.0, "uV")}, 0.1, ("left", "right"), "classification"
    )
    if not labels:
        targets, scored = np.full_like(targets, np.nan), np.zeros_like(scored)
    return Recording(info, Inputs({"eeg": eeg}, starts, 0.1), targets, scored)


CLOCK = Clock.of(recording().session, PRESETS["tiny"])


def sources(labels=True):
    return [recording(seed=s, subject=f"p{s}", labels=labels) for s in (1, 2)]


@cache
def pretrained(kind, labels=True):
    """State after pretraining, each stage in a decoder of its own, as the harness does it."""
    parent, decoder = kind(preset="tiny").pretrained_by(), kind(preset="tiny")
    if parent is not None:
        decoder.restore(pretrained(type(parent), labels), [r.session for r in sources()])
    decoder.pretrain(sources(labels))
    return decoder.state()


@cache
def fitted(kind):
    decoder = kind(preset="tiny")
    decoder.restore(pretrained(kind), [r.session for r in sources()])
    decoder.fit([recording(seed=5)], [recording(1, seed=6)])
    return decoder


def test_windows_end_at_decisions_and_later_and_carry_their_trials_label():
    given = recording(3)
    pool = pool_of([given], [], CLOCK, stride_s=0.5, labelled=True)
    assert len(pool.learned) == 9 * 6 and not len(pool.held_out)  # 1.5, 2, ... 4 s after each cue
    ends = pool.windows[:, 0] * RUN_BINS + (pool.windows[:, 1] - pool.n_samples) // 16 - 1
    assert set(np.flatnonzero(given.scored)) <= set(ends)
    np.testing.assert_array_equal(pool.labels, given.targets[ends].argmax(axis=1))


def test_a_window_holds_the_samples_up_to_its_bin_and_silence_before_the_run():
    given = recording(1)
    pool = pool_of([given], [], CLOCK, stride_s=0.5, labelled=True)
    values = pool.values(np.array([1]))[0].numpy()
    assert values.shape == (CLOCK.lead_samples + 320, 4)
    np.testing.assert_array_equal(values, pool.signals[0][pool.windows[1, 1] - len(values) : pool.windows[1, 1]])
    early = pool_of([given], [], replace(CLOCK, n_patches=60), stride_s=0.5, labelled=True)
    assert not early.values(np.array([0]))[0, : CLOCK.lead_samples + 100].any()


@pytest.mark.parametrize("labelled", [True, False])
def test_windows_that_are_held_out_come_last_and_share_no_bin_with_others(labelled):
    pool = pool_of([recording(3)], None, CLOCK, stride_s=0.5, labelled=labelled)
    held, learned = pool.windows[pool.held_out], pool.windows[pool.learned]
    assert len(held) and len(learned) > 3 * len(held)
    last = learned[learned[:, 0] == held[0, 0], 1].max()
    assert last <= held[0, 1] - CLOCK.window_samples
    assert learned[:, 0].max() <= held[0, 0]


def test_a_decision_alone_makes_one_window():
    given = recording(1)
    sparse = replace(given, targets=np.where(given.scored[:, None], given.targets, np.nan))
    assert len(pool_of([sparse], [], CLOCK, stride_s=0.5, labelled=True).learned) == 3


@pytest.mark.parametrize("kind", DISTINCT)
def test_a_fitted_decoder_streams_what_it_predicts_and_keeps_itself_alone(kind):
    decoder, test = fitted(kind), recording(2, seed=7)
    state = decoder.state()
    roles = {k.split(".")[1] for k in state if k.startswith("network.")}
    assert roles == ({"teacher", "teacher_head"} if kind is DlinkTeacher else {"student"})
    fresh = kind(preset="tiny")
    fresh.restore(state, [test.session])
    expected = decoder.predict(test.inputs, test.session)
    streamed = Decoder.predict(fresh, test.inputs, test.session)
    np.testing.assert_allclose(streamed, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize(
    "kind, expected", [(DlinkLastLayer, [1]), (DlinkUniform, [0.5, 0.5]), (Dlink, None), (DlinkTop1, None)]
)
def test_the_mean_weight_of_each_layer_is_kept(kind, expected):
    weights = pretrained(kind)["router_"]
    assert weights.sum() == pytest.approx(1, rel=1e-5)
    if expected is not None:
        np.testing.assert_allclose(weights, expected)


# A hard choice can itself tell classes apart, so windows of one class may go to a layer that says nothing.
@pytest.mark.parametrize("choice, least", [("router", 0.5), ("top1", 0.3)])
def test_a_router_goes_to_the_layer_that_says_most_and_not_to_the_one_easiest_to_imitate(choice, least):
    torch.manual_seed(0)
    session = recording().session
    pool = pool_of([recording(6)], [], CLOCK, stride_s=0.5, labelled=True)
    n, rng = len(pool.windows), np.random.default_rng(0)
    hidden = np.zeros((n, 3, 4, CLOCK.n_patches, 16), np.float16)
    hidden[:, :2] = rng.normal(size=hidden[0, 0].shape[-1])  # the same for all windows: imitated at once
    hidden[:, 2] = rng.normal(size=hidden[:, 2].shape)
    hidden[:, 2, 0] += 2 * pool.labels[:, None, None] * rng.normal(size=16)
    lessons = Lessons(pool, np.zeros((n, 16), np.float32), hidden, None)
    student = DlinkLastLayer(preset="tiny").module("student", session)
    recipe = replace(PRESETS["tiny"].distilling, updates=120, most_epochs=120)
    how = {"seed": 0, "checkpoint": Memory()}
    weights = learn_from_teacher(student, lessons, recipe, terms=Terms(), layers=choice, how=how)
    assert weights[2] > least


def test_all_students_of_one_seed_have_the_same_teacher():
    teachers = [kind(preset="tiny", seed=3).pretrained_by() for kind in STUDENTS if kind is not DlinkLabels]
    assert all(teacher == DlinkTeacher(preset="tiny", seed=3) for teacher in teachers)
    assert DlinkLabels().pretrained_by() is None


@pytest.mark.parametrize("one, other", [(Dlink, k) for k in STUDENTS[1:6]])
def test_every_term_changes_what_is_learned(one, other):
    key = "network.student.project.weight"
    assert not np.array_equal(pretrained(one)[key], pretrained(other)[key])


@pytest.mark.parametrize("kind", DISTINCT)
def test_without_labels_pretraining_teaches_what_it_can_and_fit_goes_on(kind):
    state = pretrained(kind, labels=False)
    assert not any("teacher_head" in key for key in state)
    decoder = kind(preset="tiny")
    decoder.restore(state, [r.session for r in sources()])
    decoder.fit([recording(seed=5)], [])
    assert np.isfinite(decoder.predict(recording(1).inputs, recording(1).session)).all()


@pytest.mark.parametrize("kind", [DlinkLabels, DlinkTeacher])
def test_a_second_fit_begins_where_the_first_one_did(kind):
    parts, states = ([recording(seed=5)], [recording(1, seed=6)]), []
    for before in ([], [([recording(seed=8)], [])]):
        decoder = kind(preset="tiny")
        for given in (*before, parts):
            decoder.fit(*given)
        states.append({key: array.tobytes() for key, array in decoder.state().items()})
    assert states[0] == states[1]


def test_a_student_learns_which_rhythm_gets_weaker(monkeypatch):
    recipe = replace(PRESETS["tiny"].fitting, updates=60, most_epochs=100, learning_rate=1e-2, check_every=20)
    monkeypatch.setitem(PRESETS, "tiny", replace(PRESETS["tiny"], fitting=recipe))
    decoder, test = DlinkLabels(preset="tiny"), recording(6, seed=9)
    decoder.fit([recording(4, seed=5)], [recording(2, seed=6)])
    answers = decoder.predict(test.inputs, test.session)[test.scored]
    right = answers.argmax(axis=1) == test.targets[test.scored].argmax(axis=1)
    assert right.mean() > 0.9


@pytest.mark.parametrize("kind", [Dlink, DlinkTeacher])
def test_adapting_keeps_what_was_there_if_nothing_does_better(kind, monkeypatch):
    decoder = kind(preset="tiny")
    decoder.restore(fitted(kind).state(), [recording().session])
    before = {k: v.copy() for k, v in decoder.state().items()}
    wild = replace(PRESETS["tiny"].adapting, learning_rate=30.0)
    monkeypatch.setitem(PRESETS, "tiny", replace(PRESETS["tiny"], adapting=wild))
    decoder.adapt(recording(2, seed=11, subject="new"))
    assert all(np.array_equal(v, before[k]) for k, v in decoder.state().items())


def test_adapting_trains_the_whole_student(monkeypatch):
    decoder = Dlink(preset="tiny")
    decoder.restore(fitted(Dlink).state(), [recording().session])
    before = {k: v.copy() for k, v in decoder.state().items()}
    monkeypatch.setitem(PRESETS, "tiny", replace(PRESETS["tiny"], adapting=RECIPE))
    decoder.adapt(recording(2, seed=11, subject="new"))
    moved = {k for k, v in decoder.state().items() if not np.array_equal(v, before[k])}
    assert {"network.student.head.weight", "network.student.stem.filters"} <= moved and "router_" not in moved


def test_a_session_of_another_montage_is_refused():
    decoder = Dlink(preset="tiny")
    decoder.restore(pretrained(Dlink), [r.session for r in sources()])
    with pytest.raises(HarnessError, match="5 channels of EEG.*pretrained with 4"):
        decoder.fit([recording(n_channels=5)], [])


def test_recordings_without_any_label_cannot_be_fitted():
    with pytest.raises(HarnessError, match="no bin of the 1 training recordings is labelled"):
        Dlink(preset="tiny").fit([recording(labels=False)], [])


def regression(seed=0):
    """A small network with dropout and running means that learns a line from 40 windows."""
    x = torch.from_numpy(np.random.default_rng(8).normal(size=(40, 3))).float()
    torch.manual_seed(seed)
    module = torch.nn.Sequential(
        torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Dropout(0.3), torch.nn.Linear(4, 1)
    )

    def loss(numbers, rng):
        noise = torch.from_numpy(rng.normal(0, 0.1, (len(numbers), 3))).float()
        return ((module(x[numbers] + noise) - x[numbers].sum(dim=1, keepdim=True)) ** 2).mean()

    return Objective(module, loss, np.arange(30), np.arange(30, 40))


RECIPE = Recipe(25, 60, 8, 0.05, 0.1, "cosine", 0.05, 3, 6)


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
    Training(resumed, RECIPE, seed=4).run(Memory(kept))
    ends = [objective.module.state_dict().values() for objective in (whole, resumed)]
    assert all(torch.equal(*pair) for pair in zip(*ends, strict=True))


@pytest.mark.parametrize("keeps_start", [True, False])
def test_the_weights_it_began_with_stay_only_if_the_recipe_says_so(keeps_start):
    objective = regression()
    before = {k: v.clone() for k, v in objective.module.state_dict().items()}
    Training(objective, replace(RECIPE, learning_rate=1e3, keeps_start=keeps_start), seed=4).run(Memory())
    same = [torch.equal(v, before[k]) for k, v in objective.module.state_dict().items()]
    assert all(same) == keeps_start


def test_a_loss_that_is_not_finite_is_an_error():
    objective = replace(regression(), loss=lambda numbers, rng: torch.tensor(torch.nan))
    with pytest.raises(HarnessError, match="loss became nan"):
        Training(objective, RECIPE, seed=4).run(Memory())


def test_stages_share_one_checkpoint_and_one_bar():
    memory = Memory()
    first, second = Stage(memory, 0, 2), Stage(memory, 1, 2)
    first.save({"x": np.ones(2)})
    assert first.load()["x"].sum() == 2 and second.load() is None and not first.is_past
    second.save({"x": np.zeros(2)})
    assert first.is_past and first.load() is None
    second.report(1, 4)
    assert memory.reports == [(1250, 2000)]


def test_a_teacher_that_was_interrupted_in_its_second_stage_ends_the_same(monkeypatch):
    monkeypatch.setattr("baselines.pretraining.SAVE_EVERY_S", 0.0)
    taught = pretrained(DlinkTeacher)
    memory = Stopping(n_saves=6)  # four of masking, two of four of tuning
    interrupted = DlinkTeacher(preset="tiny")
    interrupted.checkpoint = memory
    with pytest.raises(InterruptedError):
        interrupted.pretrain(sources())
    resumed = DlinkTeacher(preset="tiny")
    resumed.checkpoint = Memory(memory.arrays)
    resumed.pretrain(sources())
    assert all(np.array_equal(taught[k], v) for k, v in resumed.state().items())


class Stopping(Memory):
    """A checkpoint whose owner is stopped after so many notes."""

    def __init__(self, n_saves):
        super().__init__()
        self.n_saves = n_saves

    def save(self, arrays):
        self.arrays = {k: v.copy() for k, v in arrays.items()}
        self.n_saves -= 1
        if not self.n_saves:
            raise InterruptedError

"""What a store keeps of a recording to look at: which labels, how much of the inputs, and what of a foreign file."""

import json
import zipfile
from dataclasses import replace

import numpy as np
import pytest

from harness.data.cache import Cache
from harness.data.download import locate
from harness.data.prepare import prepare
from harness.data.protocol import ClassesAt, TargetAt
from harness.data.suites import load_suite
from harness.errors import BadData
from harness.evaluate import evaluate
from harness.judge.folds import joined_parts
from harness.plan import Plan
from harness.registry import find
from harness.results import shown
from harness.results.cells import arrays_to_npz, npz_to_arrays
from harness.results.excerpt import excerpt
from harness.results.store import Store
from harness.types import Inputs, Recording, SessionInfo, StreamInfo
from tests.tiny import Quiet, quick_profile, write_tiny_suite

DATA = "d" * 64


def made_up(n_bins: int = 50, *, seed: int = 0, units: int = 6) -> Recording:
    """A part with counts and a signal of ten channels with four samples a bin."""
    rng = np.random.default_rng(seed)
    streams = {
        "spikes": rng.poisson(2.0, (n_bins, units)).astype(np.float32),
        "lfp": rng.normal(size=(n_bins, 4, 10)).astype(np.float32),
    }
    lfp = StreamInfo(10, 4, 200.0, "V", tuple(f"c{i}" for i in range(10)))
    info = SessionInfo("tiny-0", "t", {"spikes": StreamInfo(units), "lfp": lfp}, 0.02, ("x", "y"))
    targets = rng.normal(size=(n_bins, 2)).astype(np.float32)
    targets[:3] = np.nan
    return Recording(info, Inputs(streams, np.arange(n_bins) % 25 == 0, 0.02), targets, np.arange(n_bins) >= 5)


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    return load_suite(str(write_tiny_suite(tmp_path_factory.mktemp("suite"))))


@pytest.fixture
def kept(tmp_path, suite):
    """A store with the made-up part, and what is read of it."""
    shown.keep(Store(tmp_path), suite, suite.sessions[0], made_up(), DATA)
    return Store(tmp_path), shown.shown_path(Store(tmp_path), suite.label, "tiny-0", DATA)


def read(store: Store, session: str = "tiny-0", data: str = DATA):
    return shown.read_shown(store, "tiny@1", session, data)


def test_what_is_read_is_what_the_judge_scored(kept):
    part, (found, why) = made_up(), read(kept[0])
    np.testing.assert_array_equal(found.targets, part.targets)
    np.testing.assert_array_equal(found.scored, part.scored)
    np.testing.assert_array_equal(found.starts, part.inputs.starts)
    assert (why, found.about.outputs, found.about.quantity, found.about.bin_s) == ("", ("x", "y"), "velocity", 0.02)
    assert kept[1].relative_to(kept[0].root).as_posix() == f"recordings/tiny@1/tiny-0-{'d' * 12}.npz"


def test_counts_are_kept_as_they_are_and_signals_as_lowest_and_highest_of_a_bin(kept):
    part, (found, _) = made_up(), read(kept[0])
    np.testing.assert_array_equal(found.streams["spikes"], part.inputs.streams["spikes"])
    lfp, about = part.inputs.streams["lfp"], found.about.streams["lfp"]
    assert about.channels == ("c0", "c1", "c3", "c4", "c5", "c6", "c8", "c9") and about.n_channels == 10
    for i, name in enumerate(about.channels):
        for k in range(len(part)):
            samples = lfp[k, :, int(name[1:])].tolist()
            assert found.streams["lfp"][k, :, i].tolist() == [min(samples), max(samples)]


def test_only_as_many_units_are_kept_as_fit_and_these_are_spread_out():
    about, values = excerpt(made_up(units=100), "spikes", 50, most_bytes=50 * 12)
    assert values.nbytes == 50 * 12 and values.dtype == np.uint8
    assert np.diff([int(name) for name in about.channels]).tolist() == [9] * 11
    assert excerpt(made_up(), "lfp", 50, most_bytes=10)[1].shape == (50, 2, 0)


def test_more_than_255_spikes_in_a_bin_are_255():
    part = made_up()
    part.inputs.streams["spikes"][0, :2] = 300, np.nan
    assert excerpt(part, "spikes", 50, most_bytes=1 << 20)[1][0, :2].tolist() == [255, 0]


def test_a_long_part_is_cut_where_its_labels_get_too_large(tmp_path, suite, monkeypatch):
    monkeypatch.setattr(shown, "MOST_TARGET_BYTES", 30 * 8)
    shown.keep(Store(tmp_path), suite, suite.sessions[0], made_up(), DATA)
    found, _ = read(Store(tmp_path))
    assert (len(found), found.about.n_bins, len(found.streams["lfp"])) == (30, 50, 30)


def test_a_file_of_a_long_recording_stays_within_its_bound(tmp_path, suite):
    streams = {
        name: np.zeros((200_000, *v.shape[1:]), np.float32) for name, v in made_up(1, units=30).inputs.streams.items()
    }
    session = replace(made_up().session, streams={**made_up().session.streams, "spikes": StreamInfo(30)})
    inputs = Inputs(streams, np.zeros(200_000, bool), 0.02)
    part = Recording(session, inputs, np.zeros((200_000, 2), np.float32), np.ones(200_000, bool))
    shown.keep(Store(tmp_path), suite, suite.sessions[0], part, DATA)
    found, _ = read(Store(tmp_path))
    n_bytes = found.targets.nbytes + found.scored.nbytes + found.starts.nbytes
    assert n_bytes + sum(v.nbytes for v in found.streams.values()) < 12 << 20
    assert len(found) == 200_000 and found.streams["spikes"].shape[1] == 20


def test_the_same_part_again_changes_nothing_and_other_labels_replace_it(kept, suite):
    store, path = kept
    before = path.stat().st_ino
    shown.keep(store, suite, suite.sessions[0], made_up(), DATA)
    assert path.stat().st_ino == before
    shown.keep(store, suite, suite.sessions[0], made_up(seed=1), DATA)
    np.testing.assert_array_equal(read(store)[0].targets, made_up(seed=1).targets)


def test_a_decoder_that_reads_another_stream_adds_it(tmp_path, suite):
    store = Store(tmp_path)
    for name in ("spikes", "lfp"):
        shown.keep(store, suite, suite.sessions[0], made_up().with_streams([name]), DATA)
    assert set(read(store)[0].streams) == set(read(store)[0].about.streams) == {"spikes", "lfp"}


def test_folds_are_kept_as_they_were_joined(tmp_path, suite):
    part = joined_parts([made_up(), made_up(seed=1)])
    shown.keep(Store(tmp_path), suite, suite.sessions[0], part, DATA)
    found, _ = read(Store(tmp_path))
    assert len(found) == 100 and np.flatnonzero(found.starts).tolist() == [0, 25, 50, 75]


@pytest.mark.parametrize(
    "target, at, quantity",
    [
        ("neurobench", {"outputs": ("x", "y"), "derive": "gradient"}, "velocity"),
        ("velocity", {"outputs": ("x", "y")}, "velocity"),
        ("position", {"outputs": ("x", "y")}, "position"),
        ("velocity", {"outputs": ("x", "y"), "derive": "peer"}, ""),
        ("force", {"outputs": ("x", "y")}, ""),
        ("velocity", {"outputs": ("index", "mrs")}, ""),
    ],
)
def test_a_path_is_drawn_of_velocities_and_positions_in_a_plane_alone(suite, target, at, quantity):
    changed = _with_target(suite, target, TargetAt(path="p", **at))
    assert shown._about(changed, suite.sessions[0], made_up(), DATA).quantity == quantity


def test_classes_say_when_their_decision_is_due(suite):
    at = ClassesAt(column="c", classes={"left": ("l",), "right": ("r",)}, decision_s=1.5)
    about = shown._about(_with_target(suite, "hands", at), suite.sessions[0], made_up(), DATA)
    assert (about.decision_s, about.quantity) == (1.5, "")


def _with_target(suite, name, at):
    layouts = {"simulated": suite.layouts["simulated"].model_copy(update={"targets": {name: at}})}
    return suite.model_copy(update={"layouts": layouts, "task": suite.task.model_copy(update={"target": name})})


def spoilt(path, **changes):
    """The file with other arrays; None takes one away."""
    arrays = {**npz_to_arrays(path), **changes}
    path.write_bytes(arrays_to_npz({name: values for name, values in arrays.items() if values is not None}))


def described(path, **changes) -> np.ndarray:
    about = json.loads(npz_to_arrays(path)["about"].tobytes()) | changes
    return np.frombuffer(json.dumps(about).encode(), np.uint8)


@pytest.mark.parametrize(
    "changes, why",
    [
        ({"scored": None}, "no array 'scored'"),
        ({"scored": np.ones(50, np.uint8)}, "bool of shape"),
        ({"targets": np.float32(1)}, "targets is float32 of shape"),
        ({"targets": np.zeros((50, 3), np.float32)}, "of shape"),
        ({"streams/spikes": np.zeros((50, 6), np.float64)}, "uint8 of shape"),
        ({"about": np.frombuffer(b"[" * 100_000, np.uint8)}, "none of version 1"),
        ({"about": np.zeros(3, np.uint8)}, "none of version 1"),
    ],
)
def test_arrays_that_do_not_fit_together_are_refused_with_a_reason(kept, changes, why):
    spoilt(kept[1], **changes)
    found, said = read(kept[0])
    assert found is None and why in said


@pytest.mark.parametrize(
    "changes, why",
    [({"version": 2}, "none of version 1"), ({"bin_s": 0}, "none of version 1"), ({"data": "e" * 64}, "another")],
)
def test_a_description_of_something_else_is_refused(kept, changes, why):
    spoilt(kept[1], about=described(kept[1], **changes))
    found, said = read(kept[0])
    assert found is None and why in said


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no zip", None])
def test_a_broken_file_is_refused_with_a_reason(kept, content):
    store, path = kept
    path.write_bytes(path.read_bytes()[:-200] if content is None else content)
    found, why = read(store)
    assert found is None and "cannot be read" in why


def test_a_pickle_is_never_run(kept, tmp_path):
    class Cheater:
        def __reduce__(self):
            return (tmp_path.joinpath("ran").touch, ())

    np.savez(kept[1], about=np.array([Cheater()], dtype=object))
    assert read(kept[0])[0] is None and not (tmp_path / "ran").exists()


def test_a_file_that_unpacks_to_too_much_is_not_unpacked(kept):
    with zipfile.ZipFile(kept[1], "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("about.npy", bytes(shown.MOST_BYTES_READ + 1))
    assert "are allowed" in read(kept[0])[1]
    with pytest.raises(BadData, match="are allowed"):
        shown.read_arrays(kept[1], ["about"])


@pytest.mark.parametrize("session", ["../../etc", "a/b", "x" * 5000, "", "..", "nul\0"])
def test_names_of_a_foreign_record_reach_no_other_folder(tmp_path, session):
    path = shown.shown_path(Store(tmp_path), f"..{session}", session, "../../../x")
    assert path.parent.parent == tmp_path / "recordings" and path.parent.name not in ("", "..")
    found, why = shown.read_shown(Store(tmp_path), session, session, "md5:0123")
    assert found is None and why


def test_a_test_pass_leaves_what_was_tested_even_if_the_decoder_fails(tmp_path, suite, root):
    files = locate(suite.sessions[:1], Cache(tmp_path / "data"))
    decoder = find(f"{root}/tests/hostile/misbehaving.py:SaysNan")
    store = Store(tmp_path / "results")
    one = suite.model_copy(update={"sessions": suite.sessions[:1]})
    (record,) = evaluate(Plan(one, "simulated", files, [decoder], quick_profile(), store), Quiet())
    found, _ = shown.read_shown(store, record.suite, "tiny-0", record.sessions[0].sha256)
    part = prepare(one, one.sessions[0], files["tiny-0"]).test
    assert record.status == "invalid-output"
    np.testing.assert_array_equal(found.targets, part.targets)
    np.testing.assert_array_equal(found.streams["spikes"], part.inputs.streams["spikes"])

"""Notes of a training: whole or absent, whatever dies when."""

import errno
import os

import numpy as np
import pytest

from harness.checkpoint import Checkpoint, Progress, read_progress
from harness.errors import DecoderError
from harness.judge.notes import Notes


@pytest.fixture
def files(tmp_path):
    opened = [os.open(tmp_path / name, os.O_RDWR | os.O_CREAT) for name in ("first", "second", "progress")]
    yield opened
    for descriptor in opened:
        os.close(descriptor)


def checkpoint(files) -> Checkpoint:
    return Checkpoint(files[:2], files[2])


def test_outside_of_an_evaluation_nothing_is_kept_and_nothing_fails():
    nowhere = Checkpoint()
    nowhere.save({"weights": np.ones(3)})
    nowhere.report(1, 2, 0.5)
    assert nowhere.load() is None


def test_what_was_saved_last_is_found_by_the_next_attempt(files):
    for k in range(5):
        checkpoint(files).load()
        one = checkpoint(files)
        one.load()
        one.save({"k": np.array(k), "weights": np.full((100, 3), k, np.float32)})
    found = checkpoint(files).load()
    assert found["k"] == 4 and (found["weights"] == 4).all() and found["weights"].dtype == np.float32


@pytest.mark.parametrize("n_bytes", [0, 10, 40, 41, 300, 5000])
def test_a_note_that_was_cut_short_leaves_the_one_before(files, n_bytes):
    one = checkpoint(files)
    one.save({"weights": np.zeros(1000)})
    one.save({"weights": np.ones(1000)})
    newest = files[2 % 2]
    os.ftruncate(newest, n_bytes)
    assert (checkpoint(files).load()["weights"] == 0).all()


def test_a_note_that_finds_no_room_is_left_out_and_the_one_before_stays_however_often(files, monkeypatch):
    def full(descriptor, content, offset):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    one = checkpoint(files)
    for k in range(2):
        one.save({"k": np.array(k)})
    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", full)
        for k in range(2, 5):
            one.save({"k": np.array(k)})
            one.report(k, 5)
    assert checkpoint(files).load()["k"] == 1
    one.save({"k": np.array(5)})
    assert checkpoint(files).load()["k"] == 5


def test_another_fault_of_a_note_is_the_decoders_to_hear(files, monkeypatch):
    def too_large(descriptor, content, offset):
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))

    monkeypatch.setattr(os, "pwrite", too_large)
    with pytest.raises(OSError, match="File too large"):
        checkpoint(files).save({"k": np.array(1)})


def test_a_damaged_note_is_not_believed(files):
    one = checkpoint(files)
    one.save({"weights": np.zeros(1000)})
    for slot in files[:2]:
        if os.fstat(slot).st_size:
            os.pwrite(slot, b"x", 500)
    assert checkpoint(files).load() is None


def test_a_note_after_one_that_was_never_loaded_is_the_newer_one(files):
    earlier = checkpoint(files)
    for k in range(4):
        earlier.save({"k": np.array(k)})
    checkpoint(files).save({"k": np.array(100)})
    assert checkpoint(files).load()["k"] == 100


@pytest.mark.parametrize("name", ["file", "allow_pickle", "array x", "a/b", ""])
def test_an_array_may_have_any_name(files, name):
    checkpoint(files).save({name: np.arange(3)})
    assert checkpoint(files).load()[name].tolist() == [0, 1, 2]


def test_objects_are_refused_when_saved_for_they_could_never_be_loaded(files):
    with pytest.raises(DecoderError, match="'best' is an array of Python objects"):
        checkpoint(files).save({"best": None})
    assert checkpoint(files).load() is None


def test_seconds_of_interrupted_attempts_add_up_even_where_the_judge_was_killed(tmp_path):
    with Notes(tmp_path / "n") as notes:
        checkpoint(notes.descriptors).save({"k": np.array(1)})
        assert notes.total_s(10.0) == 10.0
    killed = Notes(tmp_path / "n").__enter__()
    checkpoint(killed.descriptors).save({"k": np.array(2)})
    began_s = (tmp_path / "n" / "spent").stat().st_mtime
    for slot in killed.descriptors:
        os.utime(slot, (began_s + 5, began_s + 5))
        os.close(slot)
    with Notes(tmp_path / "n") as notes:
        assert notes.total_s(1.0) == pytest.approx(16.0)


def test_progress_of_many_bytes_is_not_kept(tmp_path):
    with Notes(tmp_path / "n") as notes:
        checkpoint(notes.descriptors).save({"k": np.array(1)})
        os.ftruncate(notes.descriptors[-1], 1 << 30)
    assert (tmp_path / "n" / "progress").stat().st_size == 0


def test_a_file_that_was_closed_to_everybody_is_made_anew(tmp_path, monkeypatch):
    (tmp_path / "first").write_bytes(b"x")
    opened, refusals = os.open, [PermissionError()]
    monkeypatch.setattr(os, "open", lambda *given: _raise(refusals.pop()) if refusals else opened(*given))
    with Notes(tmp_path) as notes:
        assert os.fstat(notes.descriptors[0]).st_size == 0


def _raise(error: Exception):
    raise error


def test_progress_is_read_as_reported_and_nonsense_is_nobodys(files):
    assert read_progress(files[2]) is None
    checkpoint(files).report(3, 10, 0.25)
    assert read_progress(files[2]) == Progress(3, 10, 0.25)
    checkpoint(files).report(11, 10)
    assert read_progress(files[2]) is None

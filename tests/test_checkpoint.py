"""Notes of a training: whole or absent, whatever dies when."""

import os

import numpy as np
import pytest

from harness.checkpoint import Checkpoint, Progress, read_progress


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


def test_a_damaged_note_is_not_believed(files):
    one = checkpoint(files)
    one.save({"weights": np.zeros(1000)})
    for slot in files[:2]:
        if os.fstat(slot).st_size:
            os.pwrite(slot, b"x", 500)
    assert checkpoint(files).load() is None


def test_progress_is_read_as_reported_and_nonsense_is_nobodys(files):
    assert read_progress(files[2]) is None
    checkpoint(files).report(3, 10, 0.25)
    assert read_progress(files[2]) == Progress(3, 10, 0.25)
    checkpoint(files).report(11, 10)
    assert read_progress(files[2]) is None

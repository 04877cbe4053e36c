"""A session larger than memory: its signals stay in files, and only blocks of them are in memory."""

import os
import tracemalloc

import h5py
import numpy as np
import pytest

from harness.data import nwb_rows, signals
from harness.data.cache import Cache
from harness.data.contents import Regular
from harness.data.nwb_file import open_nwb
from harness.data.nwb_rows import StoredRows, rows_of
from harness.data.nwb_series import read_signal
from harness.data.prepare import cut, prepare, read
from harness.data.prepared import prepare_once
from harness.data.protocol import SignalAt
from harness.data.room import Scratch
from harness.data.suites import load_suite
from harness.errors import BadData
from harness.judge import wire
from harness.types import Inputs, SessionInfo, StreamInfo
from tests import nwb_files as files
from tests.perf.test_memory import CURSOR, SUITE
from tests.same_parts import same

RATE_HZ, SECONDS, N_CHANNELS = 1000, 40, 64
STREAM_BYTES = 4 * SECONDS * RATE_HZ * N_CHANNELS


@pytest.fixture
def session(tmp_path):
    """A suite, a session with a signal of noise, and its file."""
    rng = np.random.default_rng(0)
    times_s = np.arange(250 * SECONDS) / 250
    counts = rng.integers(-3000, 3000, (RATE_HZ * SECONDS, N_CHANNELS), dtype=np.int16)
    with h5py.File(tmp_path / "session.nwb", "w") as file:
        files.put_series(file, "acquisition/v", counts, rate_hz=RATE_HZ, unit="volts", chunks=(1000, N_CHANNELS))
        files.put_series(file, CURSOR, files.path_of(times_s, rng), rate_hz=250)
    (tmp_path / "suite.yaml").write_text(SUITE)
    suite = load_suite(str(tmp_path / "suite.yaml"))
    return suite, suite.sessions[0], tmp_path / "session.nwb"


@pytest.fixture
def in_pieces(monkeypatch):
    """Every signal counts as long, and blocks are short."""
    monkeypatch.setattr(nwb_rows, "SMALL_BYTES", 0)
    monkeypatch.setattr(nwb_rows, "BLOCK_BYTES", 100_000)
    monkeypatch.setattr(signals, "BLOCK_ROWS", 1000)


def peak_bytes(call) -> int:
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_long_session_is_prepared_the_same_in_every_bit(session, tmp_path, in_pieces, monkeypatch):
    found = cut(*session[:2], read(*session, room=Scratch(tmp_path, small_bytes=0)))
    kept = prepare_once(*session, cache=Cache(tmp_path / "data"))
    monkeypatch.undo()
    assert same(found, prepare(*session)) and same(kept, prepare(*session))


def test_preparing_a_long_session_takes_memory_for_blocks_alone(session, tmp_path, in_pieces):
    read(*session)  # what is imported on the way
    in_memory = peak_bytes(lambda: read(*session))
    in_files = peak_bytes(lambda: read(*session, room=Scratch(tmp_path, small_bytes=0)))
    assert in_memory > STREAM_BYTES
    assert in_files < STREAM_BYTES / 2


def test_scratch_arrays_are_whole_after_their_pages_were_let_go(tmp_path):
    room = Scratch(tmp_path, small_bytes=0)
    values = room.empty((100_000, 3))
    values[:] = np.arange(300_000).reshape(-1, 3)
    room.let_go()
    np.testing.assert_array_equal(values, np.arange(300_000, dtype=np.float32).reshape(-1, 3))
    assert list(tmp_path.iterdir()) == []


def test_a_disk_without_room_puts_arrays_into_memory(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    values = Scratch(tmp_path, small_bytes=0).empty((1000, 3))
    assert values.base is None and values.shape == (1000, 3)


@pytest.mark.parametrize("columns", [None, (0, 1, 2), (5, 3)])
def test_rows_that_stay_in_the_file_are_those_of_the_array(session, in_pieces, columns):
    path = session[2]
    with h5py.File(path) as file:
        whole = file["acquisition/v/data"][()]
    with open_nwb(path) as nwb:
        rows = rows_of(nwb, "acquisition/v/data", columns)
    right = whole if columns is None else whole[:, list(columns)]
    assert isinstance(rows, StoredRows) and (rows.shape, rows.dtype, len(rows)) == (
        right.shape,
        right.dtype,
        len(right),
    )
    np.testing.assert_array_equal(np.asarray(rows), right)
    np.testing.assert_array_equal(rows[1990:2010], right[1990:2010])
    np.testing.assert_array_equal(rows[39_999:50_000], right[39_999:])


def test_a_file_that_stores_all_in_one_piece_is_read_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(nwb_rows, "SMALL_BYTES", 0)
    monkeypatch.setattr(nwb_rows, "MOST_CHUNK_BYTES", 1000)
    with h5py.File(tmp_path / "a.nwb", "w") as file:
        file.create_dataset("v", data=np.zeros((400, 4), np.int16), chunks=(400, 1), compression="gzip")
        file.create_dataset("w", data=np.zeros((800, 4), np.int16), chunks=(800, 1), compression="gzip")
    with open_nwb(tmp_path / "a.nwb") as nwb:
        assert isinstance(rows_of(nwb, "v", None), StoredRows)
        assert isinstance(rows_of(nwb, "w", None), np.ndarray)


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_a_value_that_is_not_finite_is_found_in_any_block(tmp_path, in_pieces, wrong):
    values = np.ones((5000, 8), np.float32)
    values[4321, 3] = wrong
    with h5py.File(tmp_path / "a.nwb", "w") as file:
        files.put_series(file, "acquisition/v", values, rate_hz=RATE_HZ, unit="volts")
    with open_nwb(tmp_path / "a.nwb") as nwb, pytest.raises(BadData, match="is not finite, first in row 4321"):
        read_signal(nwb, SignalAt(path="acquisition/v"))


@pytest.mark.parametrize("rate_hz", [1000.0, 24414.0625, 160.0, 1017.2526, 1 / 3])
@pytest.mark.parametrize("first_s", [0.0, 1e6, 9.05, -3.7])
def test_a_regular_clock_is_the_array_of_its_times(rate_hz, first_s):
    clock, right = Regular(700, rate_hz, first_s), np.arange(700) / rate_hz + first_s
    assert np.asarray(clock).tobytes() == right.tobytes() == clock[:].tobytes()
    assert (clock[-1], clock[5], len(clock)) == (right[-1], right[5], 700)
    near = np.concatenate([right, np.nextafter(right, np.inf), np.nextafter(right, -np.inf), [-1e9, 1e9]])
    between = np.random.default_rng(0).uniform(right[0] - 3 / rate_hz, right[-1] + 3 / rate_hz, 500)
    for instants_s in (near, between):
        for side in ("left", "right"):
            expected = np.searchsorted(right, instants_s, side=side)
            np.testing.assert_array_equal(clock.searchsorted(instants_s, side=side), expected)


def test_the_judge_copies_no_more_than_the_bin_that_it_sends():
    rng = np.random.default_rng(0)
    streams = {"spikes": rng.random((50, 3), np.float32), "lfp": rng.random((50, 10, 2), np.float32)}
    session = SessionInfo("s", "m", {"lfp": StreamInfo(2, 10), "spikes": StreamInfo(3)}, 0.01, ("x",))
    flat = wire.flat_bins(Inputs(streams, np.arange(50) == 0, 0.01), session)
    assert [np.shares_memory(a, streams[name]) for a, name in zip(flat, session.streams, strict=True)] == [True, True]
    row = np.frombuffer(wire.row_of(flat, 7), "<f4")
    for name, where, shape in wire.bin_layout(session):
        np.testing.assert_array_equal(row[where].reshape(shape), streams[name][7])

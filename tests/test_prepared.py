"""Prepared sessions are kept, and what comes back is what preparing gives, whatever happens to the files."""

import json
import mmap
import os
import subprocess
import sys
import time
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pytest

from harness.data import arrow_file, prepared_key, prepared_room
from harness.data import prepared as preparing
from harness.data.array_json import decoded, encoded
from harness.data.cache import Cache
from harness.data.download import locate
from harness.data.prepare import prepare
from harness.data.prepared import prepare_once
from harness.data.prepared_key import code_files, key_of, key_parts
from harness.data.prepared_room import LIMIT_VARIABLE, all_prepared, clear, make_room
from harness.data.split_rules import n_folds
from harness.data.suites import Simulated, Suite, load_suite
from harness.errors import BadData, MissingData, UsageError
from tests import nwb_files as files
from tests.same_parts import arrays_of, same
from tests.test_eeg_evaluation import SUITE as EEG_SUITE
from tests.test_eeg_evaluation import write_subject

SIMULATED = [
    ("primate-reaching", "simulated", 0.5),
    ("primate-reaching", "neurobench-simulated", 0.5),
    ("primate-lfp", "simulated", 1.25),
    ("primate-lfp-peer", "simulated", 0.5),
]
"""Suite, tier, minutes: long enough for a validation part between gaps."""
PUBLIC = {
    "nlb-mc_rtt": files.mc_rtt,
    "nlb-mc_maze_small": files.mc_maze,
    "falcon-m1a": files.falcon_m1,
    "falcon-m2": files.falcon_m2,
    "falcon-h1": files.falcon_h1,
}


@pytest.fixture
def maze(tmp_path):
    """A suite, a session with trials, and its file."""
    suite, session = files.suite_for("nlb-mc_maze_small")
    return suite, session, files.mc_maze(tmp_path / "a.nwb").path


def kept(cache: Cache) -> list[Path]:
    return [one.path for one in all_prepared(cache)]


def agrees(suite, session, path, cache, **asked) -> bool:
    """Whether what is put into the cache, and what comes out of it, is what `prepare` gives."""
    expected = prepare(suite, session, path, **asked)
    first = prepare_once(suite, session, path, cache=cache, **asked)
    return same(first, expected) and same(prepare_once(suite, session, path, cache=cache, **asked), expected)


@pytest.mark.parametrize("group", PUBLIC)
def test_every_public_layout_comes_back_bit_for_bit(group, tmp_path, cache):
    suite, session = files.suite_for(group)
    assert agrees(suite, session, PUBLIC[group](tmp_path / "a.nwb").path, cache)
    assert len(kept(cache)) == 1


@pytest.mark.parametrize("task", ["CO", "RT"])
def test_ragged_trial_columns_come_back_too(task, tmp_path, cache):
    truth = files.perich(tmp_path / "a.nwb", task=task)
    suite = load_suite("primate-reaching")
    session = next(s for s in suite.sessions if s.split == f"perich-{task.lower()}")
    assert agrees(suite, session, truth.path, cache)


@pytest.mark.parametrize("name, tier, minutes", SIMULATED)
def test_every_task_of_simulated_sessions_comes_back_bit_for_bit(name, tier, minutes, tmp_path, cache):
    for suite in load_suite(name).variants(tier):
        short = shortened(suite, tier, minutes)
        path = locate(short.sessions, Cache(tmp_path / "data"))[short.sessions[0].id]
        assert agrees(short, short.sessions[0], path, cache)
        if len(suite.task.inputs) > 1:
            assert agrees(short, short.sessions[0], path, cache, streams=suite.task.inputs[-1:])


def shortened(suite: Suite, tier: str, minutes: float) -> Suite:
    """The suite with its first session of a tier alone, and not much of it."""
    first = suite.in_tier(tier)[0]
    assert isinstance(first.source, Simulated)
    source = first.source.model_copy(update={"parameters": {**first.source.parameters, "minutes": minutes}})
    return suite.model_copy(update={"sessions": (first.model_copy(update={"source": source}),)})


def test_folds_share_one_prepared_session(tmp_path, cache):
    (tmp_path / "eeg.yaml").write_text(EEG_SUITE)
    suite = load_suite(str(tmp_path / "eeg.yaml"))
    session, path = suite.sessions[0], tmp_path / "A.nwb"
    write_subject(path, effect=1.0, seed=0)
    for fold in range(n_folds(suite.splits[session.split])):
        assert agrees(suite, session, path, cache, fold=fold)
    assert len(kept(cache)) == 1


def test_real_recordings_come_back_bit_for_bit(realdata, cache):
    for name in ("realdata-reaching", "realdata-lfp"):
        for suite in load_suite(name).variants("local"):
            for session in suite.sessions:
                assert agrees(suite, session, realdata / session.source.path, cache)


def lowest(values: np.ndarray) -> object:
    """What an array is a view of, in the end."""
    while isinstance(values, np.ndarray):
        values = values.base
    return values.obj if isinstance(values, memoryview) else values


def test_what_comes_out_is_mapped_and_cannot_be_written_to(maze, cache, monkeypatch):
    monkeypatch.setattr(arrow_file, "SMALL_BYTES", 0)
    prepare_once(*maze, cache=cache)
    key = key_of(key_parts(*maze) | {"format": preparing.FORMAT})
    whole = preparing.find(cache, key)
    values = whole.aligned.recording.inputs.streams["spikes"]
    assert not values.flags.writeable and isinstance(lowest(values), mmap.mmap)
    with pytest.raises(ValueError, match="read-only"):
        values[0, 0] = 1


def test_the_same_file_opens_as_a_hugging_face_dataset_with_a_row_per_bin(maze, cache):
    prepare_once(*maze, cache=cache)
    (path,) = kept(cache)
    rows = datasets.Dataset.from_file(str(path)).with_format("numpy")
    key = key_of(key_parts(*maze) | {"format": preparing.FORMAT})
    aligned = preparing.find(cache, key).aligned
    np.testing.assert_array_equal(rows["tick"][:], aligned.ticks)
    np.testing.assert_array_equal(np.stack(rows[:]["inputs.spikes"]), aligned.recording.inputs.streams["spikes"])


def test_arrow_reads_the_columns_that_numpy_maps(maze, cache):
    prepare_once(*maze, cache=cache)
    (path,) = kept(cache)
    with pa.memory_map(str(path)) as file:
        right = arrays_of(pa.ipc.open_stream(file).read_all().to_batches()[0])
    columns, _ = arrow_file.mapped(path)
    assert list(columns) == list(right)
    for name, values in right.items():
        assert (columns[name].dtype, columns[name].tobytes()) == (values.dtype, values.tobytes())


def test_a_small_file_is_read_so_that_few_files_are_open(maze, cache):
    before = len(list(Path("/proc/self/fd").iterdir()))
    held = [prepare_once(*maze, cache=cache) for _ in range(20)]
    assert len(list(Path("/proc/self/fd").iterdir())) < before + len(held)


def test_mapping_loads_no_heavy_library(maze, cache):
    prepare_once(*maze, cache=cache)
    code = (
        "import sys\nfrom pathlib import Path\nfrom harness.data import arrow_file\n"
        f"arrow_file.mapped(Path({str(kept(cache)[0])!r}))\n"
        "print([n for n in ('pyarrow', 'pandas') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_second_process_does_not_read_the_recording(maze, cache):
    suite, session, path = maze
    expected = prepare_once(suite, session, path, cache=cache)
    size = path.stat().st_size
    path.write_bytes(bytes(size))  # pinned by its digest, so its content is not looked at again
    assert same(prepare_once(suite, session, path, cache=cache), expected)


@pytest.mark.parametrize("place", [8, 0.02, 0.5, 0.999])
def test_a_flipped_bit_is_found_said_and_made_good(maze, cache, caplog, place):
    expected = prepare_once(*maze, cache=cache)
    (path,) = kept(cache)
    content = bytearray(path.read_bytes())
    content[place if place >= 1 else int(place * len(content))] ^= 1
    rewrite(path, bytes(content))
    assert same(prepare_once(*maze, cache=cache), expected)
    assert "is damaged: its content is not what its name says. It is prepared again." in caplog.text
    assert prepared_room.intact(*kept(cache))


@pytest.mark.parametrize("content", [b"", b"\xff" * 100, None], ids=["empty", "nonsense", "cut short"])
def test_a_file_of_other_content_is_made_good(maze, cache, content):
    expected = prepare_once(*maze, cache=cache)
    (path,) = kept(cache)
    rewrite(path, path.read_bytes()[:-1000] if content is None else content)
    assert same(prepare_once(*maze, cache=cache), expected)
    assert prepared_room.intact(*kept(cache))


@pytest.mark.parametrize("content", [b"", b"no table", b"\xff\xff\xff\xff\x08\x01\x00\x00" + bytes(300)])
def test_a_file_whose_name_is_right_and_whose_content_is_no_session_is_made_good(maze, cache, caplog, content):
    import xxhash

    expected = prepare_once(*maze, cache=cache)
    (path,) = kept(cache)
    path.unlink()
    path.with_name(f"{path.stem.partition('-')[0]}-{xxhash.xxh3_128(content).hexdigest()}.arrow").write_bytes(content)
    assert same(prepare_once(*maze, cache=cache), expected)
    assert "It is prepared again." in caplog.text and len(kept(cache)) == 1


def rewrite(path: Path, content: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(content)
    os.utime(path, ns=(0, time.time_ns() + 1))


def test_a_session_that_cannot_be_prepared_is_refused_as_without_a_cache(maze, cache):
    suite, session, path = maze
    path.write_bytes(b"no recording")
    with pytest.raises(BadData, match="cannot be read as an NWB"):
        prepare_once(suite, session, path, cache=cache)
    path.unlink()
    with pytest.raises(MissingData, match="does not exist; fetch it"):
        prepare_once(suite, session, path, cache=cache)
    assert kept(cache) == []


def test_another_task_layout_session_or_recording_has_another_key(maze):
    suite, session, path = maze
    before = key_of(key_parts(suite, session, path))
    layout = suite.layouts[session.layout]
    task = suite.task.model_copy(update={"bin_s": 0.04})
    others = [
        (suite.model_copy(update={"task": task}), session),
        (suite.model_copy(update={"layouts": {session.layout: layout.model_copy(update={"goals": "x"})}}), session),
        (suite, session.model_copy(update={"id": "another"})),
        (suite, session.model_copy(update={"source": session.source.model_copy(update={"sha256": "0" * 64})})),
    ]
    keys = {key_of(key_parts(other, one, path)) for other, one in others}
    assert len(keys | {before}) == 5
    with path.open("ab") as file:
        file.write(b"x")
    assert key_of(key_parts(suite, session, path)) not in keys | {before}


def test_another_split_of_the_same_columns_shares_the_prepared_session(maze):
    suite, session, path = maze
    rule = suite.splits[session.split].model_copy(update={"validation_fraction": 0.4})
    other = suite.model_copy(update={"splits": {session.split: rule}})
    assert key_of(key_parts(other, session, path)) == key_of(key_parts(suite, session, path))


def test_the_key_knows_the_code_and_the_libraries(maze, monkeypatch):
    before = key_of(key_parts(*maze))
    for name, value in (("_sha256", lambda files: "other code"), ("version", lambda name: "0")):
        monkeypatch.setattr(prepared_key, name, value)
        prepared_key.preparation.cache_clear()
        assert key_of(key_parts(*maze)) != before
        monkeypatch.undo()
    prepared_key.preparation.cache_clear()
    assert key_of(key_parts(*maze)) == before


def test_the_key_covers_every_file_of_the_harness_that_preparing_loads(tmp_path):
    """Measured: what a process has loaded once it has prepared a session of spikes and one of signals."""
    truth = files.mc_rtt(tmp_path / "a.nwb")
    code = (
        "import sys, json\nfrom pathlib import Path\nfrom harness.data.prepare import prepare\n"
        "from harness.data.suites import load_suite\n"
        "suite = load_suite('primate-reaching')\n"
        "session = next(s for s in suite.sessions if s.group == 'nlb-mc_rtt')\n"
        f"prepare(suite, session, Path({str(truth.path)!r}))\n"
        "print(json.dumps([m.__file__ for n, m in sys.modules.items() if n.startswith('harness')]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path.cwd())
    loaded = {Path(file) for file in json.loads(done.stdout)}
    faces = {path for path in loaded if path.name == "__init__.py"}
    beside = {"decoder.py", "checkpoint.py"}  # of the public face, for authors of decoders: no recording passes there
    missed = {path.name for path in loaded - faces - set(code_files())} - beside
    assert missed == set()
    assert {"align.py", "signals.py", "nwb_series.py", "types.py"} <= {path.name for path in code_files()}
    assert not {"download.py", "fetch.py", "metrics.py"} & {path.name for path in code_files()}


def test_two_processes_at_once_prepare_a_session_once(maze, cache, tmp_path):
    suite, session, path = maze
    code = (
        "import sys\nfrom pathlib import Path\nfrom harness.data import prepared\n"
        "from harness.data.cache import Cache\n"
        "from harness.data.suites import load_suite\n"
        "suite = load_suite('primate-reaching')\nsession = next(s for s in suite.sessions if s.group == sys.argv[1])\n"
        "real = prepared.read\n"
        "def read(*a, **k):\n    print('read', flush=True)\n    return real(*a, **k)\n"
        "prepared.read = read\n"
        "parts = prepared.prepare_once(suite, session, Path(sys.argv[2]), cache=Cache(Path(sys.argv[3])))\n"
        "print(len(parts.train))"
    )
    command = [sys.executable, "-c", code, "nlb-mc_maze_small", str(path), str(cache.root)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [one.communicate(timeout=120)[0].split() for one in both]
    assert sorted(len(words) for words in said) == [1, 2]
    assert said[0][-1] == said[1][-1] == str(len(prepare(suite, session, path).train))


def test_a_folder_without_the_right_to_write_is_used_as_it_is(maze, cache, monkeypatch):
    suite, session, path = maze
    expected = prepare_once(suite, session, path, cache=cache)
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)  # root could write there all the same
    for denied in ("utime", "unlink"):
        monkeypatch.setattr(os, denied, refused)
    assert same(prepare_once(suite, session, path, cache=cache), expected)
    another = session.model_copy(update={"id": "another"})
    assert len(prepare_once(suite, another, path, cache=cache).train) == len(expected.train)
    assert len(kept(cache)) == 1


def refused(*_, **__):
    raise PermissionError(13, "Permission denied")


def test_where_nothing_can_be_written_the_session_is_prepared_in_memory(maze, tmp_path):
    (tmp_path / "file").write_text("no folder")
    assert same(prepare_once(*maze, cache=Cache(tmp_path / "file" / "cache")), prepare(*maze))


def test_a_full_disk_is_said_and_the_session_is_there_all_the_same(maze, cache, monkeypatch, caplog):
    def full(self, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(arrow_file._Digested, "write", full)
    assert same(prepare_once(*maze, cache=cache), prepare(*maze))
    assert "could not be kept" in caplog.text and "No space left on device" in caplog.text
    assert kept(cache) == [] and list((cache.root / "parts").iterdir()) == []


def test_least_recently_used_sessions_make_room(maze, cache, monkeypatch):
    suite, session, path = maze
    sessions = [session.model_copy(update={"id": name}) for name in "abc"]
    for one in sessions[:2]:
        prepare_once(suite, one, path, cache=cache)
    size = sum(one.n_bytes for one in all_prepared(cache)) / 1e9
    prepare_once(suite, sessions[0], path, cache=cache)  # a is used again, so b goes
    monkeypatch.setenv(LIMIT_VARIABLE, str(1.2 * size))
    prepare_once(suite, sessions[2], path, cache=cache)
    there = {one.id: bool(preparing.find(cache, key(suite, one, path))) for one in sessions}
    assert there == {"a": True, "b": False, "c": True}


def key(suite, session, path) -> str:
    return key_of(key_parts(suite, session, path) | {"format": preparing.FORMAT})


def test_a_session_that_makes_room_stays_readable_to_who_has_it_mapped(maze, cache):
    mapped = prepare_once(*maze, cache=cache)
    assert [one.path.exists() for one in clear(cache)] == [False]
    assert same(mapped, prepare(*maze))


def test_a_limit_of_nothing_keeps_nothing(maze, cache, monkeypatch):
    monkeypatch.setenv(LIMIT_VARIABLE, "0")
    assert same(prepare_once(*maze, cache=cache), prepare(*maze))
    assert kept(cache) == []


def test_a_limit_that_is_no_number_is_refused(cache, monkeypatch):
    monkeypatch.setenv(LIMIT_VARIABLE, "plenty")
    with pytest.raises(UsageError, match="'plenty', where a number of gigabytes belongs"):
        make_room(cache, 1)


def test_what_a_killed_process_left_goes_after_a_day(cache):
    old, new = (cache.folder("parts") / f"prepared-{name}.arrow" for name in ("old", "new"))
    for path in (old, new):
        path.write_bytes(b"x")
    os.utime(old, (0, time.time() - 90_000))
    make_room(cache, 1)
    assert (old.exists(), new.exists()) == (False, True)


@pytest.mark.parametrize(
    "values",
    [
        np.array([0.1, np.nan, -0.0]),
        np.array([[1, 2], [3, 4]], np.int16),
        np.array(["train", "välidation", ""]),
        np.array([], np.float64),
        np.empty((0, 3), np.float32),
    ],
    ids=lambda values: f"{values.dtype} {values.shape}",
)
def test_small_arrays_survive_json_bit_for_bit(values):
    back = decoded(json.loads(json.dumps(encoded(values))))
    assert (back.dtype, back.shape, back.tobytes()) == (values.dtype, values.shape, values.tobytes())


@pytest.mark.parametrize("rows", [[[1.0], [2.0, 3.0], []], [[1.0], [2.0]], [[]], []])
def test_ragged_columns_survive_json(rows):
    values = np.empty(len(rows), object)
    for i, row in enumerate(rows):
        values[i] = np.array(row, np.float32)
    back = decoded(json.loads(json.dumps(encoded(values))))
    assert back.dtype == object and [row.tolist() for row in back] == rows
    assert all(row.dtype == np.float32 for row in back)

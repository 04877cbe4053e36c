"""Sessions of several EDF files: fetched, checked, converted once, excluded by rule; from a server on loopback."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from harness.cli import app
from harness.data import eegmmidb, pins
from harness.data.cache import Cache, default_cache
from harness.data.convert import converted_id, converted_place, excluded
from harness.data.download import Access, locate, missing
from harness.data.identity import content_id
from harness.data.nwb_file import open_nwb
from harness.data.nwb_series import read_signal
from harness.data.pins import pins_in_list, pins_of
from harness.data.progress import Plan, Watcher
from harness.data.protocol import SignalAt
from harness.data.suites import Physionet, Session, shipped
from harness.errors import BadData, Excluded, MissingData, UsageError
from tests.archive_server import Archive, Manners, session
from tests.download_cases import PATIENCE
from tests.edf_files import motor_run
from tests.test_data_command import suite_of
from tests.tiny import write_quick_profile, write_tiny_suite

NAMES = [f"{subject}/{subject}R{run:02d}.edf" for subject, run in (("S001", 4), ("S001", 8), ("S002", 4), ("S002", 8))]
RUNS = {name: motor_run(seed, rate_hz=128 if name == "S002/S002R08.edf" else 160) for seed, name in enumerate(NAMES)}
"""Two runs of two subjects; the second subject's second run has a rate that the rule excludes."""


@pytest.fixture
def served(archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Archive:
    """Four runs at a server, pinned in place of those of their names, and an empty data folder."""
    for name, content in RUNS.items():
        archive.files[f"eegmmidb/1.0.0/{name}"] = content
    folder = tmp_path / "pins"
    folder.mkdir()
    real = pins_in_list(shipped("pins") / "eegmmidb-1.0.0.sha256")
    digests = {name: pin.key[1] for name, pin in real.items()}  # of all else, for suites that are shipped
    digests |= {name: hashlib.sha256(content).hexdigest() for name, content in RUNS.items()}
    lines = [f"{digest}  {name}\n" for name, digest in digests.items()]
    (folder / "eegmmidb-1.0.0.sha256").write_text("".join(lines))
    monkeypatch.setattr(pins, "shipped", lambda name: folder)
    monkeypatch.setenv("NEURAL_DECODER_DATA", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "200")
    return archive


def subject(name: str = "S001", *, runs: tuple[int, ...] = (4, 8), label: str = "") -> Session:
    source = Physionet(host="physionet", dataset="eegmmidb", version="1.0.0", subject=name, runs=runs)
    return session(label or name, source)


def get(archive: Archive, cache: Cache, *sessions: Session, watcher: Watcher | None = None) -> dict[str, Path]:
    access = Access(archive.api, PATIENCE, physionet=f"{archive.root}/files")
    return locate(sessions, cache, access=access, watcher=watcher)


class Diary(Watcher):
    """Writes down what it hears."""

    def __init__(self) -> None:
        self.plans: list[Plan] = []
        self.names: list[str] = []

    def planned(self, plan: Plan) -> None:
        self.plans.append(plan)

    def started(self, name: str, *, size: int | None) -> None:
        self.names.append(name)


# From the server to a file


def test_the_files_of_a_session_are_fetched_and_made_into_one(served, cache):
    diary = Diary()
    path = get(served, cache, subject(), watcher=diary)["S001"]
    with open_nwb(path) as nwb:
        found = read_signal(nwb, SignalAt(path="acquisition/eeg"))
    assert found.values.shape == (40_000, 64) and found.names == eegmmidb.CHANNELS
    assert path.stem == content_id(subject(), path) == converted_id(subject().source)
    assert diary.plans[0].size == "2 files, 0 B and 2 of unknown size" and diary.plans[0].licences == ("ODC-BY-1.0",)
    assert sorted(diary.names) == ["S001: converting to NWB", "eegmmidb/S001R04", "eegmmidb/S001R08"]


def test_what_is_there_is_neither_fetched_nor_made_again(served, cache, monkeypatch):
    paths = get(served, cache, subject())
    n_requests, written_ns = len(served.requests), paths["S001"].stat().st_mtime_ns
    monkeypatch.setattr(Cache, "folder", lambda *given: pytest.fail("a folder was asked for to write in"))
    for blob in cache.blobs():
        blob.path.unlink()  # the runs are not needed any more
    assert get(served, cache, subject()) == paths and missing([subject()], cache) == []
    assert (len(served.requests), paths["S001"].stat().st_mtime_ns) == (n_requests, written_ns)


def test_a_run_that_two_sessions_share_is_fetched_once(served, cache):
    one, both = subject(runs=(4,), label="one"), subject(label="both")
    paths = get(served, cache, one, both)
    assert paths["one"] != paths["both"]
    assert served.n_gets == {"eegmmidb/1.0.0/S001/S001R04.edf": 1, "eegmmidb/1.0.0/S001/S001R08.edf": 1}


def test_a_cut_file_is_resumed(served, cache):
    name = "eegmmidb/1.0.0/S001/S001R08.edf"
    served.manners[name] = Manners(times=1, cut_at=1_000_000)
    get(served, cache, subject())
    assert served.n_gets[name] == 2 and served.n_sent[name] < len(RUNS["S001/S001R08.edf"]) + 200_000


def test_wrong_bytes_of_one_file_are_refused_and_nothing_is_made(served, cache):
    served.files["eegmmidb/1.0.0/S001/S001R08.edf"] = RUNS["S001/S001R04.edf"]
    with pytest.raises(BadData, match="eegmmidb/S001R08 was refused: its sha256 is"):
        get(served, cache, subject())
    assert not (cache.root / "converted").exists() and len(list(cache.blobs())) == 1


def test_a_run_that_was_damaged_in_the_cache_is_not_converted(served, cache):
    get(served, cache, subject(runs=(4,)))
    (blob,) = cache.blobs()
    blob.path.chmod(0o644)
    blob.path.write_bytes(blob.path.read_bytes()[:-1] + b"?")
    with pytest.raises(BadData, match=r"damaged after it came: remove it with `harness data verify --repair`"):
        get(served, cache, subject())


def test_another_version_of_the_conversion_makes_another_file(served, cache, monkeypatch):
    first = get(served, cache, subject(runs=(4,)))["S001"]
    monkeypatch.setattr(eegmmidb, "VERSION", eegmmidb.VERSION + 1)
    second = get(served, cache, subject(runs=(4,)))["S001"]
    assert second != first and second.is_file()


def test_one_of_several_that_want_a_session_converts_it(served, cache, monkeypatch):
    converting, made = eegmmidb.convert, []
    monkeypatch.setattr(eegmmidb, "convert", lambda *given, **named: made.append(given) or converting(*given, **named))
    with ThreadPoolExecutor(3) as pool:
        paths = list(pool.map(lambda _: get(served, cache, subject(runs=(4,)))["S001"], range(3)))
    assert len(set(paths)) == len(made) == 1


CHILD = """
import sys, time
from pathlib import Path
from harness.data import nwb_pack, pins
from harness.data.cache import Cache
from harness.data.convert import converted_path
from harness.data.suites import Session
pins.shipped = lambda name: Path(sys.argv[2])
nwb_pack.name_objects = lambda *given: (print("written", flush=True), time.sleep(60))
converted_path(Session.model_validate_json(sys.argv[3]), Cache(Path(sys.argv[1])))
"""


def test_a_conversion_that_was_killed_is_begun_anew_and_leaves_nothing(served, cache, monkeypatch):
    one = subject(runs=(4,))
    with monkeypatch.context() as patched:
        patched.setattr(eegmmidb, "convert", lambda *given, **named: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            get(served, cache, one)
    command = [sys.executable, "-c", CHILD, cache.root, pins.shipped("pins"), one.model_dump_json()]
    with subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout.readline() == "written\n"
        os.kill(child.pid, signal.SIGKILL)
    assert not converted_place(one.source, cache).exists() and list((cache.root / "parts").glob("*.nwb"))
    assert get(served, cache, one)["S001"].is_file()
    assert list((cache.root / "parts").iterdir()) == []


def test_a_subject_or_run_that_nobody_pinned_is_refused(served, cache):
    with pytest.raises(BadData, match="S110/S110R04.edf is not among the 1526 files that .*eegmmidb-1.0.0.sha256"):
        get(served, cache, subject("S110"))


@pytest.mark.parametrize("runs", [(), (2,), (15,), (8, 4), (4, 4)])
def test_a_source_has_runs_of_tasks_in_their_order(runs):
    with pytest.raises(ValueError, match="runs"):
        subject(runs=runs)


def test_all_files_of_the_real_data_set_are_pinned():
    known = pins_in_list(shipped("pins") / "eegmmidb-1.0.0.sha256")
    assert len(known) == 1526 and len({pin.key for pin in known.values()}) == 1526
    names = [pin.name for pin in pins_of(subject("S109", runs=(6, 14)).source)]
    assert names == ["eegmmidb/S109R06", "eegmmidb/S109R14"]


@pytest.mark.parametrize("line", ["abc  a.edf", "", f"{'0' * 64} a.edf", f"{'0' * 64}  "])
def test_a_line_that_pins_nothing_is_named(tmp_path, line):
    path = tmp_path / "x-1.sha256"
    path.write_text(f"{'1' * 64}  b.edf\n{line}\n")
    with pytest.raises(UsageError, match="line 2|no sha256"):
        pins_in_list(path)


# Excluded ones


def test_an_excluded_session_is_left_out_and_says_why(served, cache):
    sessions = [subject("S002"), subject("S001")]
    assert list(get(served, cache, *sessions)) == ["S001"]
    assert excluded(sessions, cache) == {
        "S002": "S002R08 is excluded by the rule for this data set: its sampling rate is 128 Hz, not 160 Hz"
    }
    assert missing(sessions, cache) == []


def test_what_was_excluded_is_not_looked_at_again(served, cache, monkeypatch):
    get(served, cache, subject("S002"))
    monkeypatch.setattr(eegmmidb, "convert", lambda *given, **named: pytest.fail("converted again"))
    assert get(served, cache, subject("S002")) == {}


# The commands


def run(*words: object):
    return CliRunner().invoke(app, [str(word) for word in words])


def test_get_and_info_and_path_name_the_excluded(served, tmp_path):
    suite, url = suite_of(tmp_path, subject("S001"), subject("S002")), f"{served.root}/files"
    assert "2 of 2 to fetch, 0 B and 4 of unknown size" in run("data", "info", suite).stdout
    result = run("data", "get", suite, "--physionet-url", url, "--json")
    first, second = json.loads(result.stdout)
    assert Path(first["path"]).is_file() and first["excluded"] is None, result.exception
    assert second["path"] is None and "128 Hz" in second["excluded"]
    rows = json.loads(run("data", "info", suite, "--json").stdout)
    assert [(row["cached"], row["pinned"], bool(row["excluded"])) for row in rows] == [
        (True, True, False),
        (True, True, True),
    ]
    assert run("data", "path", suite, "S001").stdout.strip() == first["path"]
    assert isinstance(run("data", "path", suite, "S002").exception, Excluded)


def test_added_files_make_a_session_without_a_network(served, tmp_path):
    suite, folder = suite_of(tmp_path, subject("S001")), tmp_path / "mine"
    folder.mkdir()
    assert isinstance(run("data", "path", suite, "S001").exception, MissingData)
    for name in NAMES[:2]:
        (folder / name.replace("/", "-")).write_bytes(RUNS[name])
    (folder / "notes.txt").write_text("mine")
    result = run("data", "add", folder, "--json")
    assert [row["is"] for row in json.loads(result.stdout)] == [
        "eegmmidb/S001R04",
        "eegmmidb/S001R08",
        "its hash is pinned nowhere",
    ]
    assert Path(run("data", "path", suite, "S001").stdout.strip()).is_file()
    assert served.requests == []


def test_verify_looks_at_runs_and_at_what_was_made_of_them(served, tmp_path):
    suite = suite_of(tmp_path, subject("S001", runs=(4,)))
    run("data", "get", suite, "--physionet-url", f"{served.root}/files")
    rows = json.loads(run("data", "verify", suite, "--json").stdout)
    assert [(row["file"], row["intact"]) for row in rows] == [("eegmmidb/S001R04", True), ("S001", True)]
    path = converted_place(subject("S001", runs=(4,)).source, default_cache())
    path.chmod(0o644)
    os.truncate(path, path.stat().st_size // 2)
    assert isinstance(run("data", "verify", suite).exception, BadData)
    assert run("data", "verify", suite, "--repair").exit_code == 0 and not path.exists()


def suite_with(folder: Path, *further: Session, alone: bool = False) -> Path:
    """The tiny suite with further sessions in its tier, or with these alone."""
    path = write_tiny_suite(folder)
    content = yaml.safe_load(path.read_text())
    place = {"layout": "simulated", "split": "time", "tiers": ["simulated"]}
    rows = [s.model_dump(mode="json") | place for s in further]
    content["sessions"] = rows if alone else [content["sessions"][0], *rows]
    path.write_text(yaml.safe_dump(content))
    return path


def evaluate(suite: Path, served: Archive):
    words = ["--decoder", "train-mean", "--tier", "simulated", "--profile", write_quick_profile(suite.parent)]
    words += ["--physionet-url", f"{served.root}/files", "--store", suite.parent / "results", "--json"]
    return run("eval", "--suite", suite, *words)


def test_an_evaluation_goes_on_without_an_excluded_session_and_says_so(served, tmp_path):
    result = evaluate(suite_with(tmp_path, subject("S002")), served)
    notice, record = map(json.loads, result.stdout.splitlines())
    assert notice["excluded"] == "S002" and "its sampling rate is 128 Hz" in notice["reason"]
    assert (record["status"], [row["session"] for row in record["sessions"]]) == ("ok", ["tiny-0"])
    assert "Session S002 is left out: S002R08 is excluded by the rule" in result.stderr


def test_an_evaluation_of_excluded_sessions_alone_is_an_error(served, tmp_path):
    result = evaluate(suite_with(tmp_path, subject("S002"), alone=True), served)
    assert isinstance(result.exception, Excluded) and result.exception.exit_code == 4
    assert "all 1 sessions of tier 'simulated' of tiny@1 are excluded, the first because S002R08" in str(
        result.exception
    )


# Real recordings


def test_real_files_that_are_added_make_a_session_without_a_network(realdata, tmp_path, monkeypatch, archive):
    monkeypatch.setenv("NEURAL_DECODER_DATA", str(tmp_path / "cache"))
    suite = suite_of(tmp_path, subject("S001", runs=(4, 8, 12)))
    rows = json.loads(run("data", "add", realdata / "eegmmidb", "--json").stdout)
    assert [row["is"] for row in rows if row["added"]] == [f"eegmmidb/S001R{run:02d}" for run in range(3, 15)]
    path = Path(run("data", "path", suite, "S001").stdout.strip())
    with open_nwb(path) as nwb:
        assert read_signal(nwb, SignalAt(path="acquisition/eeg")).values.shape == (60_000, 64)
    assert archive.requests == []

"""`harness data` from the outside, against an archive on loopback."""

import hashlib
import json
import os
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from harness.cli.data import app
from harness.data import add as adding
from harness.data.cache import default_cache
from harness.data.nwb import read_contents
from harness.data.protocol import Layout, TargetAt
from harness.data.suites import File, Session, Simulated
from harness.errors import BadData, MissingData, UsageError
from tests.archive_server import Archive, only_loopback, session

CONTENT = b"kinematics" * 5000
OTHER = CONTENT[::-1]
REALDATA = Path(__file__).parents[2] / "shared" / "realdata"
MANIFESTS = Path(__file__).parents[2] / "shared" / "manifests"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.setenv("NEURAL_DECODER_DATA", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with only_loopback():
        yield


def run(*words: object) -> Result:
    return CliRunner().invoke(app, [str(w) for w in words])


def suite_of(folder: Path, *sessions: Session) -> Path:
    """Write the smallest suite that has these sessions."""
    task = {"inputs": ["spikes"], "target": "velocity", "bin_s": 0.02}
    target = {"path": "processing/behavior/velocity", "outputs": ["x", "y"]}
    content = {
        "name": "tiny",
        "version": 1,
        "title": "Tiny",
        "task": task,
        "metrics": ["r2"],
        "decoders": ["train-mean"],
        "layouts": {"l": {"spikes": {"units": "units"}, "targets": {"velocity": target}}},
        "splits": {"s": {"kind": "time", "fractions": [0.7, 0.1, 0.2]}},
        "sessions": [s.model_dump(mode="json") for s in sessions],
    }
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture
def suite(archive: Archive, tmp_path: Path) -> Path:
    one = session("one", archive.dandi("one.nwb", CONTENT))
    two = session("two", archive.zenodo("two.mat", OTHER, licence="CC-BY-4.0"), tiers=("core",))
    unpinned = session("unpinned", archive.zenodo("x.mat", OTHER, md5=None, size=None), tiers=("unpinned",))
    return suite_of(tmp_path, one, two, unpinned)


def flip_a_bit(path: Path) -> None:
    path.chmod(0o644)
    path.write_bytes(b"K" + path.read_bytes()[1:])


def test_get_fetches_the_mini_tier_and_says_size_and_licence(suite, archive):
    result = run("get", suite, "--dandi-api", archive.api, "--json")
    assert result.exit_code == 0, result.exception
    (row,) = json.loads(result.stdout)
    assert (row["session"], Path(row["path"]).read_bytes()) == ("one", CONTENT)
    assert "Downloading 1 file, 50.0 kB" in result.stderr
    assert "CC0-1.0" in result.stderr


def test_get_fetches_named_sessions_of_any_tier(suite):
    result = run("get", suite, "--session", "two", "--json")
    assert [row["session"] for row in json.loads(result.stdout)] == ["two"]


@pytest.mark.parametrize(
    "options, words",
    [
        (["--session", "three"], "no session 'three'"),
        (["--tier", "huge"], "no tier 'huge'; it has: mini, core, unpinned"),
    ],
)
def test_get_names_what_the_suite_does_not_have(suite, options, words):
    result = run("get", suite, *options)
    assert isinstance(result.exception, UsageError)
    assert words in str(result.exception)


def test_get_refuses_an_unpinned_session_with_exit_code_4(suite):
    result = run("get", suite, "--session", "unpinned")
    assert isinstance(result.exception, BadData)
    assert result.exception.exit_code == 4


def test_info_lists_size_licence_cached_and_pinned(suite):
    run("get", suite, "--session", "two")
    rows = {row["session"]: row for row in json.loads(run("info", suite, "--json").stdout)}
    assert rows["one"] | {"cached": False, "pinned": True, "bytes": 50_000, "licence": "CC0-1.0"} == rows["one"]
    assert rows["two"]["cached"] is True
    assert rows["unpinned"]["pinned"] is False
    shown = run("info", suite, "--tier", "unpinned").stdout
    assert "tiny@1: 1 of 1 to fetch, 0 B" in shown
    assert "unknown" in shown


def test_verify_names_a_damaged_file_and_repairs_on_demand(suite, archive):
    run("get", suite, "--dandi-api", archive.api)
    assert run("verify", suite).exit_code == 0
    flip_a_bit(next(default_cache().blobs()).path)
    result = run("verify", suite)
    assert isinstance(result.exception, BadData)
    assert "1 of 1 cached files are damaged: one;" in str(result.exception)
    assert run("verify", suite, "--repair").exit_code == 0
    assert list(default_cache().blobs()) == []
    assert run("get", suite, "--dandi-api", archive.api).exit_code == 0
    assert json.loads(run("verify", "--json").stdout)[0]["intact"] is True


def test_add_takes_a_pinned_file_and_names_one_that_is_not(suite, tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "a.nwb").write_bytes(CONTENT)
    (folder / "b.txt").write_bytes(b"notes")
    rows = json.loads(run("add", folder, "--manifest", suite, "--json").stdout)
    assert [(Path(row["file"]).name, row["is"]) for row in rows] == [
        ("a.nwb", "one"),
        ("b.txt", "its hash is pinned nowhere"),
    ]
    result = run("path", suite, "one")
    assert Path(result.stdout.strip()).read_bytes() == CONTENT


def test_add_of_nothing_that_is_pinned_has_exit_code_4(suite, tmp_path):
    (tmp_path / "b.txt").write_bytes(b"notes")
    result = run("add", tmp_path / "b.txt", "--manifest", suite)
    assert isinstance(result.exception, MissingData)
    assert "none of 1 files is one that a suite pins" in str(result.exception)


def test_a_session_that_was_added_is_not_downloaded(suite, archive, tmp_path):
    (tmp_path / "a.nwb").write_bytes(CONTENT)
    run("add", tmp_path / "a.nwb", "--manifest", suite)
    assert run("get", suite, "--dandi-api", archive.api).exit_code == 0
    assert archive.requests == []


def test_path_says_how_to_fetch_what_is_not_cached(suite):
    result = run("path", suite, "one")
    assert isinstance(result.exception, MissingData)
    assert f"harness data get {suite} --session one" in str(result.exception)


def test_a_cache_on_a_read_only_disk_can_be_listed_and_verified(suite, archive, monkeypatch):
    run("get", suite, "--dandi-api", archive.api)
    monkeypatch.setattr(os, "access", lambda *a: False)
    for words in [("info", suite), ("verify", suite), ("path", suite, "one"), ("get", suite)]:
        assert run(*words).exit_code == 0, words
    result = run("get", suite, "--session", "two")
    assert isinstance(result.exception, UsageError)
    assert "it is read-only" in str(result.exception)


@pytest.fixture
def odd(tmp_path, archive):
    """A suite of a simulated session, a local one, and one whose size nobody states."""
    simulated = Simulated(host="simulated", parameters={"minutes": 0.25, "n_units": 4})
    return suite_of(
        tmp_path,
        session("sim", simulated, tiers=("simulated",)),
        session("mine", File(host="file", path="a/b.nwb"), tiers=("local",)),
        session("vague", archive.zenodo("vague.mat", CONTENT, size=None)),
    )


def test_path_writes_a_simulated_session_and_says_where_local_files_are(odd):
    found = Path(run("path", odd, "sim").stdout.strip())
    assert found.parent == default_cache().root / "simulated" and found.read_bytes()[:4] == b"\x89HDF"
    result = run("path", odd, "mine")
    assert isinstance(result.exception, UsageError)
    assert "the local file 'a/b.nwb', which stays below the folder that you name with --data-root" in str(
        result.exception
    )


def test_info_counts_the_files_of_unknown_size(odd):
    assert "tiny@1: 1 of 3 to fetch, 0 B and 1 of unknown size, into" in run("info", odd).stdout


def test_verify_names_a_truncated_simulated_file_and_repair_removes_it(odd):
    path = Path(run("path", odd, "sim").stdout.strip())
    assert [row["file"] for row in json.loads(run("verify", odd, "--json").stdout)] == ["sim"]
    path.chmod(0o644)
    os.truncate(path, path.stat().st_size // 2)
    for words in (("verify", odd), ("verify",)):
        result = run(*words)
        assert isinstance(result.exception, BadData)
        assert str(path) in str(result.exception)
    with pytest.raises(BadData, match=rf"{path} cannot be read .* `harness data verify --repair` removes"):
        read_contents(path, Layout(targets={"v": TargetAt(path="p", outputs=("x",))}), "v")
    assert run("verify", "--repair").exit_code == 0 and not path.exists()


def test_add_of_an_unreadable_file_or_onto_a_full_disk_is_one_paragraph(suite, tmp_path, monkeypatch):
    def full(source: Path, target: Path) -> None:
        target.write_bytes(b"some")
        raise OSError(28, "No space left on device")

    (tmp_path / "a.nwb").write_bytes(CONTENT)
    with monkeypatch.context() as patched:
        patched.setattr(adding.shutil, "copyfile", full)
        result = run("add", tmp_path / "a.nwb", "--manifest", suite)
    assert isinstance(result.exception, MissingData) and result.exception.exit_code == 4
    assert "No space left on device; make it readable, or make room" in str(result.exception)
    assert list((default_cache().root / "parts").iterdir()) == []

    def refuse(*given: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(adding, "file_digests", refuse)
    result = run("add", tmp_path / "a.nwb", "--manifest", suite)
    assert isinstance(result.exception, MissingData)
    assert "a.nwb cannot be copied into" in str(result.exception) and "Permission denied" in str(result.exception)


@pytest.mark.skipif(not REALDATA.is_dir(), reason="the real recordings are not beside this checkout")
def test_a_real_recording_is_added_by_the_hash_that_its_manifest_pins():
    (edf,) = sorted((REALDATA / "eegmmidb").rglob("S001R04.edf"))
    rows = json.loads(run("add", edf, "--manifest", MANIFESTS / "eeg-motor.json", "--json").stdout)
    assert rows[0]["is"] == "eegmmidb/S001R04"
    (blob,) = default_cache().blobs()
    assert blob.digest == hashlib.sha256(edf.read_bytes()).hexdigest()

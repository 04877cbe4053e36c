"""One door to local, simulated and remote sessions."""

import hashlib
from pathlib import Path

import pytest

from harness.data import identity
from harness.data.cache import Cache
from harness.data.download import Access, local_path, locate, simulated_path
from harness.data.identity import content_id
from harness.data.suites import File, Session, Simulated
from harness.errors import BadData, MissingData, UsageError
from tests.archive_server import session
from tests.download_cases import CONTENT, PATIENCE, mat


def local(path: str, sha256: str | None = None) -> Session:
    return session("mine", File(host="file", path=path, sha256=sha256), tiers=("local",))


def test_a_local_file_is_found_below_the_data_root(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.nwb").write_bytes(b"abc")
    assert local_path(local("sub/a.nwb", hashlib.sha256(b"abc").hexdigest()), tmp_path) == tmp_path / "sub" / "a.nwb"


@pytest.mark.parametrize("path", ["../secret.nwb", "sub/../../secret.nwb", "/etc/passwd"])
def test_a_suite_cannot_name_a_file_outside_the_data_root(tmp_path, path):
    (tmp_path / "secret.nwb").touch()
    (tmp_path / "root").mkdir()
    with pytest.raises(UsageError, match="leads out of the data root"):
        local_path(local(path), tmp_path / "root")


def test_a_local_file_is_refused_when_it_is_another_one(tmp_path):
    (tmp_path / "a.nwb").write_bytes(b"abd")
    with pytest.raises(BadData, match="a.nwb was refused: its sha256 .* put the right one there") as refused:
        local_path(local("a.nwb", hashlib.sha256(b"abc").hexdigest()), tmp_path)
    assert "fetch" not in str(refused.value)


def test_a_local_file_that_is_missing_or_without_root_says_so(tmp_path):
    with pytest.raises(MissingData, match="'mine' has no file .*a.nwb.*--data-root"):
        local_path(local("a.nwb"), tmp_path)
    with pytest.raises(UsageError, match="say with --data-root"):
        local_path(local("a.nwb"), None)


def simulated(name: str = "sim") -> Session:
    parameters = {"minutes": 0.25, "n_units": 4}
    return session(name, Simulated(host="simulated", parameters=parameters), tiers=("simulated",))


def count_writes(monkeypatch: pytest.MonkeyPatch, *, content: bytes = b"nwb") -> list[str]:
    written: list[str] = []

    def write(path: Path, parameters: object, *, session_id: str, subject: str) -> None:
        written.append(session_id)
        path.write_bytes(content)
        if not content:
            raise RuntimeError("died in the middle")

    monkeypatch.setattr("harness.data.simulate.write_session", write)
    return written


def test_a_simulated_session_is_written_once_and_by_the_real_generator(cache):
    path = simulated_path(simulated(), cache)
    written_ns = path.stat().st_mtime_ns
    assert path.read_bytes()[:8] == b"\x89HDF\r\n\x1a\n"
    assert simulated_path(simulated(), cache) == path
    assert path.stat().st_mtime_ns == written_ns


def test_simulated_sessions_of_other_name_are_other_files(cache, monkeypatch):
    written = count_writes(monkeypatch)
    paths = [simulated_path(simulated(name), cache) for name in ("a", "b", "a")]
    assert written == ["a", "b"]
    assert paths[0] == paths[2] != paths[1]


def test_a_simulated_session_that_died_in_the_middle_is_not_taken_for_one(cache, monkeypatch):
    count_writes(monkeypatch, content=b"")
    with pytest.raises(RuntimeError):
        simulated_path(simulated(), cache)
    count_writes(monkeypatch)
    assert simulated_path(simulated(), cache).read_bytes() == b"nwb"


def test_all_kinds_come_through_one_door_in_the_order_asked_for(archive, cache, tmp_path, monkeypatch):
    count_writes(monkeypatch)
    (tmp_path / "a.nwb").write_bytes(b"abc")
    sessions = [simulated(), mat(archive), local("a.nwb")]
    paths = locate(sessions, cache, data_root=tmp_path, access=Access(archive.api, PATIENCE))
    assert {name: path.read_bytes() for name, path in paths.items()} == {"sim": b"nwb", "one": CONTENT, "mine": b"abc"}
    assert list(paths) == ["sim", "one", "mine"]


def test_a_cache_that_holds_all_is_only_read(archive, cache, monkeypatch):
    count_writes(monkeypatch)
    sessions = [mat(archive), simulated()]
    access = Access(archive.api, PATIENCE)
    paths = locate(sessions, cache, access=access)

    def refuse(*args: object) -> Path:
        raise AssertionError("a folder was asked for to write in")

    monkeypatch.setattr(Cache, "folder", refuse)
    assert locate(sessions, cache, access=access) == paths


def test_a_local_file_without_a_digest_is_hashed_once_for_each_of_its_states(tmp_path, monkeypatch):
    path = tmp_path / "a.nwb"
    path.write_bytes(b"abc")
    hashed: list[Path] = []
    hashing = identity.file_digests
    monkeypatch.setattr(identity, "file_digests", lambda p, names: hashed.append(p) or hashing(p, names))
    found = [content_id(local("a.nwb"), path) for _ in range(3)]
    assert found == [hashlib.sha256(b"abc").hexdigest()] * 3 and len(hashed) == 1
    path.write_bytes(b"abcd")
    assert content_id(local("a.nwb"), path) == hashlib.sha256(b"abcd").hexdigest() and len(hashed) == 2

"""The cache holds whole and right files, or none; pins say what is right."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from concurrent.futures import CancelledError
from pathlib import Path
from threading import Event

import pytest

from harness.data import cache as caching
from harness.data.add import add_file, files_below
from harness.data.cache import Cache, default_cache, file_digests, readable_size
from harness.data.pins import Pin, pin_of, pins_in_manifest, read_pin
from harness.data.suites import Dandi, Zenodo
from harness.errors import BadData, MissingData, UsageError

CONTENT = b"spikes" * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
MD5 = hashlib.md5(CONTENT).hexdigest()
PIN = Pin("one.nwb", {"sha256": SHA256}, len(CONTENT))


def put(cache: Cache, content: bytes = CONTENT, pin: Pin = PIN) -> Path:
    part = cache.part(pin)
    part.write_bytes(content)
    return cache.accept(part, pin)


def test_several_digests_come_from_one_pass(tmp_path):
    """FIPS 180-2 appendix B.1 and RFC 1321 section A.5 state them for 'abc'."""
    path = tmp_path / "abc"
    path.write_bytes(b"abc")
    seen = []
    digests = file_digests(path, ("sha256", "md5"), progressed=seen.append)
    assert digests["sha256"] == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert digests["md5"] == "900150983cd24fb0d6963f7d28e17f72"
    assert seen == [3]


def test_an_accepted_file_is_kept_under_its_digest_and_cannot_be_written_by_accident(cache):
    path = put(cache)
    assert path == cache.root / "blobs" / "sha256" / SHA256[:2] / SHA256
    assert path.read_bytes() == CONTENT
    assert path.stat().st_mode & 0o222 == 0
    assert list((cache.root / "parts").iterdir()) == []


@pytest.mark.parametrize(
    "content, words",
    [(CONTENT[:-1], "5999 bytes where 6000 are pinned"), (CONTENT[:-1] + b"x", f"pinned is {SHA256}")],
)
def test_a_file_of_other_size_or_content_is_refused_and_removed(cache, content, words):
    with pytest.raises(BadData, match=words):
        put(cache, content)
    assert cache.find_pin(PIN) is None
    assert not cache.part(PIN).exists()


def test_every_pinned_digest_must_fit(cache):
    pin = Pin("one.nwb", {"sha256": SHA256, "md5": "0" * 32})
    with pytest.raises(BadData, match=f"md5 is {MD5}, pinned is 0000"):
        put(cache, pin=pin)


ROW = {"host": "zenodo", "record": "1", "path": "one.mat", "url": "http://x/one.mat", "licence": "CC-BY-4.0"}


def test_a_file_kept_under_its_md5_is_checked_once_for_a_row_that_also_knows_its_sha256(cache, monkeypatch):
    path = put(cache, pin=Pin("one.mat", {"md5": MD5}))
    assert cache.find(Zenodo(**ROW, sha256=SHA256)) is None
    found = cache.find(Zenodo(**ROW, md5=MD5, sha256=SHA256))
    assert found == cache.blob("sha256", SHA256) and found.samefile(path)
    monkeypatch.setattr(caching, "check_file", None)
    assert cache.find(Zenodo(**ROW, md5=MD5, sha256=SHA256)) == cache.find(Zenodo(**ROW, sha256=SHA256)) == found
    assert cache.find(Zenodo(**ROW, md5=MD5)) == path
    assert cache.find(Zenodo(**ROW)) is None


def test_a_file_with_the_right_md5_and_another_sha256_counts_as_absent(cache):
    put(cache, pin=Pin("one.mat", {"md5": MD5}))
    assert cache.find(Zenodo(**ROW, md5=MD5, sha256="0" * 64)) is None
    assert cache.find(Zenodo(**ROW, md5=MD5)) is not None


def test_on_a_read_only_disk_a_file_under_its_md5_is_checked_and_stays_where_it_is(cache, monkeypatch):
    path = put(cache, pin=Pin("one.mat", {"md5": MD5}))
    monkeypatch.setattr(os, "access", lambda *a: False)
    assert cache.find(Zenodo(**ROW, md5=MD5, sha256=SHA256)) == path
    assert cache.find(Zenodo(**ROW, md5=MD5, sha256="0" * 64)) is None


def test_a_cached_file_of_the_wrong_size_counts_as_absent(cache):
    path = put(cache)
    path.chmod(0o644)
    os.truncate(path, 10)
    assert cache.find_pin(PIN) is None


def test_a_flipped_bit_is_found_by_hashing_again(cache):
    path = put(cache)
    assert [blob.intact() for blob in cache.blobs()] == [True]
    path.chmod(0o644)
    path.write_bytes(b"S" + CONTENT[1:])
    assert [(blob.digest, blob.intact()) for blob in cache.blobs()] == [(SHA256, False)]


def test_reading_creates_nothing(tmp_path):
    cache = Cache(tmp_path / "absent")
    assert cache.find_pin(PIN) is None
    assert list(cache.blobs()) == []
    assert not cache.root.exists()


def test_a_folder_that_cannot_be_written_is_named_with_the_way_out(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UsageError, match=r"file/cache cannot be written to .*NEURAL_DECODER_DATA"):
        Cache(tmp_path / "file" / "cache").part(PIN)


def test_the_environment_names_the_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("NEURAL_DECODER_DATA", str(tmp_path))
    assert default_cache().root == tmp_path
    monkeypatch.delenv("NEURAL_DECODER_DATA")
    monkeypatch.setenv("HOME", "/somewhere")
    assert default_cache().root == Path("/somewhere/.cache/neural-decoder-harness")


def test_a_lock_of_a_killed_process_is_free(cache):
    code = "import sys; from pathlib import Path; from harness.data.cache import Cache\n"
    code += "with Cache(Path(sys.argv[1])).lock('x'): print('held', flush=True); sys.stdin.read()"
    holder = subprocess.Popen(
        [sys.executable, "-c", code, cache.root], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout.readline() == "held\n"
        stop = Event()
        stop.set()
        with pytest.raises(CancelledError), cache.lock("x", stop=stop):
            pass
        os.kill(holder.pid, signal.SIGKILL)
    with cache.lock("x", stop=stop):
        assert (cache.root / "locks" / "x.lock").exists()


@pytest.mark.parametrize("digest", ["../../../etc/passwd", "abc", "g" * 64, SHA256 + "0"])
def test_a_digest_that_is_none_is_refused(digest):
    with pytest.raises(UsageError, match="is no sha256, which has 64 hexadecimal digits"):
        read_pin("one.nwb", {"sha256": digest})


def test_a_pin_is_lower_case_and_starts_with_the_strongest_digest():
    pin = read_pin("one.nwb", {"md5": MD5.upper(), "sha256": SHA256.upper(), "size": 3})
    assert pin == Pin("one.nwb", {"sha256": SHA256, "md5": MD5}, 3)
    assert pin.key == ("sha256", SHA256)
    assert read_pin("one.nwb", {"md5": None, "size": 3}) is None


def test_the_pin_of_an_asset_is_its_digest_and_size():
    row = {"dandiset": "000129", "version": "1", "asset_id": "a", "path": "p", "licence": "CC0-1.0"}
    assert pin_of(Dandi(host="dandi", **row, size=7, sha256=SHA256)) == Pin("p", {"sha256": SHA256}, 7)


def test_a_manifest_pins_files_at_any_depth(tmp_path):
    rows = {"sessions": [{"id": "a", "sha256": SHA256}, {"id": "b", "labels_file": {"path": "b.mat", "md5": MD5}}]}
    path = tmp_path / "m.json"
    path.write_text(json.dumps(rows))
    assert pins_in_manifest(path) == [Pin("a", {"sha256": SHA256}), Pin("b.mat", {"md5": MD5})]


@pytest.mark.parametrize("text, words", [("{", "no readable JSON"), ('{"sessions": []}', "pins nothing")])
def test_a_manifest_that_pins_nothing_is_refused(tmp_path, text, words):
    path = tmp_path / "m.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=words):
        pins_in_manifest(path)


def test_a_local_file_is_added_when_its_hash_is_pinned_and_stays_where_it_was(cache, tmp_path):
    path = tmp_path / "mine.nwb"
    path.write_bytes(CONTENT)
    other = Pin("two.nwb", {"sha256": "0" * 64})
    assert add_file(path, [other, PIN, PIN], cache) == [PIN, PIN]
    assert cache.find_pin(PIN).read_bytes() == path.read_bytes() == CONTENT
    assert add_file(path, [other], cache) == []


def test_folders_are_searched_and_a_path_that_is_not_there_is_named(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b").touch()
    (tmp_path / "a").touch()
    assert list(files_below([tmp_path, tmp_path / "a"])) == [tmp_path / "a", tmp_path / "sub" / "b", tmp_path / "a"]
    with pytest.raises(MissingData, match="nowhere does not exist"):
        list(files_below([Path("nowhere")]))


@pytest.mark.parametrize(
    "n_bytes, text",
    [(0, "0 B"), (999, "999 B"), (1234, "1.2 kB"), (999_960, "1.0 MB"), (150_473_820, "150.5 MB"), (10**12, "1.0 TB")],
)
def test_sizes_read_as_archives_state_them(n_bytes, text):
    assert readable_size(n_bytes) == text

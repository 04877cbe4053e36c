"""What a download refuses, and what it says without a network."""

import hashlib
import socket
import time
from collections import namedtuple

import pytest

from harness.data import fetch as fetching
from harness.data import transfer as transferring
from harness.data.cache import Cache
from harness.data.download import Access, fetch, missing, reachable
from harness.data.pins import pin_of
from harness.data.suites import Session, Simulated
from harness.errors import BadData, MissingData
from tests.archive_server import Archive, Manners, session
from tests.download_cases import CONTENT, get, leave_part, mat

HTML = b"<!DOCTYPE html>\n<html><body>Please log in.</body></html>" + b" " * 1143


# What is refused


def refused(archive: Archive, cache: Cache, one: Session) -> str:
    with pytest.raises(BadData) as caught:
        get(archive, cache, one)
    assert missing([one], cache) == [one]
    return str(caught.value)


def test_wrong_bytes_are_refused_by_digest_and_nothing_stays(archive, cache):
    one = mat(archive, Manners(body=CONTENT[::-1]))
    message = refused(archive, cache, one)
    assert hashlib.md5(CONTENT[::-1]).hexdigest() in message
    assert f"pinned is {one.source.md5}" in message
    assert list((cache.root / "parts").iterdir()) == []
    assert archive.n_gets["one.mat"] == 1


@pytest.mark.parametrize("kind", ["text/html; charset=utf-8", "application/octet-stream"])
def test_an_html_page_is_refused_by_name(archive, cache, kind):
    message = refused(archive, cache, mat(archive, Manners(body=HTML, content_type=kind)))
    assert f"got an HTML page ({kind.partition(';')[0]}, 1.2 kB) where one.mat (400.0 kB) was expected" in message
    assert f"{archive.root}/files/one.mat" in message


def test_an_html_page_does_not_cost_what_has_arrived(archive, cache):
    one = mat(archive, Manners(body=HTML, content_type="text/html", ignore_range=True))
    part = leave_part(cache, one, CONTENT[:100_000])
    assert "HTML" in refused(archive, cache, one)
    assert part.read_bytes() == CONTENT[:100_000]


def test_a_truncated_file_is_refused_before_it_is_read(archive, cache):
    message = refused(archive, cache, mat(archive, Manners(body=CONTENT[:-1])))
    assert "offers 399999 bytes where 400000 are pinned" in message


def test_a_truncated_file_is_refused_where_the_server_states_no_length(archive, cache):
    message = refused(archive, cache, mat(archive, Manners(body=CONTENT[:-1], without_length=True)))
    assert "399999 bytes where 400000 are pinned" in message


def test_bytes_from_another_place_than_asked_for_are_refused(archive, cache):
    one = mat(archive, Manners(shift_range=7))
    leave_part(cache, one, CONTENT[:100_000])
    assert "the bytes from 100000 with bytes 100007-399999/400000" in refused(archive, cache, one)


def test_endless_redirects_are_refused(archive, cache):
    assert "Exceeded 30 redirects" in refused(archive, cache, mat(archive, Manners(redirects=10**9)))


def test_an_asset_that_the_archive_replaced_is_refused_before_its_bytes(archive, cache):
    one = session("one", archive.dandi("one.nwb", CONTENT))
    archive.assets[one.source.asset_id]["metadata"]["digest"]["dandi:sha2-256"] = "0" * 64
    message = refused(archive, cache, one)
    assert "sha256 " + "0" * 64 in message
    assert "pin the newest published version" in message
    assert archive.n_gets["one.nwb"] == 0


def test_a_row_without_a_digest_stays_out_until_it_is_pinned(archive, cache):
    message = refused(archive, cache, mat(archive, md5=None))
    assert "'one' has neither sha256 nor md5" in message
    assert "stays out until someone" in message
    assert archive.requests == []


def test_a_refused_file_does_not_stop_the_others(archive, cache):
    one, two = mat(archive, Manners(status=404)), session("two", archive.zenodo("two.mat", CONTENT[::-1]))
    with pytest.raises(MissingData, match="one.mat is not to be had: .* answered 404"):
        get(archive, cache, one, two)
    assert missing([one, two], cache) == [one]


def test_an_asset_that_is_gone_says_what_to_pin(archive, cache):
    one = session("one", archive.dandi("one.nwb", CONTENT))
    archive.assets.clear()
    with pytest.raises(MissingData, match=r"000999/0\.260101\.0000 at .* has no asset .*pin the newest"):
        get(archive, cache, one)


def test_a_disk_that_is_too_small_is_found_before_the_first_byte(archive, cache, monkeypatch):
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(fetching.shutil, "disk_usage", lambda folder: usage(free=250_000))
    one = mat(archive)
    with pytest.raises(MissingData, match=r"400\.0 kB are needed .* 250\.0 kB are free"):
        get(archive, cache, one)
    assert archive.requests == []
    leave_part(cache, one, CONTENT[:200_000])
    assert get(archive, cache, one)["one"].read_bytes() == CONTENT


def test_a_disk_that_fills_up_meanwhile_is_named(archive, cache, monkeypatch):
    def full(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(transferring, "_write", full)
    with pytest.raises(MissingData, match="one cannot be written below .*: No space left on device; make room"):
        get(archive, cache, mat(archive))


@pytest.mark.parametrize("left", [b"", CONTENT[:100_000]], ids=["from the start", "resumed"])
def test_a_body_longer_than_the_pin_is_cut_at_once(archive, cache, left):
    one = mat(archive, Manners(body=CONTENT + b"x" * 20_000_000, without_length=True))
    leave_part(cache, one, left)
    assert "more than the 400000 bytes that are pinned" in refused(archive, cache, one)
    assert list((cache.root / "parts").iterdir()) == []
    assert archive.n_sent["one.mat"] < 20_000_000


def test_a_body_of_unknown_size_stops_before_the_disk_is_full(archive, cache, monkeypatch):
    usage = namedtuple("usage", "free")
    free = iter(range(10**9, 0, -300_000_000))
    monkeypatch.setattr(transferring.shutil, "disk_usage", lambda folder: usage(next(free)))
    with pytest.raises(MissingData, match=r"one\.mat.*400\.0 MB are free.*make room"):
        get(archive, cache, mat(archive, size=None))
    part = cache.part(pin_of(mat(archive, size=None).source))
    assert part.stat().st_size == transferring.CHUNK_BYTES


# Without a network


def closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def test_no_network_ends_at_once_in_one_paragraph_that_says_what_to_do(archive, cache):
    sessions = [session(f"s{k}", archive.dandi(f"s{k}.nwb", CONTENT + bytes([k]))) for k in range(7)]
    api = f"http://127.0.0.1:{closed_port()}/api"
    start_s = time.monotonic()
    with pytest.raises(MissingData) as caught:
        fetch(sessions, cache, access=Access(api))
    message = str(caught.value)
    assert time.monotonic() - start_s < 2
    assert caught.value.exit_code == 4
    assert "\n" not in message
    for words in ["7 files, 2.8 MB (s0, s1, s2, s3, s4 and 2 more)", "127.0.0.1", "Connection refused"]:
        assert words in message
    for advice in ["`harness data add PATH`", "`--tier simulated`"]:
        assert advice in message


def test_a_host_is_reachable_when_it_answers_within_the_time(archive):
    one = session("one", archive.dandi("one.nwb", CONTENT))
    assert reachable([one, mat(archive)], access=Access(archive.api))
    assert reachable([session("sim", Simulated(host="simulated"))])
    assert not reachable([one], access=Access(f"http://127.0.0.1:{closed_port()}/api"))


def test_a_host_that_says_nothing_is_given_up_in_time(archive):
    with socket.create_server(("127.0.0.1", 0)) as mute:
        access = Access(f"http://127.0.0.1:{mute.getsockname()[1]}/api")
        start_s = time.monotonic()
        assert not reachable([session("one", archive.dandi("one.nwb", CONTENT))], access=access, timeout_s=0.3)
    assert time.monotonic() - start_s < 1

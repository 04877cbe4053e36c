"""Downloads from a real server on loopback: how files come, and what they outlive."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from io import StringIO

import pytest
from rich.console import Console
from rich.progress import Progress

from harness.data import transfer as transferring
from harness.data.cache import Cache
from harness.data.download import Access, fetch, missing
from harness.data.pins import pin_of
from harness.data.progress import Bars, Plan, Watcher
from harness.data.suites import Session
from harness.errors import MissingData
from tests.archive_server import Archive, Manners, session
from tests.download_cases import CONTENT, PATIENCE, get, leave_part, mat


class Diary(Watcher):
    """Writes down what it hears."""

    def __init__(self, archive: Archive) -> None:
        self.archive = archive
        self.plan: Plan | None = None
        self.n_bytes: list[int] = []

    def planned(self, plan: Plan) -> None:
        self.plan = plan
        assert not self.archive.n_gets

    def progressed(self, name: str, n_bytes: int) -> None:
        self.n_bytes.append(n_bytes)


# How files come


def test_an_asset_is_looked_up_in_its_published_version_and_checked(archive, cache):
    one = session("one", archive.dandi("sub-A/one.nwb", CONTENT))
    path = get(archive, cache, one)["one"]
    asset = one.source.asset_id
    assert path.name == hashlib.sha256(CONTENT).hexdigest() == hashlib.sha256(path.read_bytes()).hexdigest()
    assert [p for _, p in archive.requests] == [
        "/api/info/",
        f"/api/dandisets/000999/versions/0.260101.0000/assets/{asset}/info/",
        f"/api/assets/{asset}/download/",
        "/files/sub-A/one.nwb",
    ]


def test_the_loopback_archive_satisfies_the_stock_client(archive, tmp_path, monkeypatch):
    """Its first questions are those that our way of constructing it saves."""
    from dandi.dandiapi import DandiAPIClient

    monkeypatch.setenv("DANDI_NO_ET", "1")
    source = archive.dandi("sub-A/one.nwb", CONTENT)
    with DandiAPIClient(archive.api) as client:
        client.get_dandiset("000999", source.version).get_asset(source.asset_id).download(tmp_path / "one.nwb")
    assert (tmp_path / "one.nwb").read_bytes() == CONTENT


def test_several_hosts_are_fetched_together_and_not_again(archive, cache):
    sessions = [mat(archive), session("two", archive.dandi("two.nwb", CONTENT[::-1]))]
    assert missing(sessions, cache) == sessions
    paths = get(archive, cache, *sessions)
    n_requests = len(archive.requests)
    assert [paths[name].read_bytes() for name in ("one", "two")] == [CONTENT, CONTENT[::-1]]
    assert missing(sessions, cache) == []
    assert get(archive, cache, *sessions) == paths
    assert len(archive.requests) == n_requests


def test_a_file_that_two_sessions_share_is_fetched_once(archive, cache):
    source = archive.zenodo("one.mat", CONTENT)
    paths = get(archive, cache, session("a", source), session("b", source))
    assert paths["a"] == paths["b"]
    assert archive.n_gets["one.mat"] == 1


def test_a_draft_is_read_from_its_content_addressed_place(archive, cache):
    """Without a mirror the archive itself would be asked, which the loopback guard of this file forbids."""
    blob = f"{archive.root}/files/one.nwb"
    draft = session("one", archive.dandi("one.nwb", CONTENT, version="draft", s3_url=blob))
    fetch([draft], cache, access=Access(patience=PATIENCE))
    assert [p for _, p in archive.requests] == ["/", "/files/one.nwb"]


def test_a_mirror_serves_drafts_too(archive, cache):
    draft = session("one", archive.dandi("one.nwb", CONTENT, version="draft", s3_url="http://192.0.2.1/blob"))
    assert get(archive, cache, draft)["one"].read_bytes() == CONTENT


def test_redirects_are_followed(archive, cache):
    one = mat(archive, Manners(redirects=3))
    assert get(archive, cache, one)["one"].read_bytes() == CONTENT


def test_a_file_of_unknown_size_is_checked_by_its_md5(archive, cache):
    one = mat(archive, size=None)
    assert get(archive, cache, one)["one"].read_bytes() == CONTENT


def test_plan_and_licences_come_before_the_first_byte(archive, cache):
    diary = Diary(archive)
    one, two = mat(archive), session("two", archive.zenodo("two.mat", b"x" * 1000, size=None, licence="CC0-1.0"))
    get(archive, cache, one, two, watcher=diary)
    assert diary.plan.size == "2 files, 400.0 kB and 1 of unknown size"
    assert diary.plan.licences == ("CC-BY-4.0", "CC0-1.0")


def test_progress_grows_to_the_size_of_the_file(archive, cache):
    diary = Diary(archive)
    get(archive, cache, mat(archive), watcher=diary)
    assert diary.n_bytes == sorted(diary.n_bytes)
    assert diary.n_bytes[-1] == len(CONTENT)


def test_bars_show_size_licence_rate_and_time_left(tmp_path):
    out = StringIO()
    console = Console(file=out, width=160, force_terminal=True)
    plan = Plan(("one", "two"), 150_473_820, 0, 100_000_000, ("CC-BY-4.0",), ("host",), tmp_path)
    with Progress(*Progress.get_default_columns(), console=console) as progress:
        bars = Bars(progress)
        bars.planned(plan)
        bars.started("one", size=1000)
        bars.progressed("one", 500)
        assert progress.tasks[bars.tasks["one"]].percentage == 50
        bars.finished("one")
    assert "Downloading 2 files, 150.5 MB, from host" in out.getvalue()
    assert "50.5 MB of it are there from an earlier run" in out.getvalue()
    assert "Licences: CC-BY-4.0." in out.getvalue()


# What interrupts them


@pytest.mark.parametrize(
    "manners",
    [
        Manners(times=1, status=500),
        Manners(times=1, status=429, retry_after_s=0),
        Manners(times=1, stall_s=1.5),
        Manners(times=1, cut_at=0),
        Manners(times=2, cut_at=200_000),
        Manners(times=1, cut_at=200_000, without_length=True),
    ],
    ids=["500", "429", "stalled", "cut at once", "cut twice", "ended early"],
)
def test_a_passing_fault_is_outlived(archive, cache, manners):
    one = mat(archive, manners)
    assert get(archive, cache, one)["one"].read_bytes() == CONTENT


def test_a_cut_download_goes_on_where_it_stopped(archive, cache):
    get(archive, cache, mat(archive, Manners(times=1, cut_at=300_000)))
    assert archive.n_gets["one.mat"] == 2
    assert archive.n_sent["one.mat"] < 400_000 + transferring.CHUNK_BYTES + 20_000


def test_cuts_are_outlived_as_long_as_bytes_arrive(archive, cache):
    one = mat(archive, Manners(cut_after=80_000))
    assert get(archive, cache, one)["one"].read_bytes() == CONTENT
    assert archive.n_gets["one.mat"] == 6 > PATIENCE.attempts  # 80 kB hold one whole chunk


def test_a_server_that_asks_for_a_long_pause_is_not_waited_for_without_end(archive, cache, monkeypatch):
    monkeypatch.setattr(transferring, "LONGEST_WAIT_S", 0.05)
    get(archive, cache, mat(archive, Manners(times=1, status=503, retry_after_s=3600)))
    assert archive.n_gets["one.mat"] == 2


@pytest.mark.parametrize(
    "manners, words",
    [
        (Manners(status=500), "status 500"),
        (Manners(cut_at=150_000, ignore_range=True), "nothing beyond byte 131072 in 3 attempts"),
        (Manners(cut_at=0), "nothing beyond byte 0 in 3 attempts"),
    ],
    ids=["500", "cut without ranges", "cut at once"],
)
def test_a_lasting_fault_ends_after_bounded_attempts(archive, cache, manners, words):
    with pytest.raises(MissingData, match=words):
        get(archive, cache, mat(archive, manners))
    assert archive.n_gets["one.mat"] <= PATIENCE.attempts + 1
    assert missing([mat(archive)], cache)


def test_the_archive_client_gives_up_after_bounded_attempts(archive, cache):
    one = session("one", archive.dandi("one.nwb", CONTENT))
    archive.api_status = 503
    with pytest.raises(MissingData, match="too many 503 error responses"):
        get(archive, cache, one)
    assert len(archive.requests) == 1 + PATIENCE.attempts  # the first is the probe


def test_a_server_that_ignores_ranges_sends_the_file_again(archive, cache):
    one = mat(archive, Manners(ignore_range=True))
    leave_part(cache, one, CONTENT[:123_456])
    assert get(archive, cache, one)["one"].read_bytes() == CONTENT


def test_a_leftover_that_is_complete_is_not_asked_for_again(archive, cache):
    one = mat(archive)
    leave_part(cache, one, CONTENT)
    get(archive, cache, one)
    assert archive.n_gets["one.mat"] == 0


@pytest.mark.parametrize("size", [400_000, None], ids=["known size", "unknown size"])
@pytest.mark.parametrize("left", [CONTENT + b"x", CONTENT], ids=["too long", "complete"])
def test_a_leftover_at_or_beyond_the_end_is_handled(archive, cache, size, left):
    one = mat(archive, size=size)
    leave_part(cache, one, left)
    assert get(archive, cache, one)["one"].read_bytes() == CONTENT


def test_a_damaged_leftover_is_fetched_once_more_from_the_start(archive, cache):
    one = mat(archive)
    leave_part(cache, one, b"\0" * 200_000)
    assert get(archive, cache, one)["one"].read_bytes() == CONTENT
    assert archive.n_sent["one.mat"] == 200_000 + 400_000


CHILD = """
import sys, time
from pathlib import Path
from harness.data.cache import Cache
from harness.data.download import fetch
from harness.data.suites import Session
cache, one = Cache(Path(sys.argv[1])), Session.model_validate_json(sys.argv[2])
while "wait" in sys.argv and not list(cache.root.glob("parts/*.part")):
    time.sleep(0.01)
print(fetch([one], cache)["one"])
"""


def child(cache: Cache, one: Session, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", CHILD, str(cache.root), one.model_dump_json(), *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_killed_download_is_resumed_and_loses_nothing_that_was_written(archive, cache):
    one = mat(archive, Manners(times=1, rate_bytes_s=200_000))
    part = cache.part(pin_of(one.source))
    with child(cache, one) as process:
        while process.poll() is None and not (part.exists() and part.stat().st_size >= 150_000):
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
    kept = part.stat().st_size
    assert 150_000 <= kept < 400_000
    assert get(archive, cache, one)["one"].read_bytes() == CONTENT
    assert archive.ranges == ["", f"bytes={kept}-"]


def test_two_processes_that_want_the_same_file_fetch_it_once(archive, cache):
    one = mat(archive, Manners(rate_bytes_s=400_000))
    with child(cache, one) as first, child(cache, one, "wait") as second:
        answers = [process.communicate(timeout=60) for process in (first, second)]
    assert [out.strip() for out, _ in answers] == [str(cache.find(one.source))] * 2, answers
    assert (archive.n_gets["one.mat"], archive.n_sent["one.mat"]) == (1, 400_000)

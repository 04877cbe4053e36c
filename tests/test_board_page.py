"""The leaderboard's page: without a browser, and in one."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.results.records import Profile
from leaderboard_app import reading
from tests.records_factory import (
    make_failure,
    make_judged,
    make_judged_field,
    make_record,
    make_verdicts,
    write_store,
)

APP = Path(__file__).parent.parent / "leaderboard_app" / "app.py"
LATER = "2026-02-02T00:00:00Z"


def run_page(store: Path, monkeypatch: pytest.MonkeyPatch, /, **query: str):
    from streamlit.testing.v1 import AppTest

    monkeypatch.setattr(sys, "argv", ["app.py", "--store", str(store)])
    page = AppTest.from_file(str(APP), default_timeout=30)
    page.query_params.update(query)
    page.run()
    assert not page.exception
    return page


def test_an_empty_store_says_what_to_run(tmp_path, monkeypatch):
    page = run_page(tmp_path / "nothing", monkeypatch)
    assert page.subheader[0].value == "No results yet"
    assert page.code[0].value.startswith("harness eval --suite")
    assert not page.dataframe


def test_one_record_makes_one_ranked_row(tmp_path, monkeypatch):
    page = run_page(write_store(tmp_path, [make_record()]), monkeypatch)
    assert page.dataframe[0].value["decoder"].tolist()[1] == "example-filter"
    assert page.dataframe[0].value["rank"].dropna().tolist() == [1]
    assert "Not ranked" not in [s.value for s in page.subheader]


def test_a_simulated_board_is_marked_and_a_real_one_is_not(tmp_path, monkeypatch):
    real = make_record(tier="mini", simulated=False, started_utc=LATER)
    page = run_page(write_store(tmp_path, [make_record(), real]), monkeypatch)
    assert not page.warning
    page.selectbox[0].set_value("made-up-reaching@1/simulated/cpu-1@1").run()
    assert "Simulated recordings" in page.warning[0].value
    assert page.dataframe[0].value["rank"].dropna().tolist() == [1]


def test_the_selection_is_kept_in_the_address_and_read_from_it(tmp_path, monkeypatch):
    other = make_record(profile=Profile(name="cpu-all@1", calibration={}, noisy=True), started_utc=LATER)
    store = write_store(tmp_path, [make_record(), other])
    assert run_page(store, monkeypatch).selectbox[0].value == "made-up-reaching@1/simulated/cpu-all@1"
    page = run_page(store, monkeypatch, board="made-up-reaching@1/simulated/cpu-1@1")
    assert page.selectbox[0].value == "made-up-reaching@1/simulated/cpu-1@1"
    page.selectbox[0].set_value("made-up-reaching@1/simulated/cpu-all@1").run()
    assert page.dataframe[0].value["notes"].tolist()[1] == "noisy"


def test_the_track_is_kept_in_the_address_and_read_from_it(tmp_path, monkeypatch):
    page = run_page(write_store(tmp_path, make_judged_field()), monkeypatch)
    assert page.selectbox[1].value == "causal" and "track" not in page.query_params
    for track, n_ranked in (("realtime", 4), ("offline", 6), ("implant", 2)):
        page.selectbox[1].set_value(track).run()
        assert page.query_params["track"] == track
        assert page.dataframe[0].value["rank"].count() == n_ranked
    page = run_page(tmp_path, monkeypatch, track="realtime")
    assert page.selectbox[1].value == "realtime"
    assert "p99_bins is 1.53" in page.dataframe[1].value["reason"].tolist()[1]


def test_a_track_that_another_board_does_not_have_is_left_with_a_word(tmp_path, monkeypatch):
    newest = make_record(tier="mini", started_utc="2026-02-01T12:00:00Z")
    page = run_page(write_store(tmp_path, [make_judged(), newest]), monkeypatch, track="implant")
    assert page.info[0].value == "The link asks for implant, which is not here; this is causal."
    assert page.selectbox[1].value == "causal"


def test_a_track_that_nobody_is_in_says_where_all_are(tmp_path, monkeypatch):
    record = make_judged(tracks=make_verdicts(implant="state_bytes was not measured"))
    page = run_page(write_store(tmp_path, [record]), monkeypatch, track="implant")
    assert "No decoder here is in the track implant" in page.info[0].value
    assert page.dataframe[0].value["reason"].tolist() == ["not implant: state_bytes was not measured"]


def test_columns_that_old_records_have_nothing_for_are_left_out(tmp_path, monkeypatch):
    columns = []
    for name, record in (("old", make_record()), ("new", make_judged())):
        page = run_page(write_store(tmp_path / name, [record]), monkeypatch)
        columns.append(set(page.dataframe[0].proto.column_order))
    assert columns[1] - columns[0] == {"paced_p99_ms", "operations_per_s", "also_in"}


def test_a_link_to_a_board_that_is_gone_says_so(tmp_path, monkeypatch):
    page = run_page(write_store(tmp_path, [make_record()]), monkeypatch, board="[gone](http://h)")
    assert r"\[gone\]\(http" in page.info[0].value
    assert page.selectbox[0].value == "made-up-reaching@1/simulated/cpu-1@1"


@pytest.mark.parametrize("content", ["{", '{"schema": 1}', None])
def test_a_file_that_is_no_whole_record_is_named_and_left_out(tmp_path, monkeypatch, content):
    bad, good = make_record("bad"), make_record("good")
    write_store(tmp_path, [bad, good])
    path = next(tmp_path.rglob(f"{bad.id}.json"))
    path.write_text(path.read_text().replace("0.7", "0.9") if content is None else content)
    page = run_page(tmp_path, monkeypatch)
    assert page.dataframe[0].value["file"].tolist() == [str(path.relative_to(tmp_path))]
    assert "good" in page.dataframe[1].value["decoder"].tolist()


def test_a_record_of_a_newer_schema_is_left_out_with_a_word_on_what_to_do(tmp_path, monkeypatch):
    record = make_record()
    write_store(tmp_path, [record])
    path = next(tmp_path.rglob(f"{record.id}.json"))
    path.write_text(path.read_text().replace('"schema": 1', '"schema": 2'))
    page = run_page(tmp_path, monkeypatch)
    assert "is of schema 2, written by a newer harness" in page.dataframe[0].value["problem"].iloc[0]


def test_published_records_stand_beside_ones_own_and_never_in_one_table(tmp_path, monkeypatch):
    published = write_store(tmp_path / "published", [make_record("theirs")])
    monkeypatch.setattr(reading, "shipped_records", lambda: published)
    own = write_store(tmp_path / "own", [make_record("mine")])
    assert decoders_of(run_page(own, monkeypatch)) == ["mine"]
    assert decoders_of(run_page(own, monkeypatch, store="published")) == ["theirs"]
    page = run_page(tmp_path / "nothing", monkeypatch)
    assert decoders_of(page) == ["theirs"] and page.subheader[0].value == "No results yet"


def decoders_of(page) -> list[str]:
    table = page.dataframe[0].value
    return table[table["rank"].notna()]["decoder"].tolist()


def test_failures_alone_show_their_reasons_and_no_plot(tmp_path, monkeypatch):
    page = run_page(write_store(tmp_path, [make_failure(error="<b>boom</b>")]), monkeypatch)
    assert "No decoder here has finished" in page.info[0].value
    assert page.dataframe[0].value["reason"].tolist() == ["seed 42: <b>boom</b>"]
    assert "Score against latency" not in [s.value for s in page.subheader]


def test_a_taken_port_is_refused_with_a_way_out():
    from harness.cli.serve import free_port

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(UsageError, match="--port 0"):
            free_port(taken.getsockname()[1])


def test_harness_board_ends_cleanly_on_ctrl_c(tmp_path):
    command = [sys.executable, "-m", "harness", "board", "--store", str(tmp_path), "--port", "0", "--no-browser"]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    board = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert board.stdout is not None
    address = board.stdout.readline().split()[-4]
    board.send_signal(signal.SIGINT)
    rest = board.communicate(timeout=30)[0]
    assert (board.returncode, rest) == (0, "The leaderboard has ended.\n")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2]))).close()


@pytest.fixture(autouse=True)
def nothing_published(monkeypatch, tmp_path_factory):
    """A site that comes without records of its own."""
    monkeypatch.setattr(reading, "shipped_records", lambda: tmp_path_factory.mktemp("published"))

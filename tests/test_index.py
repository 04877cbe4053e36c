"""The index of a store: always what the records say, whatever happened to it."""

import json
import os
import sqlite3
import struct
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness.results import index
from harness.results.store import Store
from tests.records_factory import make_record


@pytest.fixture
def store(tmp_path) -> Store:
    store = Store(tmp_path / "results")
    for seed in (1, 2, 3):
        store.save(make_record(seed=seed))
    return store


def says(store: Store) -> list[tuple]:
    return sorted((row["id"], row["score"], row["p99_ms"]) for row in index.rows(store))


def holds(store: Store) -> list[tuple]:
    return sorted((r.id, r.scores[r.metric].value, r.latency_ms.p99) for r in store.records())


def test_the_index_says_what_the_records_say(store):
    assert says(store) == holds(store)
    assert len(says(store)) == 3


def test_new_and_removed_records_are_noticed(store):
    index.rows(store)
    store.save(make_record(seed=4))
    store.paths()[0].unlink()
    assert says(store) == holds(store)
    assert len(says(store)) == 3


def test_a_second_look_reads_no_record(store, monkeypatch):
    first = index.rows(store)
    monkeypatch.setattr(index, "read_record", None)
    assert index.rows(store) == first


@pytest.mark.parametrize("content", [b"", b"no database at all" * 1000])
def test_a_damaged_index_is_made_anew(store, content):
    index.rows(store)
    (store.root / index.NAME).write_bytes(content)
    assert says(store) == holds(store)


@pytest.mark.parametrize(
    "written, damaged",
    [
        (struct.pack(">d", 0.7), struct.pack(">d", 0.9)),
        (b"example-filter", b"example-filled"),
        (b"cpu-1@1", b"cpu-9@1"),
    ],
    ids=["a score", "a decoder's name", "a profile"],
)
def test_a_value_that_changed_in_the_index_alone_is_not_believed(store, written, damaged):
    before = index.rows(store)
    path = store.root / index.NAME
    content = path.read_bytes()
    assert written in content
    path.write_bytes(content.replace(written, damaged))
    assert index.rows(store) == before


@pytest.mark.parametrize("code", [sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_IOERR])
def test_a_disk_that_refuses_the_index_costs_no_listing_and_no_index(store, monkeypatch, code):
    before, connect = index.rows(store), index._connect

    def refusing(place):
        if place != ":memory:":
            error = sqlite3.OperationalError("the disk says no")
            error.sqlite_errorcode = code
            raise error
        return connect(place)

    content = (store.root / index.NAME).read_bytes()
    monkeypatch.setattr(index, "_connect", refusing)
    assert index.rows(store) == before
    assert (store.root / index.NAME).read_bytes() == content


def test_an_index_whose_journal_is_of_another_one_is_made_anew_without_it(store):
    before = index.rows(store)
    journal = store.root / f"{index.NAME}-journal"
    journal.write_bytes(b"what another index left" * 100)
    (store.root / index.NAME).write_bytes(b"no database at all" * 1000)
    assert index.rows(store) == before
    assert not journal.exists()


def test_an_edited_record_is_named_and_costs_the_others_nothing(store):
    path = store.paths()[0]
    record = json.loads(path.read_text())
    record["scores"]["r2"]["value"] = 0.99
    path.write_text(json.dumps(record))
    problems = [row["problem"] for row in index.rows(store) if row["problem"]]
    assert len(problems) == 1
    assert "was edited" in problems[0]
    assert len(index.rows(store)) == 3


@pytest.mark.parametrize("seed", [2**63 - 1, 2**63, -(2**63) - 1, 2**70, 10**1000])
def test_a_whole_number_that_sqlite_cannot_hold_is_named_and_costs_the_others_nothing(store, seed):
    path = store.save(make_record(seed=seed))
    found = {row["path"]: row for row in index.rows(store)}
    row = found.pop(path.relative_to(store.root).as_posix())
    assert [row["problem"] for row in found.values()] == [None] * 3
    if seed == 2**63 - 1:
        assert (row["seed"], row["problem"]) == (seed, None)
    else:
        assert f"seed is a whole number of {seed.bit_length()} bits; an index holds up to 63" in row["problem"]


def test_many_readers_at_once_agree(store):
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: says(store), range(24)))
    assert all(answer == holds(store) for answer in answers)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_store_that_cannot_be_written_is_indexed_in_memory(store: Store):
    Path(store.root).chmod(0o555)
    assert says(store) == holds(store)


def test_a_link_to_nowhere_and_a_file_of_brackets_are_named_and_cost_the_others_nothing(tmp_path):
    store = Store(tmp_path)
    good = store.save(make_record())
    (good.parent / "nowhere.json").symlink_to(tmp_path / "gone")
    (good.parent / "deep.json").write_text("[" * 100_000)
    found = {Path(row["path"]).name: row["problem"] for row in index.rows(store)}
    assert found[good.name] is None
    assert "no readable record" in found["nowhere.json"] and "no readable record" in found["deep.json"]

"""The index of a store: always what the records say, whatever happened to it."""

import json
import os
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

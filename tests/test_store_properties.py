"""A store under any sequence of what can happen to it: it holds what was saved whole, and names what is damaged."""

import errno
import itertools
import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from harness.errors import BadData
from harness.results import index
from harness.results.reading import read_record
from harness.results.store import PART, Store, make_store
from tests.faults import Ask, contents, moments
from tests.records_factory import make_record

SEEDS, NEW_SEEDS = st.integers(0, 5), st.integers(6, 40)
PLACES = st.floats(0, 1, exclude_max=True)
N_HISTORIES = max(12, int(os.environ.get("FAULT_KILLS", "60")) // 5)
AS_DRAWN = settings(
    max_examples=N_HISTORIES,
    stateful_step_count=14,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)


class AnyHistory(RuleBasedStateMachine):
    """What was written, beside a store that is written, killed, damaged and read."""

    def __init__(self, server, root: Path, counts: dict[str, int]) -> None:
        super().__init__()
        self.server, self.store, self.counts = server, Store(root), counts
        self.written: dict[Path, bytes] = {}
        self.clock = itertools.count(10**9)
        shutil.rmtree(root, ignore_errors=True)
        make_store(root)

    @rule(seed=SEEDS)
    def save(self, seed):
        record = make_record(seed=seed)
        path = self.store.save(record)
        self.written.setdefault(path, path.read_bytes())
        self._count("saves")

    @rule(seed=SEEDS | NEW_SEEDS, at=st.integers(1, 6), how=st.sampled_from(["kill", "tear"]))
    def save_and_be_killed(self, seed, at, how):
        root = str(self.store.root)
        ended = self.server.do(Ask([["save", root, str(seed)]], below=root, at=at, how=how))
        path = self.store.record_path(make_record(seed=seed))
        if path.exists():
            self.written.setdefault(path, path.read_bytes())
        else:
            assert ended.codes == [-9]
        self._count("kills" if ended.codes == [-9] else "saves")

    @precondition(lambda self: self.written)
    @rule(which=PLACES, place=PLACES, bit=st.integers(0, 7))
    def damage(self, which, place, bit):
        path = sorted(self.written)[int(which * len(self.written))]
        flip(path, place, bit)
        self._touch(path)
        self._count("flipped bits")

    @precondition(lambda self: self.written)
    @rule(which=PLACES)
    def restore(self, which):
        path = sorted(self.written)[int(which * len(self.written))]
        path.write_bytes(self.written[path])
        self._touch(path)

    @precondition(lambda self: self.written)
    @rule(which=PLACES)
    def remove(self, which):
        path = sorted(self.written)[int(which * len(self.written))]
        path.unlink()
        del self.written[path]

    @rule()
    def lose_the_index(self):
        (self.store.root / index.NAME).unlink(missing_ok=True)

    @precondition(lambda self: (self.store.root / index.NAME).exists())
    @rule(place=PLACES, bit=st.integers(0, 7))
    def damage_the_index(self, place, bit):
        flip(self.store.root / index.NAME, place, bit)
        self._count("flipped bits of the index")

    @rule()
    def begin_again(self):
        make_store(self.store.root)
        assert list(self.store.root.rglob(f".*{PART}")) == []

    @invariant()
    def it_holds_what_was_saved_whole_and_names_what_is_damaged(self):
        whole = {path for path, content in self.written.items() if same(path, content)}
        assert set(self.store.paths()) == set(self.written)
        for path in set(self.written) - whole:
            with pytest.raises(BadData, match=path.name):
                read_record(path)
        if whole == set(self.written):
            assert {record.id for record in self.store.records()} == {path.stem for path in whole}

    @invariant()
    def the_index_says_what_a_slow_listing_says(self):
        slow = {}
        for path in self.store.paths():
            try:
                record = read_record(path)
                slow[path] = (record.id, record.seed, record.scores["r2"].value, record.started_utc, None)
            except BadData as error:
                slow[path] = (None, None, None, None, str(error))
        names = ("id", "seed", "score", "started_utc", "problem")
        found = {self.store.root / row["path"]: tuple(row[name] for name in names) for row in index.rows(self.store)}
        assert found == slow
        self._count("listings compared")

    def _touch(self, path: Path) -> None:
        """Another time than before, however coarse the disk's clock."""
        os.utime(path, ns=(now := next(self.clock) * 10**9, now))

    def _count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1


def flip(path: Path, place: float, bit: int) -> None:
    content = bytearray(path.read_bytes())
    if content:
        content[int(place * len(content))] ^= 1 << bit
    path.write_bytes(content)


def same(path: Path, content: bytes) -> bool:
    """Whether a file still says what was written: space between words, or a digit too many, changes nothing."""
    try:
        return bool(json.loads(path.read_bytes()) == json.loads(content))
    except ValueError:
        return False


def test_any_history_leaves_what_was_saved_whole_and_a_true_index(server, tmp_path, record_property):
    counts: dict[str, int] = {}
    run_state_machine_as_test(lambda: AnyHistory(server, tmp_path / "store", counts), settings=AS_DRAWN)
    assert all(counts.get(what) for what in ("saves", "kills", "flipped bits", "flipped bits of the index"))
    said = ", ".join(f"{n} {what}" for what, n in sorted(counts.items()))
    record_property("faults", f"{AS_DRAWN.max_examples} histories of a store: {said}")


OLD = {"file": b"old", "folder/one": b"old", "folder/two": b"old"}
NEW = {"file": b"new" * 1000, "folder/one": b"new" * 1000, "folder/two": b"new"}


@pytest.mark.parametrize("what, names", [("write_file", ("file",)), ("write_folder", ("folder/one", "folder/two"))])
@pytest.mark.parametrize("was_there", [False, True], ids=["new", "again"])
def test_a_write_that_breaks_down_at_any_operation_leaves_the_old_the_new_or_nothing(
    server, tmp_path, what, names, was_there, record_property
):
    def begin(root: Path) -> Path:
        shutil.rmtree(root, ignore_errors=True)
        for name in names if was_there else ():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(OLD[name])
        return root

    old, new = ({name: side[name] for name in names} for side in (OLD, NEW))
    undisturbed = server.do(Ask([[what, str(begin(tmp_path / "a"))]], below=str(tmp_path / "a")))
    assert contents(tmp_path / "a") == new
    tried = moments(undisturbed.operations)
    tried += [(i, number) for i, _ in enumerate(undisturbed.operations, 1) for number in (errno.ENOSPC, errno.EIO)]
    for at, how in tried:
        root = begin(tmp_path / "b")
        server.do(Ask([[what, str(root)]], below=str(root), at=at, how=how))
        found = {name: content for name, content in contents(root).items() if PART not in name}
        assert found in (new, {}, *([old] if was_there else [])), (at, how, undisturbed.operations)
        assert what == "write_folder" or not was_there or found
        assert server.do(Ask([[what, str(root)]])).codes == [0]
        assert contents(root) == new
    record_property("faults", f"{what}{' again' * was_there} broken down {len(tried)} times")


def test_who_reads_while_others_write_sees_records_that_only_become_more(tmp_path):
    store, records = Store(tmp_path), [make_record(seed=seed) for seed in range(12)]

    def read(_) -> list[int]:
        return [len([row for row in index.rows(store) if not row["problem"]]) for _ in range(6)]

    with ThreadPoolExecutor(4) as pool:
        reading = [pool.submit(read, i) for i in range(3)]
        writing = pool.map(store.save, records * 2)
        assert len(set(writing)) == len(records)
    for one in reading:
        assert one.result() == sorted(one.result())
    assert read(0)[-1] == len(records)

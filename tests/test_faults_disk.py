"""Disks that say no: full, read-only, without locks. A command ends in words, and goes on once it can."""

import errno
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness.results.integrity import all_problems
from tests.fault_server import NEED_ROOM
from tests.faults import Ask, contents, eval_command, parts, whole

IN_WORDS = [2]


@pytest.fixture
def mounting(server):
    if server.why_no_mounts:
        pytest.skip(f"no mounts of one's own here: {server.why_no_mounts}")
    return server


def last_words(ended) -> str:
    """The paragraph with which a command ended; not a traceback."""
    assert "Traceback" not in ended.err, ended.err
    _, said, last = ended.err.partition("harness: ")
    assert said, ended.err
    return last


@pytest.mark.long
def test_a_disk_that_is_full_at_any_operation_is_named_and_with_room_the_same_command_ends(
    server, tmp_path, record_property
):
    whole_store, root = tmp_path / "whole", tmp_path / "full"
    undisturbed = server.do(Ask([eval_command(server, whole_store, "wiener")], below=str(whole_store)))
    assert undisturbed.codes == [0], undisturbed.err
    truth, command = contents(whole_store), eval_command(server, root, "wiener")
    points = [i for i, name in enumerate(undisturbed.operations, 1) if name in NEED_ROOM]
    n_resumed = 0
    for i, point in enumerate(points):
        ended = server.do(Ask([command], below=str(root), at=point, how=errno.ENOSPC))
        assert ended.codes == IN_WORDS, (point, ended)
        said = last_words(ended)
        assert f"{root}" in said and "No space left on device; make room on that disk" in said
        if root.exists():
            whole(root)
            assert parts(root) == []
        if i % 8 == 7 or point == points[-1]:
            assert server.do(Ask([command])).codes == [0]
            assert contents(root) == truth
            n_resumed += 1
        shutil.rmtree(root, ignore_errors=True)
    assert len(points) > 50
    record_property("faults", f"disk full at each of {len(points)} operations that need room; {n_resumed} went on")


def test_a_disk_that_is_really_full_is_named_and_each_time_it_grows_the_same_command_gets_further(
    mounting, tmp_path, record_property
):
    root = tmp_path / "disk"
    root.mkdir()
    mounting.mount("-t", "tmpfs", "-o", "size=8k", "none", str(root))
    command, here = eval_command(mounting, root, "wiener"), mounting.seen_from_here(root)
    n_full, kib = 0, 8
    while (ended := mounting.do(Ask([command]))).codes == IN_WORDS:
        assert "No space left on device; make room" in last_words(ended)
        whole(here)
        assert parts(here) == []
        n_full, kib = n_full + 1, kib + 12
        mounting.mount("-o", f"remount,size={kib}k", str(root))
    assert ended.codes == [0], ended.err
    assert whole(here) == 1 and n_full > 5
    record_property("faults", f"a real disk of 8 to {kib} KiB was full {n_full} times, then the command ended")


def test_a_full_data_folder_is_named(mounting, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    mounting.mount("-t", "tmpfs", "-o", "size=300k", "none", str(data))
    ended = mounting.do(Ask([eval_command(mounting, tmp_path / "store", "wiener")], data=str(data)))
    assert ended.codes == IN_WORDS, ended
    assert f"harness: {data}/simulated cannot be written: No space left on device; make room" in ended.err
    assert list(mounting.seen_from_here(data).rglob("*.nwb")) == []


def test_a_read_only_store_is_read_and_says_that_it_cannot_be_written(mounting, tmp_path):
    root = tmp_path / "store"
    assert mounting.do(Ask([eval_command(mounting, root, "wiener")])).codes == [0]
    before = contents(root)
    mounting.mount("--bind", str(root), str(root))
    mounting.mount("-o", "remount,ro,bind", str(root))
    listed = mounting.do(Ask([["list", "results", "--json", "--store", str(root)]]))
    assert listed.codes == [0] and '"decoder": "wiener"' in listed.out
    checked = mounting.do(Ask([["verify", "--all", "--store", str(root)]]))
    assert checked.codes == [0] and "1 records" in checked.out
    shown = mounting.do(Ask([["board", "--static", str(tmp_path / "site"), "--store", str(root)]]))
    assert shown.codes == [0], shown.err
    assert any("wiener" in page.read_text() for page in (tmp_path / "site").rglob("*.html"))
    refused = mounting.do(Ask([eval_command(mounting, root, "kalman")]))
    assert refused.codes == IN_WORDS
    assert f"{root} cannot be written: Read-only file system; name a folder that you may write" in last_words(refused)
    assert contents(mounting.seen_from_here(root)) == before


def test_a_verification_on_a_read_only_disk_says_its_verdict_and_that_no_receipt_is_kept(mounting, tmp_path):
    root = tmp_path / "store"
    assert mounting.do(Ask([eval_command(mounting, root, "wiener")])).codes == [0]
    mounting.mount("--bind", str(root), str(root))
    mounting.mount("-o", "remount,ro,bind", str(root))
    (record,) = (root / "records").glob("*/*/*.json")
    suite, profile = mounting.folder / "tiny.yaml", mounting.folder / "quick.yaml"
    arguments = [record.stem, "--rescore", "--suite", str(suite), "--profile", str(profile), "--store", str(root)]
    ended = mounting.do(Ask([["verify", *arguments]]))
    assert ended.codes == IN_WORDS, ended.err
    assert "It was scored again: same" in ended.out and "Receipt: not kept" in ended.out
    assert "receipts" in last_words(ended) and "Read-only file system" in last_words(ended)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP], ids=errno.errorcode.get)
def test_a_disk_without_locks_is_refused_before_anything_is_done_but_can_be_read(server, tmp_path, number):
    root, n_before = tmp_path / "store", len(server.trace())
    refused = server.do(Ask([eval_command(server, root, "wiener")], no_locks=number))
    assert refused.codes == IN_WORDS
    said = last_words(refused)
    assert f"{root} cannot be written" in said and "use a folder on one that has them" in said
    assert len(server.trace()) == n_before and not contents(root)
    assert server.do(Ask([eval_command(server, root, "wiener")])).codes == [0]
    for command in (["list", "results"], ["verify", "--all"]):
        assert server.do(Ask([[*command, "--store", str(root)]], no_locks=number)).codes == [0]
    published = server.do(Ask([["publish", str(tmp_path / "published"), "1"]], no_locks=number))
    assert published.codes == [1] and "NotWritten" in published.err
    assert contents(tmp_path / "published") == {}


def test_a_full_disk_costs_a_submission_nothing_but_another_try(server, tmp_path, record_property):
    undisturbed = server.do(Ask([["publish", str(tmp_path / "whole"), "1"]], below=str(tmp_path / "whole")))
    points = [i for i, name in enumerate(undisturbed.operations, 1) if name in NEED_ROOM]
    for point in points:
        root = tmp_path / str(point)
        ended = server.do(Ask([["publish", str(root), "1"]], below=str(root), at=point, how=errno.ENOSPC))
        assert ended.codes == [1] and "NotWritten" in ended.err and "make room on that disk" in ended.err
        assert parts(root) == []
        assert server.do(Ask([["publish", str(root), "1"]])).codes == [0]
        assert all_problems(root) == (1, []) and contents(root) == contents(tmp_path / "whole")
    record_property("faults", f"disk full at each of {len(points)} operations of a submission")


def test_output_that_finds_no_room_ends_a_command_in_words():
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "harness", "list", "profiles"]
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert ended.returncode == 2
    assert ended.stderr.startswith("harness: what was printed cannot be written: No space left on device; make room")


def test_two_runs_in_one_store_do_each_cell_once_and_write_the_same_records(server, tmp_path, record_property):
    server.do(Ask([eval_command(server, tmp_path / "whole")]))
    truth, plans = contents(tmp_path / "whole"), (("train-mean", "wiener"), ("wiener", "kalman"), ("kalman", "wiener"))
    for name, chosen in ("same", plans[:1] * 3), ("overlapping", plans):
        root, n_before = tmp_path / name, len(server.trace())
        ended = server.do(Ask([eval_command(server, root, *decoders) for decoders in chosen]))
        assert ended.codes == [0, 0, 0], ended.err
        done = server.trace()[n_before:]
        assert len(done) == len(set(done)) == 4 * len({name for decoders in chosen for name in decoders}), done
        whole(root)
        assert contents(root).items() <= truth.items() and parts(root) == []
        assert contents(root) == truth or name == "same"
    record_property(
        "faults", "three runs at once in one store, twice: every cell done once, the bytes of one run alone"
    )


def test_two_runs_that_are_both_killed_leave_a_whole_store_and_end_together(server, tmp_path, record_property):
    server.do(Ask([eval_command(server, tmp_path / "whole")]))
    truth, rng, n_killed = contents(tmp_path / "whole"), random.Random(3), 0
    plans = (("train-mean", "wiener", "kalman"), ("kalman", "wiener"))
    for i in range(6):
        root = tmp_path / str(i)
        commands = [eval_command(server, root, *decoders) for decoders in plans]
        ended = server.do(Ask(commands, below=str(root), at=rng.randint(1, 200), how=rng.choice(("kill", "tear"))))
        n_killed += ended.codes.count(-9)
        whole(root)
        assert server.do(Ask(commands)).codes == [0, 0]
        assert contents(root) == truth and parts(root) == []
    assert n_killed > 6
    record_property("faults", f"of 6 times two runs at once, {n_killed} were killed: the bytes of one run alone")

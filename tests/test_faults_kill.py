"""Killed at a seeded moment, again and again: everything on the disk is whole or absent, and the same command ends it.

A moment is one operation on the file system, or SQLite's next few steps. FAULT_KILLS=500 kills more often.
"""

import os
import random
from collections import Counter
from pathlib import Path

from harness.data.cache import Cache
from harness.results.integrity import all_problems
from harness.results.published import Published
from harness.results.store import Store
from tests.faults import Ask, Server, contents, eval_command, moments, parts, whole
from tests.records_factory import make_record

N_KILLS = int(os.environ.get("FAULT_KILLS", "60"))
IN_A_ROW = 4
KILLED = [-9]


def drawn(operations: list[str], n: int, seed: int) -> list[tuple[int, str]]:
    """Moments in a seeded order, none twice before all have been."""
    found, rng = [], random.Random(seed)
    while len(found) < n:
        found += rng.sample(every := moments(operations), len(every))
    return found[:n]


def test_an_evaluation_that_is_killed_leaves_whole_files_only_and_the_same_command_ends_it(
    server, tmp_path, record_property
):
    undisturbed = server.do(Ask([eval_command(server, tmp_path / "whole")], below=str(tmp_path / "whole")))
    assert undisturbed.codes == [0], undisturbed.err
    truth, n_fits = contents(tmp_path / "whole"), len(server.trace())
    at, rng = Counter(), random.Random(1)
    firsts = drawn(undisturbed.operations, -(-N_KILLS // IN_A_ROW), seed=0)
    n_kills = n_looks = n_ended = 0
    for i, first in enumerate(firsts):
        root = tmp_path / str(i)
        command, n_before = eval_command(server, root), len(server.trace())
        for moment, how in [first, *((rng.randint(1, 90), rng.choice(("kill", "tear"))) for _ in range(IN_A_ROW - 1))]:
            ended = server.do(Ask([command], below=str(root), at=moment, how=how))
            if ended.codes == KILLED:
                n_kills += 1
                at[f"{how} {undisturbed.operations[moment - 1]}"] += 1
            n_looks += 1
            whole(root)
        assert server.do(Ask([command])).codes == [0]
        assert whole(root) == 3
        assert contents(root) == truth, f"moment {first}, seed {i}"
        assert parts(root) == [] and list((root / "unfinished").glob("*")) == []
        assert len(server.trace()) - n_before <= n_fits + IN_A_ROW, "a kill cost more than what was in flight"
        n_ended += 1
    assert n_kills >= min(N_KILLS, 50)
    record_property(
        "faults",
        f"evaluation killed {n_kills} times at {len(undisturbed.operations)} operations ({len(at)} kinds); "
        f"{n_looks} looks at the store, {n_ended} stores ended with the bytes of an undisturbed run",
    )


def every_moment(server: Server, folder: Path, call: list[str], look, most: int) -> tuple[int, int]:
    """Kill a call at each moment, look at what it left, and let it end; numbers of moments and of kills.

    Each moment has a folder of its own; no more than `most` of them are drawn.
    """
    undisturbed = server.do(Ask([[call[0], str(folder / "whole"), *call[1:]]], below=str(folder / "whole")))
    assert undisturbed.codes == [0], undisturbed.err
    n_kills, chosen = 0, moments(undisturbed.operations)
    for i, (moment, how) in enumerate(random.Random(0).sample(chosen, min(most, len(chosen)))):
        root = folder / str(i)
        command = [call[0], str(root), *call[1:]]
        n_kills += server.do(Ask([command], below=str(root), at=moment, how=how)).codes == KILLED
        look(root, False)
        ended = server.do(Ask([command], below=str(root)))
        assert ended.codes == [0], ended.err
        assert ended.out == undisturbed.out.replace(str(folder / "whole"), str(root))
        look(root, True)
    return len(chosen), n_kills


def test_a_submission_that_is_killed_is_whole_in_what_can_be_read_and_the_same_command_ends_it(
    server, tmp_path, record_property
):
    def look(root: Path, ended: bool) -> None:
        for record in Published(root).records():
            assert Published(root).predictions(record).is_file()
        if ended:
            assert all_problems(root) == (2, [])
            assert contents(root) == contents(tmp_path / "whole")
        elif root.exists():
            strange = [problem for problem in all_problems(root)[1] if "is in no line of chain" not in problem]
            assert strange == []

    n_moments, n_kills = every_moment(server, tmp_path, ["publish", "2"], look, N_KILLS // 2)
    assert n_kills == min(N_KILLS // 2, n_moments)
    record_property("faults", f"submission killed {n_kills} times, at as many of its {n_moments} moments")


def test_an_index_that_is_killed_lists_every_record_the_next_time(server, tmp_path, record_property):
    def look(root: Path, ended: bool) -> None:
        pass  # the listing itself, which `every_moment` compares, is all that anybody can see of an index

    for root in ["whole", *map(str, range(N_KILLS // 3))]:
        for seed in range(3):
            Store(tmp_path / root).save(make_record(seed=seed))
    n_moments, n_kills = every_moment(server, tmp_path, ["list_rows"], look, N_KILLS // 3)
    assert n_kills >= min(N_KILLS // 3, n_moments) / 2
    record_property("faults", f"index killed {n_kills} times, between {n_moments} steps of SQLite")


def test_a_download_that_is_killed_is_in_the_cache_whole_or_not_at_all(server, tmp_path, record_property):
    def look(root: Path, ended: bool) -> None:
        blobs = list(Cache(root).blobs())
        assert all(blob.intact() for blob in blobs)
        assert len(blobs) == 1 or not ended
        assert not ended or list((root / "parts").iterdir()) == []

    n_moments, n_kills = every_moment(server, tmp_path, ["take_in"], look, N_KILLS)
    assert n_kills == min(N_KILLS, n_moments)
    record_property("faults", f"download killed {n_kills} times, at as many of its {n_moments} moments")

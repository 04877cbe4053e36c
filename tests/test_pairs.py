"""Two decoders on the same recordings: differences, their intervals, and groups that cannot be told apart."""

import io
from math import hypot, sqrt

import numpy as np
import pytest
from scipy.stats import ttest_rel

from harness.errors import UsageError
from harness.results.records import Score, sealed, sha256
from harness.results.store import Store, write_whole
from harness.score import stats
from harness.score.metrics import metric
from leaderboard_app.draws import draws_of
from leaderboard_app.pairs import difference, tie_groups
from leaderboard_app.runs import Run
from tests.records_factory import make_failure, make_record, make_session

BLANK = make_record()


def run(name: str, values: list[float], *, half: float | None = 0.05, **changes) -> Run:
    """One decoder with one seed on recordings r0, r1, ...; its intervals reach `half` to both sides."""
    intervals = [{} if half is None else {"r2": (score - half, score + half)} for score in values]
    sessions = [make_session(f"r{i}", score, interval=intervals[i]) for i, score in enumerate(values)]
    value = float(np.mean(values))
    low, high = (None, None) if half is None else (value - half, value + half)
    content = {"sessions": sessions, "scores": {"r2": Score(value=value, low=low, high=high)}, **changes}
    record = BLANK.model_copy(update=content)
    return Run(name, frozenset((s.session, s.sha256) for s in record.sessions), (record,))


def drawn(rng: np.random.Generator, means: list[float]) -> dict[str, np.ndarray]:
    return {f"r{i}": rng.normal(mean, 0.02, 200) for i, mean in enumerate(means)}


def test_the_interval_of_paired_draws_is_that_of_a_slow_loop():
    rng = np.random.default_rng(3)
    a, b = drawn(rng, [0.6, 0.5, 0.8]), drawn(rng, [0.55, 0.48, 0.7])
    found = difference(run("a", [0.6, 0.5, 0.8]), run("b", [0.55, 0.48, 0.7]), (a, b))
    again = np.random.default_rng(stats.PROTOCOL.seed)
    sessions, draws = again.integers(0, 3, (200, 3)), again.integers(0, 200, (200, 3))
    means = []
    for row_s, row_d in zip(sessions, draws, strict=True):
        picked = [a[f"r{s}"][d] - b[f"r{s}"][d] for s, d in zip(row_s, row_d, strict=True)]
        means.append(sum(picked) / 3)
    assert (found.low, found.high) == pytest.approx(np.percentile(means, [2.5, 97.5]))
    assert found.how == "draws" and found.mean == pytest.approx(0.17 / 3)


def test_a_recording_s_interval_is_of_the_differences_of_its_draws():
    rng = np.random.default_rng(4)
    a, b = drawn(rng, [0.6, 0.5]), drawn(rng, [0.4, 0.5])
    rows = difference(run("a", [0.6, 0.5]), run("b", [0.4, 0.5]), (a, b)).recordings
    assert [(r.session, r.a, r.b) for r in rows] == [("r0", 0.6, 0.4), ("r1", 0.5, 0.5)]
    assert (rows[0].low, rows[0].high) == pytest.approx(np.percentile(a["r0"] - b["r0"], [2.5, 97.5]))


def test_two_decoders_that_err_at_the_same_places_are_told_apart_by_their_blocks():
    rng, r2 = np.random.default_rng(5), metric("r2")
    y_true, shared = np.cumsum(rng.normal(size=(6000, 1)), axis=0), np.repeat(rng.normal(size=(60, 1)), 100, axis=0)
    preds = [y_true + size * shared * y_true.std() for size in (0.4, 0.5)]
    times = stats.Timeline(bin_s=0.02)
    draws = tuple({"r0": stats.draws(r2, y_true, p, time=times)} for p in preds)
    scores = [r2(y_true, p) for p in preds]
    halves = [float(np.ptp(np.percentile(d["r0"], [2.5, 97.5]))) / 2 for d in draws]
    runs = [run(n, [s], half=h) for n, s, h in zip("ab", scores, halves, strict=True)]
    assert difference(*runs, draws).better == "a" and difference(*runs).better == ""


def test_without_draws_three_recordings_give_the_paired_t_interval():
    a, b = [0.6, 0.5, 0.8, 0.3], [0.55, 0.48, 0.7, 0.32]
    found = difference(run("a", a), run("b", b))
    expected = ttest_rel(a, b).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert (found.how, found.better) == ("recordings", "")


def test_two_recordings_without_draws_leave_only_the_decoders_own_intervals():
    a = run("a", [0.8, 0.6], half=0.03)
    b = run("b", [0.5, 0.5], half=0.04)
    found = difference(a, b)
    assert (found.how, found.mean) == ("intervals", pytest.approx(0.2))
    assert found.low == pytest.approx(0.2 - 0.05 * sqrt(2) / 2) and found.high == pytest.approx(
        0.2 + 0.05 * sqrt(2) / 2
    )


def test_an_interval_that_reaches_farther_to_one_side_does_so_in_the_difference():
    a = run("a", [0.8], sessions=[make_session("r0", 0.8, interval={"r2": (0.7, 0.85)})])
    b = run("b", [0.5], sessions=[make_session("r0", 0.5, interval={"r2": (0.4, 0.6)})])
    found = difference(a, b)
    assert (found.low, found.high) == pytest.approx((0.3 - hypot(0.1, 0.1), 0.3 + hypot(0.05, 0.1)))


@pytest.mark.parametrize("draws", [({}, {}), ({"r0": np.ones(9)}, {"r0": np.ones(8)})])
def test_draws_that_do_not_fit_are_not_used(draws):
    assert difference(run("a", [0.8]), run("b", [0.5]), draws).how == "intervals"


def test_where_no_interval_is_known_nobody_is_better():
    found = difference(run("a", [0.9], half=None), run("b", [0.1]))
    assert (found.how, found.better) == ("none", "") and np.isnan(found.low)


def test_only_recordings_that_both_finished_by_the_same_file_count():
    other_file = make_session("r1", 0.9, sha256="0" * 64)
    failed = make_session("r2", 0.0, status="failed", scores={})
    a = run("a", [0.6, 0.5, 0.4, 0.7])
    b = run("b", [0], sessions=[make_session("r0", 0.5), other_file, failed, make_session("r3", 0.4)])
    found = difference(a, b)
    assert [r.session for r in found.recordings] == ["r0", "r3"]
    assert (found.mean, found.how) == (pytest.approx(0.2), "intervals")


def test_two_decoders_without_a_shared_recording_have_no_difference():
    found = difference(run("a", [0.6]), run("b", [0], sessions=[make_session("elsewhere", 0.5)]))
    assert (found.recordings, found.how) == ((), "none") and np.isnan(found.mean)


def test_scores_are_means_over_seeds_before_they_are_compared():
    seeds = (run("a", [0.6, 0.4]).records[0], run("a", [0.8, 0.5]).records[0])
    a = run("a", [0.6, 0.4])
    found = difference(Run("a", a.data, seeds), run("b", [0.5, 0.5]))
    assert [r.difference for r in found.recordings] == pytest.approx([0.2, -0.05])


def test_of_an_error_the_smaller_is_the_better():
    errors = {"metric": "rmse"}
    runs = []
    for name, value in (("a", 3.0), ("b", 2.0)):
        interval = {"rmse": (value - 0.1, value + 0.1)}
        sessions = [make_session("r0", 0, scores={"rmse": value}, interval=interval)]
        scores = {"rmse": Score(value=value, low=value - 0.1, high=value + 0.1)}
        runs.append(run(name, [0], sessions=sessions, scores=scores, **errors))
    assert difference(*runs).better == "b"
    assert [[r.label for r in group] for group in tie_groups(runs, False)] == [["b"], ["a"]]


@pytest.mark.parametrize("n_recordings, at_least", [(4, 0.80), (12, 0.88)])
def test_intervals_of_draws_cover_the_true_difference_about_as_often_as_they_say(n_recordings, at_least):
    rng, covered, n_repeats = np.random.default_rng(6), 0, 150
    for _ in range(n_repeats):
        truth = rng.normal(0.1, 0.05, n_recordings)
        blocks = truth[:, None] + rng.normal(0, 0.2, (n_recordings, 20))
        steps = {f"r{i}": b[rng.integers(0, 20, (300, 20))].mean(axis=1) for i, b in enumerate(blocks)}
        zero = {name: np.zeros(300) for name in steps}
        a, b = run("a", list(blocks.mean(axis=1))), run("b", [0.0] * n_recordings)
        found = difference(a, b, (steps, zero))
        covered += found.low <= 0.1 <= found.high
    assert at_least <= covered / n_repeats <= 1.0


def slow_groups(runs: list[Run]) -> list[list[str]]:
    """The same rule, by comparing one pair after the other."""
    left = sorted(runs, key=lambda r: -r.records[0].scores["r2"].value)
    groups = []
    while left:
        group = [left.pop(0)]
        while left and not difference(group[0], left[0]).better:
            group.append(left.pop(0))
        groups.append([r.label for r in group])
    return groups


@pytest.mark.parametrize("n_recordings", [1, 2, 3, 8])
def test_tie_groups_are_those_of_a_slow_loop_over_pairs(n_recordings):
    rng = np.random.default_rng(7)
    runs = [run(f"d{i}", list(rng.uniform(0, 1) + rng.normal(0, 0.1, n_recordings))) for i in range(15)]
    found = [[r.label for r in group] for group in tie_groups(runs, True)]
    assert found == slow_groups(runs) and 1 < len(found) < 15


def test_a_group_is_measured_from_its_head_and_not_from_neighbour_to_neighbour():
    runs = [run(name, [score], half=0.05) for name, score in (("a", 0.70), ("b", 0.65), ("c", 0.60), ("d", 0.55))]
    assert [[r.label for r in group] for group in tie_groups(runs[::-1], True)] == [["a", "b"], ["c", "d"]]


def test_who_has_no_interval_cannot_be_told_from_the_head():
    runs = [run("a", [0.9]), run("b", [0.1], half=None), run("c", [0.05])]
    assert [[r.label for r in group] for group in tie_groups(runs, True)] == [["a", "b"], ["c"]]


def test_no_runs_make_no_groups_and_a_failed_run_is_refused():
    assert tie_groups([], True) == []
    failed = make_failure("broken")
    with pytest.raises(UsageError, match=r"broken.*no score"):
        tie_groups(
            [run("a", [0.9]), Run("broken", frozenset((s.session, s.sha256) for s in failed.sessions), (failed,))], True
        )


def save_draws(root, record, draws: dict[str, np.ndarray]):
    """The record with its predictions in a store."""
    file = io.BytesIO()
    np.savez(file, **{f"{name}/draws": values for name, values in draws.items()})
    record = sealed(record.model_copy(update={"predictions_sha256": sha256(file.getvalue())}))
    write_whole(Store(root).predictions(record), file.getvalue())
    return record


def test_draws_in_a_store_are_means_over_seeds(tmp_path):
    names = [s.session for s in BLANK.sessions]
    seeds = [make_record(seed=i) for i in range(2)]
    saved = [save_draws(tmp_path, r, {n: np.arange(4.0) + i for n in names}) for i, r in enumerate(seeds)]
    found = draws_of(tmp_path, Run("a", frozenset(), tuple(saved)))
    assert {name: values.tolist() for name, values in found.items()} == {n: [0.5, 1.5, 2.5, 3.5] for n in names}


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04 no archive", b"other"])
def test_predictions_that_are_gone_or_other_ones_give_no_draws(tmp_path, content):
    record = save_draws(tmp_path, make_record(), {s.session: np.ones(4) for s in BLANK.sessions})
    path = Store(tmp_path).predictions(record)
    path.unlink()
    if content is not None:
        path.write_bytes(content)
        told = sha256(content) if content != b"other" else record.predictions_sha256
        record = record.model_copy(update={"predictions_sha256": told})
    assert draws_of(tmp_path, Run("a", frozenset(), (record,))) == {}

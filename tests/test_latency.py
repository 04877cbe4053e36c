"""Round trips in numbers, and repeated passes, on made-up times."""

import numpy as np
import pytest

from harness import Delay
from harness.judge import passes
from harness.score.latency import delays, histogram, median_pass, spread, summarise

MS = 1_000_000


def test_a_summary_is_what_a_hand_would_count():
    ns = np.array([1, 1, 1, 1, 1, 1, 1, 1, 1, 30]) * MS
    found = summarise(ns, bin_s=0.02)
    assert (found.p50, found.max, found.n) == (1.0, 30.0, 10)
    assert found.deadline_miss_rate == pytest.approx(0.1)
    assert found.jitter == pytest.approx(29 / 9)
    assert found.p95 <= found.p99 <= found.p999 <= found.max


def test_nothing_streamed_has_no_summary():
    assert summarise(np.array([], np.int64), bin_s=0.02) is None


def test_an_answer_exactly_at_the_deadline_is_not_late():
    assert summarise(np.array([20 * MS, 20 * MS + 1]), bin_s=0.02).deadline_miss_rate == 0.5


def test_a_histogram_holds_every_round_trip_once_between_its_edges():
    ns = np.random.default_rng(0).lognormal(11, 1, 5000).astype(np.int64)
    found = histogram(ns)
    edges = np.array([float(edge) for edge in found])
    assert sum(found.values()) == len(ns)
    assert (np.diff(edges) > 0).all()
    for edge, n in zip(edges, found.values(), strict=True):
        inside = np.sum((ns / 1e3 >= edge * 0.99) & (ns / 1e3 < edge * 10**0.1 * 1.01))
        assert inside >= n


def test_the_median_pass_is_neither_the_best_nor_the_worst():
    calm, loaded, dreadful = (np.full(100, t * MS) for t in (1, 3, 9))
    assert median_pass([loaded, dreadful, calm]) == 0
    assert median_pass([calm, loaded]) == 1
    assert spread([loaded, dreadful, calm]) == {"p50": (1.0, 9.0), "p99": (1.0, 9.0)}


def test_delays_add_up_and_a_label_of_the_future_is_no_delay():
    found = delays(Delay(), bin_s=0.02, lag_s=-0.05, filter_s=0.004, compute_ms=1.5)
    assert found == {
        "look_ahead": 50.0,
        "interpolation": 0.0,
        "filter": 4.0,
        "bin": 20.0,
        "compute": 1.5,
        "total": 75.5,
    }
    assert delays(Delay(), bin_s=0.02, lag_s=0.1, filter_s=0.0, compute_ms=1.0)["total"] == 21.0


def test_the_paper_s_delay_is_look_ahead_and_bin_and_interpolation_comes_on_top():
    """Receptive field of kernels 9 and 18: R = 46, (R/2 + 1) * 4 ms = 96 ms."""
    found = delays(Delay(23, 4), bin_s=0.004, lag_s=0.0, filter_s=0.0, compute_ms=0.0)
    assert found["look_ahead"] + found["bin"] == pytest.approx(96)
    assert found["interpolation"] == pytest.approx(16)


class Scripted:
    """A guard that finds what it is told to find."""

    script: list[str] = []

    def __enter__(self):
        self.why, self.calibration = self.script.pop(0), {"before.python_loop_ms": 1.0}
        return self

    def __exit__(self, *_):
        pass

    @property
    def noisy(self):
        return bool(self.why)


@pytest.mark.parametrize(
    "script, n_passes, noisy",
    [
        (["", "x"], 1, False),
        (["busy", "", ""], 3, False),
        (["busy", "", "busy"], 3, True),
        (["busy", "busy", "busy"], 3, True),
    ],
)
def test_a_disturbed_pass_is_repeated_and_most_must_be_calm(monkeypatch, script, n_passes, noisy):
    monkeypatch.setattr(passes, "Guard", Scripted)
    monkeypatch.setattr(Scripted, "script", list(script))
    times = iter([5, 1, 3])
    found = passes.repeated(lambda: np.full(10, next(times) * MS), lambda ns: ns, most=3)
    assert (len(found.all), found.noisy, found.why) == (n_passes, noisy, "busy" if noisy else "")
    assert found.round_trip_ns[0] == (5 if n_passes == 1 else 3) * MS
    assert found.all[0][0] == 5 * MS


def test_a_window_is_waited_for_and_only_named_where_there_is_one():
    found = delays(Delay(window_s=5.0), bin_s=0.01, lag_s=0.0, filter_s=0.009, compute_ms=0.0)
    assert found["window"] == 5000 and found["total"] == pytest.approx(5019)
    assert "window" not in delays(Delay(), bin_s=0.01, lag_s=0.0, filter_s=0.0, compute_ms=1.0)

"""The Pareto frontier against a slow loop, and what a plot of a trade-off is made of."""

import json

import numpy as np
import pandas as pd
import pytest

from harness.judge.budget import Track, shipped_tracks
from leaderboard_app.frontier import frontier
from leaderboard_app.table import ranking
from leaderboard_app.trade_off_plot import CROWD, LABEL_PX, PLOT_PX, labels, looks, trade_off
from leaderboard_app.trade_offs import COSTS, costs_of, decades, limits, points
from tests.records_factory import make_field, make_judged, make_judged_field, make_record


def slow_frontier(cost: np.ndarray, score: np.ndarray) -> list[bool]:
    """Every point against every other one, by the definition."""
    on = []
    for c, s in zip(cost, score, strict=True):
        beaten = any((d <= c and t >= s) and (d < c or t > s) for d, t in zip(cost, score, strict=True))
        on.append(bool(np.isfinite(c) and np.isfinite(s) and not beaten))
    return on


@pytest.mark.parametrize("seed", range(20))
def test_the_frontier_is_that_of_a_slow_loop_with_ties_and_gaps(seed):
    rng = np.random.default_rng(seed)
    cost, score = rng.integers(0, 6, 25).astype(float), rng.integers(0, 6, 25).astype(float)
    cost[rng.integers(0, 25, 3)] = np.nan
    score[rng.integers(0, 25, 3)] = np.nan
    assert frontier(cost, score).tolist() == slow_frontier(cost, score)
    assert frontier(cost, -score, higher_is_better=False).tolist() == slow_frontier(cost, score)


@pytest.mark.parametrize(
    "cost, score, on",
    [
        ([], [], []),
        ([3.0], [0.1], [True]),
        ([np.nan], [0.1], [False]),
        ([1, 1], [0.5, 0.5], [True, True]),
        ([1, 1], [0.5, 0.6], [False, True]),
        ([1, 2], [0.5, 0.5], [True, False]),
        ([2, 1], [0.6, 0.5], [True, True]),
    ],
)
def test_equal_points_are_on_the_frontier_together_and_unknown_ones_never(cost, score, on):
    assert frontier(np.array(cost, float), np.array(score, float)).tolist() == on


def test_training_time_is_the_sum_of_the_stages_that_are_known():
    table = pd.DataFrame({"pretrain_s": [10.0, np.nan], "fit_s": [2.0, np.nan], "adapt_s": [np.nan, np.nan]})
    assert COSTS["training"].of(table).fillna(-1).tolist() == [12.0, -1.0]


def test_only_costs_that_somebody_has_are_offered():
    old, new = (set(costs_of(ranking([record]))) for record in (make_record(), make_judged()))
    assert new == set(COSTS) and new - old == {"paced", "operations", "state"}


def test_limits_are_the_budgets_of_the_shipped_tracks_in_the_units_of_the_axis():
    tracks = shipped_tracks()
    assert [(x.value, x.words) for x in limits("artefact", tracks, bin_s=0.02)] == [(128, "limit of implant: 128")]
    assert [x.value for x in limits("operations", tracks, bin_s=0.02)] == [5e6]
    (paced,) = limits("paced", tracks, bin_s=0.02)
    assert paced.value == pytest.approx(20) and paced.words == "limit of implant, realtime: 20"
    assert limits("training", tracks, bin_s=0.02) == limits("parameters", tracks, bin_s=0.02) == []


def test_tracks_with_different_limits_have_a_line_each():
    tracks = [Track(name=n, version=1, description="", parameters=p) for n, p in (("b", 1e6), ("a", 1e3), ("c", 1e6))]
    found = limits("parameters", tracks, bin_s=0.02)
    assert [(x.value, x.words) for x in found] == [(1e3, "limit of a: 1 k"), (1e6, "limit of b, c: 1 M")]


@pytest.mark.parametrize(
    "values, ticks",
    [
        ([3, 40_000], [1, 10, 100, 1_000, 10_000, 100_000]),
        ([0, 0.5, 7], [0, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50]),
        ([1, 1e12], [1, 1e2, 1e4, 1e6, 1e8, 1e10, 1e12]),
        ([0, 0], [0]),
    ],
)
def test_ticks_of_a_logarithmic_axis_are_round_and_few(values, ticks):
    assert decades(np.array(values, float)) == ticks


def test_a_hundred_and_twenty_eight_decoders_all_look_different():
    found = looks(128)
    assert not found.duplicated().any()
    assert not found.head(8)["shape"].duplicated().any() and not found.head(8)["colour"].duplicated().any()


@pytest.mark.parametrize("up", [1, -1])
def test_names_along_the_frontier_are_a_line_apart_and_never_below_their_points(up):
    score = up * np.array([0.1, 0.101, 0.102, 0.5, 0.501, 0.05])
    cost, on = np.array([1.0, 2, 3, 4, 5, 6]), [True] * 5 + [False]
    shown = pd.DataFrame({"decoder": list("abcdef"), "cost": cost, "score": score, "low": score, "high": score})
    named = labels(shown.assign(frontier=on), up)
    heights = up * named["label_score"].to_numpy()
    line = (heights.max() - 0.05) * LABEL_PX / PLOT_PX
    assert named["decoder"].tolist() == list("abcde")
    assert (np.diff(heights) > 0.9 * line).all() and (heights > up * named["score"]).all()


def chart(records, cost: str, up: int = 1) -> dict:
    table = ranking(records, "offline")
    lines = limits(cost, shipped_tracks(), bin_s=0.02)
    found = points(table, COSTS[cost], higher_is_better=up > 0)
    return json.loads(trade_off(found, table, COSTS[cost], lines, metric="r2", up=up).to_json())


def values(spec: dict, layer: dict) -> list[dict]:
    return spec["datasets"][layer["data"]["name"]]


def test_the_plot_draws_the_frontier_as_steps_to_its_right_edge_and_names_it():
    spec = chart(make_judged_field(), "operations")
    steps = next(x for x in spec["layer"] if x["mark"]["type"] == "line")
    assert steps["mark"]["interpolate"] == "step-after"
    assert [(p["cost"], p["score"]) for p in values(spec, steps)] == [(96_000, 0.81), (4.9e8, 0.81)]
    named = [x for x in spec["layer"] if x["mark"]["type"] == "text" and x["encoding"]["text"]["field"] == "decoder"]
    assert [p["decoder"] for p in values(spec, named[0])] == ["example-smoother"]
    assert "limit of implant: 5 M" in json.dumps(spec["datasets"])


def test_more_decoders_than_shapes_are_told_apart_by_filling_too():
    records = [make_judged(f"example-{i}", 0.5 + 0.01 * i) for i in range(12)]
    marks = next(x for x in chart(records, "p99")["layer"] if "shape" in x.get("encoding", {}))["encoding"]
    looked = zip(*(marks[name]["scale"]["range"] for name in ("stroke", "fill", "shape")), strict=True)
    assert len(set(looked)) == 12 and "transparent" in marks["fill"]["scale"]["range"]


@pytest.mark.parametrize("n, told", [(CROWD, CROWD), (CROWD + 1, 1)])
def test_on_a_crowded_board_the_legend_names_the_frontier_alone(n, told):
    records = [make_judged(f"d{i:02}", 0.5 + 0.001 * i) for i in range(n)]
    marks = next(x for x in chart(records, "p99")["layer"] if "shape" in x.get("encoding", {}))["encoding"]
    assert {len(marks[name]["legend"]["values"]) for name in ("stroke", "fill", "shape")} == {told}


def test_a_cost_of_zero_has_a_place_on_the_axis():
    free = make_judged("free", 0.1).cost.model_copy(update={"parameters": 0})
    spec = chart([make_judged("free", 0.1, cost=free), make_judged("dear", 0.7)], "parameters")
    x = next(layer for layer in spec["layer"] if layer["mark"]["type"] == "line")["encoding"]["x"]
    assert x["scale"]["type"] == "symlog" and x["axis"]["values"][0] == 0


def test_an_error_is_drawn_with_the_better_end_up():
    spec = chart(make_field(), "p99", up=-1)
    y = next(layer for layer in spec["layer"] if layer["mark"]["type"] == "line")["encoding"]["y"]
    assert y["scale"]["reverse"] is True and "less is better" in y["title"]

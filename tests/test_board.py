"""The leaderboard's table as a pure function, its words and its plot."""

import io
import json
import math
from statistics import stdev

import pandas as pd
import pytest

from harness.results.records import Score
from leaderboard_app.grids import worded
from leaderboard_app.plots import COLOURS
from leaderboard_app.runs import Board
from leaderboard_app.table import ranking
from leaderboard_app.tracks import tracks_of
from leaderboard_app.trade_off_plot import score_latency
from leaderboard_app.wording import WORD_JOINER, as_csv, as_json, as_parquet, interval, plain, short
from tests.records_factory import (
    make_decoder,
    make_failure,
    make_field,
    make_judged,
    make_judged_field,
    make_latency,
    make_record,
    make_session,
    make_verdicts,
)

LATER = "2026-02-02T00:00:00Z"


def score(value: float) -> dict[str, Score]:
    return {"r2": Score(value=value, low=value - 0.1, high=value + 0.1)}


def ranked(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["kind"] == "ranked"].set_index("decoder")


def test_the_better_score_ranks_first_and_failures_have_no_rank():
    table = ranking([make_record("worse", 0.2), make_failure("broken"), make_record("better", 0.6)])
    assert ranked(table)["rank"].to_dict() == {"better": 1, "worse": 2}
    assert table["decoder"].iloc[-1] == "broken"
    assert pd.isna(table["rank"].iloc[-1]) and "step returned NaN" in table["reason"].iloc[-1]


def test_who_cannot_be_told_from_the_best_shares_its_rank_and_the_next_is_counted_on():
    far, near = score(0.2), score(0.72)
    records = [make_record("best", 0.75), make_record("close", 0.72, scores=near), make_record("far", 0.2, scores=far)]
    assert ranked(ranking(records))["rank"].to_dict() == {"best": 1, "close": 1, "far": 3}


def test_seeds_become_one_row_with_their_mean_and_standard_deviation():
    values = [0.5, 0.6, 0.73]
    records = [make_record(seed=i, scores=score(v)) for i, v in enumerate(values)]
    row = ranked(ranking(records)).loc["example-filter"]
    assert row["n_seeds"] == 3 and row["sessions"] == "6/6"
    assert row["score"] == pytest.approx(1.83 / 3) and row["low"] == pytest.approx(1.83 / 3 - 0.1)
    assert row["seed_sd"] == pytest.approx(stdev(values))


def test_the_seed_among_the_hyper_parameters_does_not_split_a_row():
    decoders = [make_decoder(parameters={"history_bins": 5, "seed": seed}) for seed in (1, 2)]
    table = ranking([make_record(seed=i, decoder=d) for i, d in enumerate(decoders)])
    assert ranked(table)["n_seeds"].to_dict() == {"example-filter": 2}


def test_of_two_runs_with_one_seed_the_later_counts():
    table = ranking([make_record(score=0.5, started_utc=LATER), make_record(score=0.9)])
    assert ranked(table)["score"].to_dict() == {"example-filter": pytest.approx(0.5)}


def test_one_failed_seed_takes_the_rank_of_the_decoder_away():
    table = ranking([make_record(seed=1), make_failure("example-filter", seed=2)])
    assert table["kind"].tolist() == ["unranked"]
    assert table["reason"].tolist() == ["seed 2: step returned NaN"]


def test_a_decoder_that_is_not_causal_is_not_ranked_and_says_why():
    table = ranking([make_record(tracks={"causal": {"ok": False, "why": "looked ahead by 3 bins", "version": 1}})])
    assert ranked(table).empty
    assert table["reason"].iloc[-1] == "not causal: looked ahead by 3 bins"


@pytest.mark.parametrize(
    "track, outside",
    [
        ("offline", {"broken"}),
        ("causal", {"broken", "smoother"}),
        ("realtime", {"broken", "smoother", "teacher"}),
        ("implant", {"broken", "smoother", "teacher", "student", "solver"}),
    ],
)
def test_the_chosen_track_decides_who_is_ranked(track, outside):
    table = ranking(make_judged_field(), track)
    assert set(table[table["kind"] == "unranked"]["decoder"]) == {f"example-{name}" for name in outside}
    assert len(ranked(table)) == 7 - len(outside)
    assert ranked(table)["rank"].iloc[0] == 1 and ranked(table)["rank"].is_monotonic_increasing


def test_a_decoder_over_a_budget_says_the_number_that_broke_it():
    reasons = ranking(make_judged_field(), "implant").set_index("decoder")["reason"]
    assert reasons["example-teacher"] == "not implant: p99_bins is 1.53; 1 is allowed"
    assert reasons["example-student"] == "not implant: artifact_bytes is 1.96e+07; 131072 is allowed"


def test_a_row_is_in_a_track_only_if_all_its_seeds_are():
    slow = make_verdicts(realtime="p99_bins is 2; 1 is allowed")
    table = ranking([make_judged(seed=1), make_judged(seed=2, tracks=slow)], "realtime")
    row = table[table["decoder"] == "example-filter"].iloc[0]
    assert row["reason"] == "seed 2: not realtime: p99_bins is 2; 1 is allowed"
    assert row["tracks"] == "offline, causal, implant"


def test_the_usual_tracks_come_first_and_a_lab_s_own_ones_follow():
    own = {name: {"ok": True, "version": 1} for name in ("very-small", "a-lab")}
    names = list(tracks_of([make_record(tracks=own), make_judged()]))
    assert names == ["offline", "causal", "realtime", "implant", "a-lab", "very-small"]


@pytest.mark.parametrize(
    "old, says",
    [({}, "does not speak of realtime"), ({"realtime": {"ok": True, "version": 0}}, "judged by realtime@0")],
)
def test_a_record_without_a_verdict_by_today_s_rules_is_shown_but_not_ranked(old, says):
    records = [make_judged("new"), make_record("old", tracks=old)]
    assert ranked(ranking(records, "realtime")).index.tolist() == ["new"]
    assert says in ranking(records, "realtime").set_index("decoder").loc["old", "reason"]
    assert set(ranked(ranking(records, "offline")).index) == {"new", "old"}


def test_missed_deadlines_are_those_of_the_paced_pass_where_there_was_one():
    fast, paced = (make_latency(1.0).model_copy(update={"deadline_miss_rate": rate}) for rate in (0.3, 0.1))
    records = [make_judged("new", latency_ms=fast, paced_latency_ms=paced), make_record("old", latency_ms=fast)]
    rows = ranked(ranking(records))
    assert rows["deadline_miss_rate"].to_dict() == {"new": pytest.approx(0.1), "old": pytest.approx(0.3)}
    assert rows["paced_p99_ms"].isna().to_dict() == {"new": False, "old": True}


def test_operations_a_second_are_the_effective_ones_of_a_bin_over_its_length():
    rows = ranking(make_judged_field(), "offline").set_index("decoder")
    assert rows.loc["example-linear", "operations_per_s"] == pytest.approx(1_920 * 50)
    assert math.isnan(rows.loc["example-solver", "operations_per_s"])
    assert "scipy.linalg.solve" in rows.loc["example-solver", "operations_why"]


def test_one_seed_without_a_count_leaves_the_row_without_one():
    unknown = make_record().cost
    row = ranked(ranking([make_judged(seed=1), make_judged(seed=2, cost=unknown)])).loc["example-filter"]
    assert row["operations"] == "unknown" and math.isnan(row["operations_per_s"])
    assert row["operations_why"] == "the record does not say"


def test_declared_operations_are_marked_and_the_number_of_seeds_is_shown():
    records = [make_judged("three", score, seed=seed) for seed, score in enumerate((0.5, 0.6, 0.7))]
    table = ranking([*make_judged_field(), *records])
    html = worded(table[table["kind"] == "ranked"].style, table[table["kind"] == "ranked"]).to_html()
    assert ">120 k declared<" in html and ">96 k<" in html and "96 k declared" not in html
    assert ">0.100 (3)<" in html


def test_a_run_on_other_recordings_is_not_ranked_among_the_rest():
    changed = [make_session("made-up-1", 0.9, sha256="0" * 64), make_session("made-up-2", 0.9)]
    table = ranking([make_record("a"), make_record("b"), make_record("c", 0.95, sessions=changed)])
    assert ranked(table).index.tolist() == ["a", "b"]
    assert "other recordings" in table.set_index("decoder").loc["c", "reason"]


def test_decoders_of_one_name_are_told_apart_by_what_differs():
    long = make_decoder(parameters={"history_bins": 20, "ridge": 1.0})
    short = make_decoder(parameters={"history_bins": 5, "ridge": 1.0})
    edited = make_decoder(parameters={"history_bins": 5, "ridge": 1.0}, source_sha256="abcdef0" + "0" * 57)
    labels = ranking([make_record(decoder=d) for d in (long, short, edited)])["decoder"]
    assert "example-filter (history_bins=5, source abcdef0)" in set(labels)
    assert not any("ridge" in label for label in labels)


def test_reference_and_floor_are_means_over_sessions_and_stand_at_their_score():
    sessions = [make_session(f"made-up-{i}", 0.5, reference={"oracle": 0.8 + 0.1 * i}) for i in range(2)]
    table = ranking([make_record(score=0.5, sessions=sessions)])
    assert table["kind"].tolist() == ["reference", "ranked", "floor"]
    assert table["score"].iloc[0] == pytest.approx(0.85)


def test_real_recordings_state_no_reference():
    sessions = [make_session("made-up-1", 0.5, reference={})]
    assert "reference" not in set(ranking([make_record(sessions=sessions)])["kind"])


def test_simulated_and_real_recordings_are_never_one_board():
    real, simulated = make_record(tier="mini", simulated=False), make_record(tier="mini", simulated=True)
    assert Board.of(real) != Board.of(simulated)
    assert Board.of(real).key != Board.of(simulated).key


def test_no_records_make_an_empty_table_with_all_columns():
    assert list(ranking([]).columns) == list(ranking([make_record()]).columns)


def test_the_table_is_not_rounded():
    assert ranked(ranking([make_record(score=0.123456789)]))["score"].iloc[0] == pytest.approx(0.123456789, abs=1e-12)


@pytest.mark.parametrize("low, high, shown", [(-0.004, 0.126, "0.00 to 0.13"), (math.nan, 0.1, "")])
def test_an_interval_shows_two_decimals_and_no_negative_zero(low, high, shown):
    assert interval(low, high) == shown


@pytest.mark.parametrize(
    "value, shown", [(0, "0"), (999, "999"), (999.6, "1 k"), (96_000, "96 k"), (999_999, "1 M"), (4.904e8, "490 M")]
)
def test_a_large_number_has_three_digits_and_a_prefix(value, shown):
    assert short(value) == shown


def test_foreign_text_keeps_no_meaning_in_markdown():
    assert plain("![x](http://h) :red[y]\n$z$") == rf"\!\[x\]\(http\:\/\/{WORD_JOINER}h\) \:red\[y\] \$z\$"
    assert plain("www.h.invalid a@h.invalid s@1").count(WORD_JOINER) == 2


def test_a_spreadsheet_runs_nothing_from_the_download():
    text = as_csv(ranking([make_record("=cmd()", -0.5)]))
    assert ",'=cmd()," in text and ",-0.5," in text


def test_labels_tell_apart_what_only_json_tells_apart():
    values = [1, 1.0, "1", "one"]
    records = [make_record(score=0.2 * i, decoder=make_decoder(parameters={"n": v})) for i, v in enumerate(values)]
    labels = ranking(records).query("kind == 'ranked'")["decoder"].tolist()
    assert sorted(labels) == [f"example-filter (n={text})" for text in ('"1"', "1", "1.0", "one")]


def test_a_record_without_recordings_costs_the_others_nothing():
    table = ranking([make_record("empty", sessions=[], started_utc=LATER), make_record("whole")])
    assert "whole" in table["decoder"].tolist()


def test_of_an_error_the_smallest_floor_is_drawn():
    sessions = [make_session("s", 0, scores={"rmse": 0.3}, floor={"mean": 0.5, "zero": 0.9}, reference={})]
    record = make_record(metric="rmse", scores={"rmse": Score(value=0.3, low=0.2, high=0.4)}, sessions=sessions)
    drawn = score_latency(ranking([record]), metric="rmse", bin_s=0.02).to_json()
    assert "floor: mean 0.50" in drawn and "floor: zero 0.90" not in drawn


def test_json_and_parquet_hold_the_unrounded_table():
    table = ranking([make_judged("one", 1 / 3), make_failure("two")])
    rows = json.loads(as_json(table))
    assert [row["score"] for row in rows] == [None if pd.isna(s) else s for s in table["score"]]
    pd.testing.assert_frame_equal(pd.read_parquet(io.BytesIO(as_parquet(table))), table, check_dtype=False)


def test_decoders_in_the_plot_differ_by_shape_and_by_colour():
    spec = json.loads(score_latency(ranking(make_field()), metric="r2", bin_s=0.02).to_json())
    marks = next(layer for layer in spec["layer"] if "shape" in layer.get("encoding", {}))["encoding"]
    assert marks["x"]["scale"]["type"] == "log"
    looks = list(zip(marks["shape"]["scale"]["range"], marks["stroke"]["scale"]["range"], strict=True))
    assert len(set(looks)) == len(looks)


def test_a_floor_far_below_every_decoder_does_not_squeeze_the_plot():
    drawn = []
    for floor in (-0.3, 0.2):
        record = make_record(score=0.3, sessions=[make_session("made-up-1", 0.3, floor={"shifted labels": floor})])
        drawn.append("floor: shifted labels" in score_latency(ranking([record]), metric="r2", bin_s=0.02).to_json())
    assert drawn == [False, True]


def contrast(one: str, other: str) -> float:
    """Contrast ratio of WCAG 2.1."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("page", ["#ffffff", "#191817"])
def test_every_colour_of_the_plot_is_readable_on_the_light_and_the_dark_page(page):
    assert {c: contrast(c, page) >= 3 for c in COLOURS} == dict.fromkeys(COLOURS, True)

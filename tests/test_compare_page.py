"""The page "Compare": its words, its tables, its plot, and the page as a whole."""

import json

import numpy as np
import pytest

from harness.results.records import Cost, Score
from leaderboard_app.compare_plot import differences
from leaderboard_app.comparison import (
    by_recording,
    comparable,
    digits,
    how_found,
    own_score,
    sentence,
    side_by_side,
    wins,
)
from leaderboard_app.pairs import Difference, OnRecording, difference
from leaderboard_app.runs import runs_of
from tests.movement_store import movement_store
from tests.pages import run_page
from tests.records_factory import make_decoder, make_failure, make_judged, make_record, make_session, write_store
from tests.test_pairs import run, save_draws

BOARD = "made-up-reaching@1/simulated/cpu-1@1"


def compared(mean: float, low: float, high: float, *, metric: str = "r2", how: str = "draws") -> Difference:
    row = OnRecording("r0", 0.5 + mean, 0.5, mean, low, high)
    return Difference("new", "old", metric, (row,), mean, low, high, how)


@pytest.mark.parametrize(
    "numbers, metric, says",
    [
        (
            (0.034, 0.012, 0.049),
            "r2",
            "new beats old by 0.03 in R² (95 % interval 0.01 to 0.05) on 1 recording (here).",
        ),
        ((-0.2, -0.3, -0.1), "r2", "old beats new by 0.20 in R² (95 % interval 0.10 to 0.30) on 1 recording (here)."),
        (
            (-0.2, -0.3, -0.1),
            "rmse",
            "new beats old by 0.20 in RMSE (95 % interval 0.10 to 0.30) on 1 recording (here).",
        ),
        (
            (0.01, -0.02, 0.04),
            "r2",
            "new and old cannot be told apart: new minus old is 0.01 in R² (95 % interval -0.02 to 0.04) "
            "on 1 recording (here).",
        ),
    ],
)
def test_a_reader_can_quote_one_sentence(numbers, metric, says):
    assert sentence(compared(*numbers, metric=metric), "here") == says


def test_without_an_interval_the_sentence_claims_nothing():
    text = sentence(compared(0.3, np.nan, np.nan, how="none"), "here")
    assert text == "new minus old is 0.30 in R² on 1 recording (here); there is no interval."


@pytest.mark.parametrize(
    "low, high, places", [(0.01, 0.02, 2), (0.004, 0.2, 3), (-0.0004, 0.1, 4), (0, 0, 2), (np.nan, np.nan, 2)]
)
def test_as_many_digits_are_shown_as_tell_the_ends_of_an_interval_from_zero(low, high, places):
    assert digits(compared(0.05, low, high)) == places


@pytest.mark.parametrize("how, words", [("draws", "blocks of 10 s"), ("intervals", "fewer than three recordings")])
def test_the_page_says_how_an_interval_was_found(how, words):
    assert words in how_found(compared(0.1, 0.0, 0.2, how=how), trials=False)
    assert "blocks of 10 s" not in how_found(compared(0.1, 0.0, 0.2, how=how), trials=True)


def test_wins_count_recordings_and_those_told_apart():
    rows = [("r0", 0.2, 0.1, 0.3), ("r1", 0.1, -0.1, 0.3), ("r2", -0.1, -0.2, 0.1), ("r3", 0.0, -0.1, 0.1)]
    found = Difference(
        "a", "b", "r2", tuple(OnRecording(n, d, 0, d, *s) for n, d, *s in rows), 0.05, -0.1, 0.2, "draws"
    )
    assert wins(found) == (
        "Who is ahead, of 4 recordings: a on 2 (by an interval that leaves 0 out on 1), "
        "b on 1 (by an interval that leaves 0 out on 0), neither on 1."
    )
    assert by_recording(found)["ahead"].tolist() == ["a", "a", "b", ""]


def test_of_a_decoder_s_runs_the_one_on_the_recordings_of_the_others_is_compared():
    moved = make_record("a", 0.9, sessions=[make_session("elsewhere", 0.9)], started_utc="2027-01-01T00:00:00Z")
    records = [make_record("a", 0.5), make_record("b", 0.6), moved, make_failure("c")]
    found = comparable(runs_of(records))
    assert list(found) == ["b", "a", "c"] and found["a"].records[0].id == records[0].id


def test_costs_stand_side_by_side_with_their_ratio_and_unknown_ones_are_left_out():
    costs = [
        Cost(fit_s=fit, pretrain_s=pre, parameters=n, artifact_bytes=8192) for fit, pre, n in ((1, 2, 0), (2, 4, 50))
    ]
    a, b = (run(name, [0.5], cost=cost) for name, cost in zip("ab", costs, strict=True))
    table = side_by_side(a, b).set_index("quantity")
    assert table.loc["Training, s"].tolist() == ["3", "6", "0.5"]
    assert table.loc["Parameters"].tolist() == ["0", "50", ""]
    assert "Operations/s" not in table.index and "State, bytes" not in table.index


@pytest.mark.parametrize("half, shown", [(0.05, "0.50 (0.45 to 0.55)"), (None, "0.50")])
def test_a_score_of_its_own_has_its_interval_where_there_is_one(half, shown):
    assert own_score(run("a", [0.4, 0.6], half=half)) == shown


def test_an_error_is_drawn_so_that_the_better_decoder_is_on_its_side():
    spec = json.loads(differences(compared(-0.2, -0.3, -0.1, metric="rmse")).to_json())
    (row,) = next(rows for rows in spec["datasets"].values() if "who" in rows[0])
    assert (row["who"], row["advantage"], row["from"], row["to"]) == pytest.approx(("new is better", 0.2, 0.1, 0.3))


def test_sides_differ_by_shape_as_by_colour_and_a_missing_interval_is_not_drawn():
    spec = json.loads(differences(difference(run("a", [0.6, 0.5, 0.4]), run("b", [0.5, 0.6, 0.4]))).to_json())
    marks = next(x for x in spec["layer"] if "shape" in x.get("encoding", {}))["encoding"]
    assert marks["shape"]["scale"] == {
        "domain": ["a is better", "b is better", "equal"],
        "range": ["circle", "square", "diamond"],
    }
    assert len(set(marks["color"]["scale"]["range"])) == 3
    bars = next(x for x in spec["layer"] if "x2" in x.get("encoding", {}) and x["mark"]["type"] == "rule")
    assert bars["transform"] == [{"filter": "isValid(datum.from)"}]


def test_the_best_two_are_compared_unless_the_address_says_otherwise(tmp_path):
    write_store(tmp_path, [make_judged("low", 0.3), make_judged("high", 0.8), make_judged("mid", 0.6)])
    page = run_page("compare", tmp_path)
    assert page.code[0].value.startswith("high beats mid by 0.20 in R²")
    assert page.query_params == {}
    page = run_page("compare", tmp_path, board=BOARD, decoder="low", other="high")
    assert page.code[0].value.startswith("high beats low by 0.50 in R²")
    page.selectbox[2].set_value("mid").run()
    assert page.query_params["other"] == "mid" and "mid beats low" in page.code[0].value


def test_predictions_in_the_store_pair_the_blocks(tmp_path):
    rng = np.random.default_rng(0)
    names = [s.session for s in make_record().sessions]
    for name, score in (("a", 0.72), ("b", 0.70)):
        draws = {n: score + np.linspace(-0.2, 0.2, 200) + rng.normal(0, 0.001, 200) for n in names}
        write_store(tmp_path, [save_draws(tmp_path, make_record(name, score), draws)])
    page = run_page("compare", tmp_path)
    assert page.code[0].value.startswith("a beats b by 0.02 in R² (95 % interval 0.02 to 0.02) on 2 recordings")
    assert page.caption[0].value.startswith("Paired: bootstrap draws") and "interval" in page.dataframe[0].value


def test_without_predictions_the_page_says_that_nothing_was_paired(tmp_path):
    page = run_page("compare", write_store(tmp_path, [make_record("a", 0.7), make_record("b", 0.69)]))
    assert "cannot be told apart" in page.code[0].value
    assert page.caption[0].value.startswith("Not paired")


@pytest.mark.parametrize("records", [[make_record()], [make_record(), make_failure(sessions=[])]])
def test_one_decoder_alone_is_not_compared(tmp_path, records):
    page = run_page("compare", write_store(tmp_path, records))
    assert "two decoders" in page.info[0].value and not page.code


def test_a_decoder_is_not_compared_with_itself(tmp_path):
    write_store(tmp_path, [make_record("a"), make_record("b")])
    page = run_page("compare", tmp_path, decoder="a", other="a")
    assert "the same decoder" in page.info[0].value and not page.code


def test_a_decoder_that_failed_is_compared_on_what_it_finished(tmp_path):
    page = run_page("compare", write_store(tmp_path, [make_record("good"), make_failure("broken")]))
    assert page.code[0].value.startswith("good beats broken by 0.35 in R² (95 % interval 0.30 to 0.40) on 1 recording")
    assert "broken: no score of all seeds" in page.caption[-1].value.replace("\\", "")


def test_decoders_without_a_shared_recording_are_told_so(tmp_path):
    elsewhere = make_record("b", sessions=[make_session("other-1", 0.6)])
    page = run_page("compare", write_store(tmp_path, [make_record("a"), elsewhere]))
    assert "no recording that both finished" in page.info[0].value and not page.dataframe


def test_names_keep_no_meaning_in_markdown(tmp_path):
    name = "**x** ![y](http://h) $z$"
    decoders = [make_decoder(name), make_decoder("b")]
    records = [make_record(decoder=d, scores={"r2": Score(value=0.5)}) for d in decoders]
    page = run_page("compare", write_store(tmp_path, records))
    texts = [x.value for x in (*page.markdown, *page.caption)]
    assert any("http" in text for text in texts) and not any("![y](http" in text for text in texts)


@pytest.mark.parametrize(
    "parts, says",
    [
        ({}, "Of 3 blocks of 10 s, close is ahead in 3"),
        ({"truth": False}, "what was true is not in this store"),
        ({"predictions": False}, "no predictions in this store"),
    ],
)
def test_within_a_recording_the_page_says_where_each_is_ahead_or_why_it_cannot(tmp_path, parts, says):
    page = run_page("compare", movement_store(tmp_path, **parts).root)
    shown = " ".join(element.value for element in (*page.markdown, *page.caption)).replace("\\", "")
    assert says in shown
    assert len(page.get("vega_lite_chart")) == (1 if parts else 2)

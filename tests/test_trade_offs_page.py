"""The page "Trade-offs" as a whole."""

import pytest

from tests.pages import run_page
from tests.records_factory import make_failure, make_judged, make_judged_field, make_record, make_verdicts, write_store

BOARD = "made-up-reaching@1/simulated/cpu-1@1"


def test_the_frontier_s_decoders_are_listed_the_cheapest_first(tmp_path):
    page = run_page("trade_offs", write_store(tmp_path, make_judged_field()))
    table = page.dataframe[0].value
    assert table["decoder"].tolist() == ["example-solver", "example-student", "example-teacher"]
    assert table["score"].tolist() == ["0.66", "0.76", "0.79"]


def test_track_and_cost_live_in_the_address(tmp_path):
    write_store(tmp_path, make_judged_field())
    page = run_page("trade_offs", tmp_path, board=BOARD, track="implant", cost="artefact")
    assert [box.value for box in page.selectbox] == [BOARD, "implant", "artefact"]
    assert page.dataframe[0].value["decoder"].tolist() == ["example-declared"]
    page.selectbox[2].set_value("operations").run()
    assert page.query_params == {"board": BOARD, "track": "implant", "cost": "operations"}
    assert page.dataframe[0].value["cost"].tolist() == ["96 k", "120 k"]


def test_decoders_whose_cost_is_unknown_are_named(tmp_path):
    page = run_page("trade_offs", write_store(tmp_path, make_judged_field()), cost="operations")
    assert r"Not drawn, for this was not measured: example\-solver." in page.caption[0].value
    assert "example-solver" not in page.dataframe[0].value["decoder"].tolist()


def test_old_records_offer_the_costs_that_they_have(tmp_path):
    page = run_page("trade_offs", write_store(tmp_path, [make_record()]), cost="state")
    assert page.info[0].value == "The link asks for state, which is not here; this is p99."
    assert page.selectbox[2].options == ["p99 latency", "Parameters", "Artefact", "Training time"]


@pytest.mark.parametrize("record", [make_failure(), make_judged(tracks=make_verdicts(causal="looked ahead"))])
def test_where_nobody_is_ranked_the_page_says_so(tmp_path, record):
    page = run_page("trade_offs", write_store(tmp_path, [record]), track="causal")
    assert "No ranked decoder" in page.info[0].value and not page.dataframe


def test_one_decoder_is_a_frontier_of_its_own(tmp_path):
    page = run_page("trade_offs", write_store(tmp_path, [make_record("alone")]))
    assert page.dataframe[0].value["decoder"].tolist() == ["alone"]
    assert "Simulated recordings" in page.caption[0].value

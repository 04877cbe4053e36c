"""The page of one decoder: what it says of records, and what it draws."""

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from harness.results.records import LearningStage, Score, Verdict
from harness.score.latency import summarise
from leaderboard_app.decoder import round_trips
from leaderboard_app.decoder.choosing import name_in
from leaderboard_app.decoder.history import history, learned, old_cost
from leaderboard_app.decoder.recordings import far_below, scores_of, strip_plot
from leaderboard_app.decoder.reproduce import cautions, command, hashes
from leaderboard_app.decoder.rules import MEANING, audited
from leaderboard_app.decoder.standing import membership, runs_named, standing
from leaderboard_app.runs import runs_of
from leaderboard_app.table import ranking
from tests.pages import run_page
from tests.records_factory import (
    make_decoder,
    make_failure,
    make_field,
    make_judged,
    make_latency,
    make_record,
    make_session,
    make_verdicts,
    write_store,
)

ROOT = Path(__file__).parent.parent
LATER, LATEST = "2026-02-02T00:00:00Z", "2026-03-03T00:00:00Z"
BOARD = "made-up-reaching@1/simulated/cpu-1@1"


def timed(rng_seed: int, **changes):
    """A record whose latency is that of known round trips; and these, in ns."""
    round_trip_ns = np.random.default_rng(rng_seed).lognormal(np.log(80_000), 0.7, 4000).astype(np.int64)
    summary = summarise(round_trip_ns, bin_s=0.02)
    latency = make_latency().model_copy(update={"histogram": dict(summary.histogram), "p99": summary.p99})
    return make_judged(latency_ms=latency, **changes), round_trip_ns


def test_bars_hold_the_round_trips_that_fall_into_them():
    (one, first_ns), (other, second_ns) = timed(1), timed(2, seed=1)
    table = round_trips.bars([one.latency_ms, other.latency_ms])
    all_ms = np.concatenate([first_ns, second_ns]) / 1e6
    assert table["share"].sum() == pytest.approx(100)
    for _, bar in table.iterrows():
        inside = np.mean((all_ms >= bar["from_ms"]) & (all_ms < bar["to_ms"])) * 100
        assert bar["share"] == pytest.approx(inside, abs=0.5)  # edges in records have three digits


def test_a_histogram_with_edges_that_are_no_numbers_is_drawn_without_them():
    latency = make_latency().model_copy(update={"histogram": {"10": 3, "<b>": 5, "inf": 1, "nan": 1, "-1": 2}})
    assert round_trips.bars([latency])["from_ms"].tolist() == [0.01]
    assert round_trips.bars([make_latency()]).empty


def test_both_histograms_and_the_bin_lie_inside_one_scale():
    table = round_trips.bars([timed(1)[0].latency_ms])
    low, high = round_trips.span_ms([table], bin_ms=20.0)
    assert low < table["from_ms"].min() and high > 20.0
    chart = round_trips.histogram(table, p99_ms=0.4, bin_ms=20.0, between_ms=(low, high)).to_dict()
    words = [row["words"] for rows in chart["datasets"].values() for row in rows if "words" in row]
    assert words == ["bin 20 ms", "p99 0.4 ms"]


def test_each_recording_and_seed_is_a_dot_and_bounds_are_drawn_once():
    records = [make_record(seed=seed, score=0.5 + seed / 100) for seed in (1, 2, 3)]
    scores = scores_of(records)
    dots = scores[scores["kind"] == "seed"]
    assert len(dots) == 6 and dots["score"].mean() == pytest.approx(0.52)
    assert scores[scores["kind"] == "reference"]["what"].tolist() == ["reference: linear oracle"] * 2


def test_a_floor_far_below_is_told_and_not_drawn():
    scores = scores_of([make_record()])
    assert far_below(scores)["what"].unique().tolist() == ["floor: shifted labels"]
    chart = strip_plot(scores, metric="r2", recordings=["made-up-1", "made-up-2"]).to_dict()
    drawn = {row["what"] for rows in chart["datasets"].values() for row in rows if "what" in row}
    assert drawn == {"seed 42", "reference: linear oracle"}


def test_a_recording_without_a_score_keeps_its_line():
    failed = make_failure(seed=1)
    chart = strip_plot(scores_of([failed]), metric="r2", recordings=["made-up-1", "made-up-2"]).to_dict()
    domains = [
        layer["encoding"]["y"].get("scale", {}).get("domain") for layer in chart["layer"] if "y" in layer["encoding"]
    ]
    assert ["made-up-1", "made-up-2"] in domains


def test_the_rank_is_that_of_the_board_and_says_who_shares_it():
    records = make_field()
    table = ranking(records)
    table["rank"] = table["decoder"].map({"example-gru": 1, "example-lstm": 1, "example-mlp": 3}).astype("Int64")
    places = {name: standing(table, runs_named(records, name)[name]) for name in ("example-gru", "example-mlp")}
    assert (places["example-gru"].rank, places["example-gru"].shared) == ("1 of 8", "shared with 1 other")
    assert (places["example-mlp"].rank, places["example-mlp"].shared) == ("3 of 8", "in this track")
    broken = standing(table, runs_named(records, "example-broken")["example-broken"])
    assert (broken.rank, broken.shared) == ("none", "in this track")


def test_of_two_runs_with_one_label_the_one_on_the_boards_recordings_is_shown():
    elsewhere = make_record(sessions=[make_session("other", 0.9)], started_utc=LATER)
    records = [make_record("peer"), make_record("second-peer"), make_record(), elsewhere]
    run = runs_named(records, "example-filter")["example-filter"]
    assert {s.session for s in run.records[0].sessions} == {"made-up-1", "made-up-2"}
    assert standing(ranking(records), run).row["kind"] == "ranked"


def test_tracks_say_why_a_run_is_not_in_them():
    verdicts = make_verdicts(realtime="p99_bins is 1.53; 1 is allowed")
    records = [make_judged(), make_judged(seed=7, tracks=verdicts)]
    tracks = membership(runs_of(records)[0], records)
    assert tracks["causal@1"] == "" and tracks["realtime@1"] == "seed 7: p99_bins is 1.53; 1 is allowed"
    assert "invalid-output" in membership(runs_of([make_failure()])[0], [make_failure()])["causal@1"]


def test_every_rule_of_the_protocol_has_plain_words():
    text = (ROOT / "docs" / "protocol.md").read_text()
    audit = text[text.index("## Audit") :]
    rules = re.findall(r"^\| `(\w+)`\*? \|", audit[: audit.index("\n## ", 5)], re.MULTILINE)
    assert len(rules) > 8 and set(rules) <= set(MEANING)


def test_a_rule_that_one_seed_broke_is_broken_and_comes_first():
    kept, broken = Verdict(ok=True), Verdict(ok=False, why="grew by 3.2 MiB")
    one = make_record(audit={"future_has_no_effect": kept, "memory_is_bounded": kept, "of_tomorrow": kept})
    other = make_record(seed=7, audit={"future_has_no_effect": kept, "memory_is_bounded": broken})
    table = audited([one, other])
    assert table["rule"].tolist() == ["memory_is_bounded", "future_has_no_effect", "of_tomorrow"]
    assert table["why"].tolist() == ["seed 7: grew by 3.2 MiB", "", ""] and table["meaning"].iloc[-1] == ""


def stage(name: str, seconds: float, *sessions: str, **changes) -> LearningStage:
    return LearningStage(stage=name, key="k", seconds=seconds, sessions=sessions, labels=True, **changes)


def test_alike_stages_of_learning_are_one_row_with_the_seconds_of_one_seed():
    stages = [stage("pretrain", 60.0, *"abcde", decoder="teacher"), stage("fit", 1.0, "x"), stage("fit", 2.0, "y")]
    table = learned([make_record(seed=seed, learning=stages) for seed in (1, 2)])
    assert table["decoder"].tolist() == ["teacher", "example-filter"]
    assert table["seconds"].tolist() == [60.0, 3.0] and table["times"].tolist() == [1, 2]
    assert table["sessions"].tolist() == ["a, b, c and 2 more", "x, y"]
    assert learned([make_record()]).empty and old_cost([make_record()]) == {"fit": 1.6}


def test_history_names_what_changed_newest_first():
    versions = [
        make_record(score=0.5),
        make_record(score=0.6, started_utc=LATER, decoder=make_decoder(version="0.1.0", source_sha256="f" * 64)),
        make_record(
            score=0.7,
            started_utc=LATEST,
            decoder=make_decoder(version="0.1.0", source_sha256="f" * 64, parameters={"history_bins": 12}),
        ),
    ]
    table = history(versions, "example-filter")
    assert table["score"].tolist() == [0.7, 0.6, 0.5] and table["source"].iloc[0] == "fffffff"
    changes = table["changed"].tolist()
    assert changes[0] == "history_bins: 10 to 12" and changes[2] == "first run here"
    assert changes[1].startswith("version 0.0.0 to 0.1.0; source ")


def test_the_command_is_read_by_the_command_line_as_it_was_meant():
    from harness.cli.show import settings_from

    parameters = {"seed": 1, "alpha": None, "lags": [1, 2.5], "kind": "it's; rm -rf ~", "fast": True, "rate": 1e-05}
    records = [make_judged(seed=seed, decoder=make_decoder(parameters=parameters)) for seed in (7, 3)]
    words = shlex.split(command(records).replace("\\\n", " "))
    assert words[:2] == ["harness", "eval"] and words[words.index("--suite") + 1] == "made-up-reaching"
    assert [words[i + 1] for i, word in enumerate(words) if word == "--seed"] == ["3", "7"]
    settings = settings_from([words[i + 1] for i, word in enumerate(words) if word == "--set"])
    assert settings.pop("kind") == parameters["kind"] and "seed" not in settings
    assert {name: json.loads(text) for name, text in settings.items()} == {
        "alpha": None, "lags": [1, 2.5], "fast": True, "rate": 1e-05
    }  # fmt: skip


def test_every_option_of_the_command_exists():
    from typer.testing import CliRunner

    from harness.cli import app

    known = CliRunner().invoke(app, ["eval", "--help"], env={"COLUMNS": "200"}).output
    audit = {"same_seed_gives_same_outputs": Verdict(ok=True)}
    record = make_record(suite="primate-lfp/spikes@1", tier="local", simulated=False, audit=audit)
    options = {word for word in shlex.split(command([record]).replace("\\\n", " ")) if word.startswith("--")}
    assert {"--task", "--data-root", "--audit"} < options
    assert all(option in known for option in options)


@pytest.mark.parametrize("name", ["a\nb", "a\x1b[201~b", "a\u202eb"])
def test_a_name_that_would_trick_a_terminal_gives_no_command(name):
    assert command([make_record(name)]) == ""


def test_cautions_name_the_suite_that_is_not_shipped_and_the_package_that_is_not_ours():
    said = " ".join(cautions([make_record()]))
    assert "made-up-reaching does not come with the harness" in said and "another package" in said
    ours = make_decoder("wiener", entry_point="baselines.wiener:Wiener")
    assert cautions([make_record(suite="primate-lfp@99", decoder=ours)])[0].startswith(
        "The record is of primate-lfp@99;"
    )


def test_hashes_are_those_of_the_records():
    record = make_record()
    row = hashes([record]).iloc[0]
    assert (row["record"], row["predictions"], row["artefact"]) == (
        record.id, record.predictions_sha256, record.artifact_sha256
    )  # fmt: skip
    assert hashes([make_failure()])["predictions"].tolist() == [""]


def test_a_label_of_a_run_is_known_by_the_longest_name_in_it():
    names = dict.fromkeys(["wiener", "wiener (x)", "wiener-cascade"], "")
    assert name_in("wiener (alpha=1)", names) == "wiener"
    assert name_in("wiener (x) (alpha=1)", names) == "wiener (x)"
    assert name_in("wiener-cascade", names) == name_in("nobody (a=1)", names) == ""


def text_of(page) -> str:
    return "\n".join(element.value for element in page.markdown)


def test_one_old_record_is_a_whole_page(tmp_path):
    page = run_page("decoder", write_store(tmp_path, [make_record()]))
    assert {m.label: m.value for m in page.metric}["Rank"] == "1 of 1"
    assert "There is no card of this decoder" in text_of(page)
    assert "percentiles and no histogram" in " ".join(c.value for c in page.caption)
    assert page.code[0].value.startswith("harness eval")


def test_a_shipped_decoder_shows_its_card_and_the_histograms(tmp_path):
    ours = make_decoder("wiener", entry_point="baselines.wiener:Wiener")
    record = timed(1)[0].model_copy(update={"decoder": ours, "id": ""})
    from harness.results.records import sealed

    page = run_page("decoder", write_store(tmp_path, [sealed(record)]), decoder="wiener")
    assert page.subheader[0].value == r"Wiener filter \(wiener\)"
    assert "https://doi.org/10.1523/ENEURO.0506-19.2020" in text_of(page)
    assert len(page.get("vega_lite_chart")) + len(page.get("arrow_vega_lite_chart")) >= 2


def test_a_failure_shows_its_error_in_full_and_as_text(tmp_path):
    error = "<script>alert(1)</script> [x](http://h.invalid)\n" + "deep down " * 200
    page = run_page("decoder", write_store(tmp_path, [make_failure(error=error)]), decoder="example-broken")
    assert error in [c.value for c in page.code]
    assert {m.label: m.value for m in page.metric}["Rank"] == "none"
    assert "(http://h.invalid)" not in text_of(page) and "<script>" not in re.sub(r"\\(.)", "", text_of(page))


def test_a_link_by_the_label_of_a_run_opens_that_run(tmp_path):
    records = [make_record(score=0.5), make_record(score=0.6, decoder=make_decoder(parameters={"history_bins": 5}))]
    label = "example-filter (history_bins=10)"
    page = run_page("decoder", write_store(tmp_path, records), decoder=label)
    assert page.selectbox(key="variant").value == label and page.metric[0].value == "0.50"
    page.selectbox(key="variant").set_value("example-filter (history_bins=5)").run()
    assert page.metric[0].value == "0.60" and page.query_params["variant"] == "example-filter (history_bins=5)"


def test_picking_another_decoder_leaves_nothing_of_the_one_before(tmp_path):
    settings = [make_decoder("two-settings", parameters={"n": n}) for n in (1, 2)]
    records = [make_record("two-settings", decoder=d, started_utc=LATER) for d in settings]
    other = make_record("other", tier="mini", simulated=False)
    page = run_page(
        "decoder", write_store(tmp_path, [*records, other]), decoder="two-settings", variant="two-settings (n=1)"
    )
    page.selectbox(key="decoder").set_value("other").run()
    assert not page.exception and not page.info
    assert page.selectbox(key="board").value == "made-up-reaching@1/mini/cpu-1@1"
    assert "variant" not in page.query_params


def test_a_decoder_that_is_gone_is_told_and_another_shown(tmp_path):
    page = run_page("decoder", write_store(tmp_path, [make_record()]), decoder="[gone](http://h.invalid)")
    assert "which is not here" in page.info[0].value and "](" not in page.info[0].value
    assert page.selectbox(key="decoder").value == "example-filter"


def test_a_broken_rule_stands_above_the_kept_ones(tmp_path):
    audit = {"memory_is_bounded": Verdict(ok=False, why="grew by *3.2* MiB"), "future_has_no_effect": Verdict(ok=True)}
    page = run_page("decoder", write_store(tmp_path, [make_record(audit=audit)]))
    assert r"**broken:** What it holds in memory does not grow while it streams\. `memory_is_bounded`" in text_of(page)
    assert r"grew by \*3\.2\* MiB" in text_of(page) and page.expander[0].label == "1 of 2 rules kept"


def test_several_seeds_have_a_download_each_and_one_command(tmp_path):
    records = [make_record(seed=seed, scores={"r2": Score(value=0.5, low=0.4, high=0.6)}) for seed in (3, 1, 2)]
    page = run_page("decoder", write_store(tmp_path, records))
    labels = [button.proto.label for button in page.get("download_button")]
    assert labels == [f"Record of seed {seed}, JSON" for seed in (1, 2, 3)]
    assert page.code[0].value.count("--seed") == 3


def test_empty_numbers_are_dashes(tmp_path):
    aside = make_judged(latency_ms=None, paced_latency_ms=None, delays_ms={}, audit={}, learning=[])
    page = run_page("decoder", write_store(tmp_path, [aside]))
    assert {m.label: m.value for m in page.metric}["p99 latency, ms"] == "-"
    assert "Nothing was timed" in text_of(page) and "Nothing was audited" in text_of(page)
    assert not pd.isna(page.dataframe[0].value["score"].iloc[0])

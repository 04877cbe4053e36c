"""The page Recording: what is drawn of a window, what of decisions, and what is said where something is missing."""

import itertools
import json
import shlex

import numpy as np
import pandas as pd
import pytest

from harness.results.cells import arrays_to_npz
from harness.results.records import Record, Trials, sealed, sha256
from harness.results.store import Store
from leaderboard_app.recordings import answered, bounds_of, recordings_of, table_of
from leaderboard_app.runs import runs_of
from leaderboard_app.trace_plots import path_chart, raster_chart, signal_chart, trace_chart
from leaderboard_app.traces import (
    MOST_POINTS,
    TRUE,
    Window,
    bands,
    extremes,
    paths,
    spikes,
    stretches_of,
    traces,
)
from leaderboard_app.trial_plots import curve_chart, curves, decided_at, matrix, matrix_chart
from leaderboard_app.views.recording import how_to_get
from tests.movement_store import BIN_S, N_BINS, SESSION, movement_store
from tests.pages import run_page
from tests.records_factory import make_decoder, make_failure, make_record, make_session

LATER = "2026-02-02T00:00:00Z"


def window(start_s=0.0, length_s=10.0, starts=None, n_bins=N_BINS, bin_s=BIN_S) -> Window:
    return Window.of(start_s, length_s, bin_s=bin_s, n_bins=n_bins, starts=starts)


# Records


def test_a_recording_of_several_files_is_the_one_that_most_decoders_finished_on():
    other = [make_session(SESSION, 0.9, sha256="0" * 64), make_session("made-up-3", 0.9)]
    runs = runs_of([make_record("a"), make_record("b"), make_record("c", sessions=other, started_utc=LATER)])
    found = recordings_of(runs)
    assert list(found) == [SESSION, "made-up-2", "made-up-3"] and found[SESSION] == make_session(SESSION, 0).sha256
    assert [one.label for one in answered(runs, SESSION, found[SESSION])] == ["a", "b"]


def test_the_best_on_this_recording_comes_first_and_failures_last():
    def on(score):
        return [make_session(SESSION, score), make_session("made-up-2", 1 - score)]

    runs = runs_of([make_record("a", sessions=on(0.2)), make_failure("b"), make_record("c", sessions=on(0.9))])
    data = recordings_of(runs)
    assert table_of(answered(runs, SESSION, data[SESSION]))["decoder"].tolist() == ["c", "b", "a"]
    table = table_of(answered(runs, "made-up-2", data["made-up-2"]))
    assert table["decoder"].tolist() == ["a", "c", "b"]
    assert table["error"].tolist() == ["", "", "step returned NaN"] and pd.isna(table["score"].iloc[2])


def test_of_errors_the_smallest_comes_first():
    runs = runs_of(
        [
            make_record(n, metric="rmse", sessions=[make_session(SESSION, 0, scores={"rmse": e})])
            for n, e in (("a", 2.0), ("b", 1.0))
        ]
    )
    assert [one.label for one in answered(runs, SESSION, recordings_of(runs)[SESSION])] == ["b", "a"]


def test_the_newest_seed_counts_unless_another_is_asked_for():
    runs = runs_of([make_record(seed=1, started_utc=LATER), make_record(seed=2)])
    data = recordings_of(runs)[SESSION]
    assert [one.record.seed for one in answered(runs, SESSION, data)] == [1]
    assert [one.record.seed for one in answered(runs, SESSION, data, seed=2)] == [2]
    assert answered(runs, SESSION, data, seed=3) == []


def test_bounds_are_those_of_the_recording_itself():
    runs = runs_of([make_record()])
    found = bounds_of(answered(runs, SESSION, recordings_of(runs)[SESSION]))
    assert found == {"floor: shifted labels": -0.2, "reference: linear oracle": 0.82} and bounds_of([]) == {}


# Windows


@pytest.mark.parametrize(
    "start_s, length_s, bins",
    [(0, 1, (0, 50)), (29.9, 5, (1495, 1500)), (99, 5, (1499, 1500)), (-3, 1, (0, 50)), (1, 0, (50, 51))],
)
def test_a_window_is_the_bins_that_there_are(start_s, length_s, bins):
    found = window(start_s, length_s)
    assert (found.bins.start, found.bins.stop) == bins and len(found) == len(found.seconds) == bins[1] - bins[0]
    assert found.seconds[-1] == pytest.approx(bins[1] * BIN_S) and found.span_s[0] == pytest.approx(bins[0] * BIN_S)


def test_a_trace_is_all_its_bins_at_their_right_edges_and_breaks_where_the_recording_does():
    starts = np.arange(N_BINS) % 100 == 0
    values = np.random.default_rng(0).normal(size=(N_BINS, 2)).astype(np.float32)
    rows, n_grouped = traces({TRUE: values, "a": -values}, window(1, 4, starts), 1)
    mine = rows[rows["series"] == "a"]
    assert n_grouped == 1 and np.allclose(mine["value"], -values[50:250, 1])
    assert np.allclose(mine["seconds"], 0.02 * np.arange(51, 251))
    assert mine.groupby("stretch").size().tolist() == [50, 100, 50]


@pytest.mark.parametrize("n, most", [(10, 10), (1000, 100), (1001, 100), (999, 50)])
def test_thinned_traces_keep_the_lowest_and_highest_of_each_group(n, most):
    values = np.random.default_rng(n).normal(size=n)
    values[7] = np.nan
    kept = extremes(values, most)
    assert len(kept) <= most and (np.diff(kept) > 0).all()
    size = 1 if n <= most else -(-n // (most // 2))
    for begin in range(0, n, size):
        group = values[begin : begin + size]
        own = values[kept[(kept >= begin) & (kept < begin + size)]]
        assert np.nanmin(own) == np.nanmin(group) and np.nanmax(own) == np.nanmax(group) if size > 1 else own.size


def test_a_gap_stays_a_gap_when_traces_are_thinned():
    values = np.ones(1000)
    values[200:400] = np.nan
    kept = extremes(values, 100)
    assert np.isnan(values[kept]).sum() >= 9


def test_a_chart_never_has_more_points_than_its_bound():
    long = window(0, 1e9, n_bins=40_000)
    values = np.random.default_rng(1).normal(size=(40_000, 2))
    series = {TRUE: values, **dict.fromkeys("abcd", values)}
    assert len(traces(series, long, 0)[0]) <= MOST_POINTS
    assert len(paths(series, long, integrate=True)[0]) <= MOST_POINTS + 10
    assert len(spikes(np.ones((40_000, 9), np.uint8), long)[0]) <= MOST_POINTS
    drawn = bands(np.zeros((40_000, 2, 8), np.float32), long)
    assert len(drawn.rows) <= MOST_POINTS and drawn.n_grouped == 64


def test_marked_bins_become_stretches_with_their_edges():
    marked = np.zeros(N_BINS, bool)
    marked[[50, 51, 52, 60, 99]] = True
    found = stretches_of(marked, window(1, 1))
    assert found["from_s"].tolist() == pytest.approx([1.0, 1.2, 1.98])
    assert found["until_s"].tolist() == pytest.approx([1.06, 1.22, 2.0])


def test_a_path_is_the_sum_of_velocities_from_the_beginning_of_each_unbroken_stretch():
    rng, starts = np.random.default_rng(2), np.zeros(60, bool)
    starts[[0, 30]] = True
    true, other = rng.normal(size=(2, 60, 2))
    true[10] = np.nan
    rows, step = paths({TRUE: true, "a": other}, window(0, 1.2, starts, n_bins=60), integrate=True)
    assert step == 1
    for (_, piece), (begin, end) in zip(
        rows[rows["series"] == "a"].groupby("piece"), ((0, 10), (11, 30), (30, 60)), strict=True
    ):
        at, expected = np.zeros(2), [(0.0, 0.0)]
        for k in range(begin, end):
            at = at + other[k] * BIN_S
            expected.append(tuple(at))
        assert np.allclose(piece[["x", "y"]], expected)


def test_positions_are_drawn_as_they_are():
    values = np.random.default_rng(3).normal(size=(50, 2))
    rows, _ = paths({TRUE: values}, window(0, 1, n_bins=50), integrate=False)
    assert np.allclose(rows[["x", "y"]], values) and rows["piece"].unique().tolist() == [0]
    nothing, _ = paths({TRUE: np.full((50, 2), np.nan)}, window(0, 1, n_bins=50), integrate=False)
    assert nothing.empty


def test_a_raster_has_a_row_for_each_bin_in_which_a_drawn_unit_fired():
    counts = np.random.default_rng(4).poisson(0.3, (N_BINS, 40)).astype(np.uint8)
    rows, every = spikes(counts, window(2, 10))
    expected = {
        (k, unit): int(counts[k, unit])
        for k, unit in itertools.product(range(100, 600), range(0, 40, every))
        if counts[k, unit]
    }
    found = {(round(s / BIN_S) - 1, unit): n for s, unit, n in rows.itertuples(index=False)}
    assert every == 2 and found == expected


def test_channels_of_a_signal_lie_under_one_another_to_one_scale():
    ranges = np.random.default_rng(5).normal(size=(N_BINS, 2, 3)).cumsum(axis=1) ** 2
    ranges[:, 1] += ranges[:, 0]
    drawn = bands(ranges, window(0, 2))
    rows = drawn.rows[drawn.rows["channel"] == 2]
    height = (rows["high"] - rows["low"]) * drawn.row_height
    assert drawn.n_grouped == 1 and np.allclose(height, ranges[:100, 1, 2] - ranges[:100, 0, 2])
    assert (drawn.rows.groupby("channel")["high"].max() - drawn.rows.groupby("channel")["low"].min()).max() <= 0.91


@pytest.mark.parametrize("value", [np.nan, 0.0])
def test_a_dead_channel_is_drawn_without_a_complaint(value):
    ranges = np.full((50, 2, 2), value, np.float32)
    ranges[:, :, 0] = 0
    assert bands(ranges, window(0, 1, n_bins=50)).row_height == 1.0


def test_decoders_differ_by_dashes_and_by_colour_in_every_chart():
    values = np.ones((N_BINS, 2))
    series = {TRUE: values, **dict.fromkeys("abcd", values)}
    rows = traces(series, window(), 0)[0]
    way = paths(series, window(), integrate=True)[0]
    empty = stretches_of(np.zeros(N_BINS, bool), window())
    for chart in (trace_chart(rows, empty, window(), title="x", legend=True), path_chart(way)):
        spec = json.loads(chart.to_json())
        lines = next(layer for layer in spec["layer"] if "strokeDash" in layer["encoding"])["encoding"]
        for channel in ("color", "strokeDash"):
            assert len({str(look) for look in lines[channel]["scale"]["range"][1:]}) == 4
            assert lines[channel]["scale"]["domain"] == [TRUE, *"abcd"]


def test_no_name_of_a_channel_becomes_part_of_an_expression():
    names = ("'+alert(1)+'", "'\"\\", "Fp1")
    spec = signal_chart(bands(np.ones((50, 2, 3)), window(0, 1, n_bins=50)), names, window(), title="eeg").to_dict()
    words = spec["encoding"]["y"]["axis"]["labelExpr"]
    assert words == "datum.value == 0 ? 'alert1' : datum.value == -1 ? '1' : datum.value == -2 ? 'Fp1' : ''"
    rows, _ = spikes(np.ones((N_BINS, 3)), window(0, 1))
    assert len(raster_chart(rows, names, window(), title="spikes").to_dict()["encoding"]) == 3


# Decisions


def trials(curve=(0.5, 0.75, 0.8), confusion=((6, 2), (1, 3))) -> Trials:
    offset_s = tuple(round(0.5 * (i + 1), 1) for i in range(len(curve)))
    return Trials(classes=("left", "right"), confusion=confusion, offset_s=offset_s, balanced_accuracy=curve)


def classified(name="example-filter", **changes) -> Record:
    content = {"trials": trials(), "scores": {"balanced_accuracy": 0.75}, "interval": {}, **changes}
    return make_record(name, metric="balanced_accuracy", chance=0.5, sessions=[make_session(SESSION, 0.75, **content)])


def on_session(*records: Record):
    runs = runs_of(records)
    return answered(runs, SESSION, recordings_of(runs)[SESSION])


def test_shares_are_of_the_trials_of_a_true_class():
    found = matrix(trials(confusion=((6, 2), (0, 0)))).set_index(["actual", "decided"])
    assert found["share"].to_dict() == {
        ("left", "left"): 0.75,
        ("left", "right"): 0.25,
        ("right", "left"): 0.0,
        ("right", "right"): 0.0,
    }


@pytest.mark.parametrize(
    "curves_of, at",
    [
        ([(0.5, 0.75, 0.8)], 1.0),
        ([(0.5, 0.75, 0.75)], None),
        ([(0.5, 0.75, 0.75), (0.75, 0.8, 0.75)], 1.5),
        ([(0.5, 0.6, 0.7)], None),
    ],
)
def test_the_decision_is_where_all_curves_pass_through_their_matrices(curves_of, at):
    records = [classified(str(i), trials=trials(curve)) for i, curve in enumerate(curves_of)]
    assert decided_at(on_session(*records)) == at


def test_the_curves_chart_says_chance_and_decision_where_they_are_known():
    rows = curves(on_session(classified("a"), classified("b", trials=None)))
    assert rows["series"].unique().tolist() == ["a"] and rows["accuracy"].tolist() == [0.5, 0.75, 0.8]
    full = curve_chart(rows, chance=0.5, decision_s=1.0).to_json()
    bare = curve_chart(rows, chance=None, decision_s=None).to_json()
    assert "decision" in full and "chance" in full and "decision" not in bare and "chance" not in bare
    assert '"75%"' in matrix_chart(matrix(trials())).to_json()


# The page


def test_the_command_names_what_a_shell_may_read():
    record = make_record(decoder=make_decoder("a; rm -rf ~"))
    one = on_session(record)[0]
    words = shlex.split(how_to_get("my store", one).replace("\\\n", " "))
    assert words[:2] == ["harness", "eval"] and words[-3:] == ["all", "--store", "my store"]
    assert "a; rm -rf ~" in words and "history_bins=10" in words and "--seed" in words
    assert "--store" not in how_to_get("", one)


def page(store: Store, **query):
    return run_page("recording", store.root, **query)


def n_charts(found) -> int:
    return len(found.get("vega_lite_chart"))


def test_the_page_shows_inputs_traces_and_path_of_the_window_in_the_address(tmp_path):
    found = page(movement_store(tmp_path), start="7", length="5")
    assert found.dataframe[0].value["decoder"].tolist() == ["close", "far"]
    assert n_charts(found) == 2 + 2 + 1 and not found.warning and not found.info
    assert found.slider[0].value == 7 and found.query_params["length"] == "5"
    assert found.multiselect[0].value == ["close", "far"]
    found.slider[0].set_value(11).run()
    found.multiselect[0].set_value(["far"]).run()
    assert not found.exception and n_charts(found) == 5 and found.query_params["decoders"] == "far"


def test_a_window_begins_where_scoring_does_unless_the_address_says_otherwise(tmp_path):
    assert page(movement_store(tmp_path)).slider[0].value == 2


def test_a_link_to_a_decoder_opens_that_decoder(tmp_path):
    found = page(movement_store(tmp_path), decoder="far", recording=SESSION)
    assert found.multiselect[0].value == ["far"]
    assert page(Store(tmp_path), decoders=["gone", "far"]).multiselect[0].value == ["far"]


def test_nobody_chosen_stays_nobody(tmp_path):
    found = page(movement_store(tmp_path))
    found.multiselect[0].set_value([]).run()
    assert found.multiselect[0].value == [] and "Choose a decoder" in found.info[0].value and n_charts(found) == 0
    found.run()
    assert found.multiselect[0].value == []


@pytest.mark.parametrize(
    "truth, predictions, charts, says",
    [
        (False, True, 2, "What was true is not in this store"),
        (True, False, 5, "no predictions in this store"),
        (False, False, 0, "no predictions in this store"),
    ],
)
def test_what_is_missing_is_named_and_the_rest_is_shown(tmp_path, truth, predictions, charts, says):
    found = page(movement_store(tmp_path, truth=truth, predictions=predictions))
    said = " ".join(str(e.value) for e in (*found.warning, *found.info)).replace("\\", "")
    assert says in said and n_charts(found) == charts
    assert "--suite made-up-reaching" in found.code[0].value and "--decoder close" in found.code[0].value
    assert len(found.dataframe) == 1


def test_answers_of_other_bins_are_not_drawn_over_this_truth(tmp_path):
    found = page(movement_store(tmp_path, n_bins=N_BINS - 1))
    assert "its answers are 1499 bins of 2" in found.warning[0].value and n_charts(found) == 5


def test_answers_of_a_file_that_is_not_the_records_are_not_drawn(tmp_path):
    store = movement_store(tmp_path)
    for path in (tmp_path / "predictions").iterdir():
        path.write_bytes(arrays_to_npz({f"{SESSION}/outputs": np.zeros((N_BINS, 2), np.float32)}))
    assert all("not the one that the record speaks of" in w.value for w in page(store).warning)


def test_a_failed_decoder_is_named_with_its_error(tmp_path):
    store = movement_store(tmp_path)
    broken = [make_session(SESSION, 0, status="failed", error="<b>boom</b>", scores={}, interval={}, latency_ms=None)]
    store.save(make_record("broken", status="failed", error="boom", sessions=broken, scores={}))
    found = page(store, decoders=["broken", "close"])
    assert found.dataframe[0].value["error"].tolist() == ["", "", "<b>boom</b>"]
    assert "it did not finish here" in found.warning[0].value and n_charts(found) == 5


def test_a_decoder_called_like_the_truth_does_not_take_its_place(tmp_path):
    store = movement_store(tmp_path)
    outputs = arrays_to_npz({f"{SESSION}/outputs": np.zeros((N_BINS, 2), np.float32)})
    record = make_record(TRUE, sessions=[make_session(SESSION, 0.1)], predictions_sha256=sha256(outputs))
    store.save(sealed(record))
    store.predictions(record).write_bytes(outputs)
    found = page(store, decoders=[TRUE])
    specs = [chart.proto.spec for chart in found.get("vega_lite_chart")]
    assert any("true (decoder)" in spec for spec in specs)


def test_a_short_recording_without_outputs_names_has_no_slider(tmp_path):
    store = movement_store(tmp_path, truth=False, n_bins=30)
    found = page(store)
    assert not found.slider and n_charts(found) == 2


def test_decisions_are_shown_from_records_alone(tmp_path):
    store = Store(tmp_path)
    for record in (classified("a"), classified("b", trials=None, status="failed", error="boom")):
        store.save(record)
    found = page(store, matrix="a")
    assert n_charts(found) == 2 and found.query_params["matrix"] == "a"
    assert "boom" in found.warning[0].value and "12 trials" in found.caption[-1].value


def test_old_records_of_decisions_say_that_they_are_old(tmp_path):
    store = Store(tmp_path)
    store.save(classified("a", trials=None))
    found = page(store)
    assert "older than these numbers" in found.warning[0].value and n_charts(found) == 0


def test_a_seed_that_nobody_has_here_says_so(tmp_path):
    store = movement_store(tmp_path)
    store.save(make_record("elsewhere", seed=9, sessions=[make_session("made-up-9", 0.5)]))
    found = page(store, recording=SESSION, seed="9")
    assert "No decoder has run on this recording with this seed" in found.info[0].value

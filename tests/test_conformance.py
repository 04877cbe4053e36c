"""`harness check`: a good decoder passes, and each planted fault is caught by the rule that it breaks."""

import json
import re
from collections import deque
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from harness.cli.check import command
from harness.errors import DecoderError, UsageError
from harness.judge.conformance import CHECKS, iter_checks, run_checks
from harness.judge.conformance_case import Broken, same
from harness.judge.conformance_data import make_data, noise_from
from harness.judge.memory import size_bytes
from harness.registry import find
from tests.cases import long_but

HERE = Path(__file__).parent
FILE = HERE / "faulty_decoders.py"

FAULTS = {
    "NoSeed": "parameters_are_plain",
    "ArrayParameter": "parameters_are_plain",
    "FailsToFit": "fit_runs",
    "DividesBySilence": "answers_are_finite_rows",
    "WrongWidth": "answers_are_finite_rows",
    "ObjectAnswer": "answers_are_finite_rows",
    "ListAnswer": "answers_are_finite_rows",
    "NotFinite": "answers_are_finite_rows",
    "RemembersAfterReset": "reset_forgets",
    "CountsForEver": "reset_forgets",
    "LearnsFromUnscored": "unscored_targets_are_ignored",
    "ChangesItsParameter": "fit_keeps_parameters",
    "ChangesItsInput": "step_leaves_its_input_alone",
    "KeepsItsInput": "input_is_not_kept",
    "ReusesItsAnswer": "earlier_answers_stay",
    "SharesItsMemory": "answer_is_not_shared",
    "NoisyFit": "same_seed_gives_same_answers",
    "LuckySeed": "seed_is_idle_if_deterministic",
    "PredictsOtherwise": "predict_equals_step",
    "ObjectState": "state_is_arrays",
    "HidesWeights": "state_survives_a_fresh_process",
    "LosesState": "state_survives_a_fresh_process",
    "FailsOnEmptyBin": "empty_bins_are_answered",
    "FractionalDelay": "delay_is_whole_bins",
    "ForgetsPretraining": "fit_runs",
    "NeedsLabelsToPretrain": "unlabelled_pretraining_is_survived",
    "ForgetsAdapting": "adapts_to_a_new_session",
    "FailsLate": "long_segment_is_answered",
    "GrowsAList": "memory_is_bounded",
    "GrowsAGlobal": "memory_is_bounded",
    "SlowsDown": "step_time_is_steady",
}
LOOK_AHEAD = ("LooksAhead", "FiltersBothWays", "UsesWholeRecording")


def ref(name: str):
    return find(f"{FILE}:{name}")


def app() -> typer.Typer:
    made = typer.Typer()
    made.command()(command)
    return made


@pytest.mark.parametrize("name, rule", long_but([f for f in FAULTS.items() if "SlowsDown" not in f], FAULTS.items()))
def test_a_planted_fault_is_caught_first_by_the_rule_that_it_breaks(name, rule):
    failure = next((r for r in iter_checks(ref(name), {}) if r.status == "failed"), None)
    assert failure is not None and failure.name == rule
    assert failure.message


@pytest.mark.parametrize("name", LOOK_AHEAD)
def test_a_predict_that_looks_ahead_is_caught_three_times_over(name):
    failed = {r.name for r in run_checks(ref(name), {}) if r.status == "failed"}
    assert failed == {"predict_equals_step", "prefix_gives_prefix", "future_has_no_effect"}


def test_a_good_decoder_passes_every_check():
    results = run_checks(ref("Good"), {})
    assert [r.name for r in results] == [c.name for c in CHECKS]
    assert [(r.name, r.message) for r in results if r.status == "failed"] == []
    assert [r.name for r in results if r.status == "skipped"] == [
        "seed_is_idle_if_deterministic",
        "unlabelled_pretraining_is_survived",
        "adapts_to_a_new_session",
    ]


def test_a_deterministic_decoder_on_any_signals_passes_every_check():
    others = [r.name for r in run_checks(ref("GoodOnSignals"), {}) if r.status != "ok"]
    assert others == ["unlabelled_pretraining_is_survived", "adapts_to_a_new_session"]


def test_a_decoder_that_looks_ahead_openly_is_told_which_tracks_it_loses():
    results = run_checks(ref("GoodOffline"), {})
    lost = {r.name: r.message for r in results if r.status == "skipped" and "offline" in r.message}
    assert {"step_leaves_its_input_alone", "predict_equals_step", "future_has_no_effect"} <= lost.keys()
    assert all("causal" in message and "realtime" in message and "implant" in message for message in lost.values())
    assert not [r for r in results if r.status == "failed"]


def test_nothing_is_said_about_a_decoder_that_cannot_be_fitted_but_why():
    results = {r.name: r for r in run_checks(ref("FailsToFit"), {})}
    assert "singular matrix" in results["fit_runs"].message
    later = [r for r in results.values() if r.name not in ("parameters_are_plain", "fit_runs")]
    assert {(r.status, r.message) for r in later} == {("skipped", "needs fit_runs")}


def test_settings_given_as_text_reach_the_fresh_process_too():
    results = {r.name: r for r in run_checks(ref("Good"), {"penalty": "1e3"})}
    assert results["state_survives_a_fresh_process"].status == "ok"
    with pytest.raises(UsageError, match="penalti"):
        run_checks(ref("Good"), {"penalti": "1"})


def test_a_decoder_that_cannot_be_imported_is_an_error_not_a_result(tmp_path):
    (tmp_path / "broken.py").write_text("import nothing_of_that_name\n\n\nclass Mine: ...")
    with pytest.raises(DecoderError, match="nothing_of_that_name"):
        run_checks(find(f"{tmp_path}/broken.py:Mine"), {})


def test_the_command_leaves_with_0_for_a_good_decoder_and_3_for_a_faulty_one():
    good = CliRunner().invoke(app(), [f"{FILE}:Good", "--set", "penalty=2"])
    assert good.exit_code == 0 and "22 ok, 3 skipped" in good.output
    bad = CliRunner().invoke(app(), [f"{FILE}:FailsToFit"], env={"COLUMNS": "200"})
    assert bad.exit_code == 3 and "singular matrix" in bad.output and "Rule:" in bad.output


def test_the_command_prints_json_for_machines():
    printed = CliRunner().invoke(app(), [f"{FILE}:WrongWidth", "--json"]).stdout
    results = {r["name"]: r for r in json.loads(printed)}
    assert results["answers_are_finite_rows"]["status"] == "failed"
    assert "(3,)" in results["answers_are_finite_rows"]["message"]


def test_the_documentation_lists_every_check_with_its_rule_in_order():
    text = (HERE.parent / "docs" / "conformance.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \|$", text, flags=re.MULTILINE)
    assert rows == [(c.name, c.rule) for c in CHECKS]


@pytest.mark.parametrize(
    "inputs, kind",
    [
        (("spikes",), "regression"),
        (("lfp",), "regression"),
        (("eeg", "cue"), "classification"),
        (("other",), "regression"),
    ],
)
def test_made_up_recordings_have_the_shapes_that_their_session_states(inputs, kind):
    data = make_data(inputs)
    for part in (data.train, data.validation, data.test, data.pretraining):
        assert part.session.kind == kind and tuple(part.inputs.streams) == inputs
        for name, info in part.session.streams.items():
            assert part.inputs.streams[name].shape == (len(part), *info.shape)
            assert part.inputs.streams[name].dtype == np.float32
        assert part.targets.shape == (len(part), len(part.session.outputs)) and part.scored.any()
    assert "spikes" in {*data.train.inputs.streams, *data.train.privileged}


def test_made_up_targets_are_missing_exactly_where_nothing_is_scored():
    for part in (make_data(("spikes",)).train, make_data(("eeg", "cue")).validation):
        missing = np.isnan(part.targets)
        assert (missing.all(axis=1) == ~part.scored).all() and (missing.any(axis=1) == ~part.scored).all()
    assert np.isfinite(make_data(("spikes",), with_gaps=False).train.targets).all()


def test_one_channel_is_silent_in_training_and_speaks_in_the_test_part():
    data = make_data(("spikes",))
    assert not data.train.inputs.streams["spikes"][:, 0].any()
    assert data.test.inputs.streams["spikes"][:, 0].any()


def test_noise_replaces_the_bins_that_are_named_and_no_other():
    inputs = make_data(("spikes",)).test.inputs
    changed = noise_from(inputs, 50, 60).streams["spikes"] != inputs.streams["spikes"]
    assert changed[50:60].any(axis=1).all() and not changed[:50].any() and not changed[60:].any()


def test_a_difference_is_told_with_its_bin_and_nan_is_the_largest():
    expected, outputs = np.full((5, 2), 4.0), np.full((5, 2), 4.0)
    assert same(expected, outputs + 1e-7, "now").startswith("largest difference 2.5e-08")
    outputs[3, 1] = 5.0
    with pytest.raises(Broken, match=r"bin 3 differs by 0\.25 .* now"):
        same(expected, outputs, "now")
    outputs[1, 0] = np.nan
    with pytest.raises(Broken, match="bin 1 differs by inf"):
        same(expected, outputs, "now")


class Slotted:
    __slots__ = ("content",)


@pytest.mark.parametrize("hold", [list, deque, lambda x: {"a": (x,)}, lambda x: np.array([x, None], dtype=object)])
def test_memory_is_found_in_any_container(hold):
    owner = Slotted()
    owner.content = hold([np.zeros(10)])
    before = size_bytes(owner)
    owner.content = hold([np.zeros(100_010)])
    assert size_bytes(owner) - before == 800_000


def test_memory_in_views_and_in_circles_is_counted_once():
    owner = Slotted()
    owner.content = [np.zeros(1000)[::2]]
    owner.content += [owner, owner.content]
    assert 8000 <= size_bytes(owner) - size_bytes(Slotted()) <= 9000


def test_memory_of_a_tensor_counts_its_elements():
    torch = pytest.importorskip("torch")
    owner = Slotted()
    owner.content = torch.nn.Linear(10, 10)
    before = size_bytes(owner)
    owner.content = torch.nn.Linear(10, 1010)
    assert size_bytes(owner) - before == pytest.approx(4 * 11 * 1000, rel=0.01)


def test_every_planted_fault_of_the_file_is_tested():
    planted = set(re.findall(r"^class (\w+)\(", FILE.read_text(), flags=re.MULTILINE))
    assert planted == {*FAULTS, *LOOK_AHEAD, "Good", "GoodOffline", "GoodOnSignals"}

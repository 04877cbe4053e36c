"""Budgets: which track a run is in, and which number kept it out."""

import json
import re
import subprocess
import sys

import pytest
import yaml

from harness.data.suites import load_suite, shipped
from harness.errors import UsageError
from harness.judge.budget import BUDGETS, Measured, Track, shipped_tracks, tracks_with, why_not
from tests.tiny import tiny_files, write_quick_profile, write_tiny_suite

GOOD = Measured(
    causal=True,
    p99_bins=0.2,
    p99_ms=4.0,
    deadline_miss_rate=0.0,
    delay_ms=24.0,
    answer_delay_bins=0,
    parameters=2000,
    artifact_bytes=100_000,
    state_bytes=4000,
    synaptic_operations_per_s=4e6,
    energy_nj_per_bin=10.0,
)
NAMES = ("offline", "delayed", "causal", "realtime", "implant")


def reasons(**changes):
    measured = Measured(**{**vars(GOOD), **changes})
    return {track.name: why_not(track, measured) for track in shipped_tracks()}


def write(folder, **content):
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump({"name": "mine", "version": 1, "description": "of a lab", **content}))
    return path


def test_a_small_fast_causal_run_is_in_every_track():
    assert reasons() == dict.fromkeys(NAMES, "")


@pytest.mark.parametrize(
    "changes, lost, said",
    [
        ({"causal": False}, NAMES[1:], "the decoder has no causal step"),
        ({"audit_failed": ("future_has_no_effect",)}, NAMES[1:], "audit failed: future_has_no_effect"),
        ({"p99_bins": 1.01}, NAMES[3:], "p99_bins is 1.01; 1 is allowed"),
        ({"deadline_miss_rate": 0.0011}, (NAMES[1], *NAMES[3:]), "deadline_miss_rate is 0.0011; 0.001 is allowed"),
        ({"p99_bins": None}, NAMES[3:], "p99_bins was not measured"),
        ({"answer_delay_bins": 1}, NAMES[2:], "answer_delay_bins is 1; 0 is allowed"),
        ({"delay_ms": 101.0}, NAMES[1:2], "delay_ms is 101; 100 is allowed"),
        ({"artifact_bytes": 131_073}, NAMES[4:], "artifact_bytes is 131073; 131072 is allowed"),
        ({"synaptic_operations_per_s": 5_000_001}, NAMES[4:], "synaptic_operations_per_s is 5e+06; 5e+06 is allowed"),
        ({"synaptic_operations_per_s": None}, NAMES[4:], "synaptic_operations_per_s was not measured"),
    ],
)
def test_a_broken_budget_costs_its_tracks_and_is_named_with_its_number(changes, lost, said):
    found = reasons(**changes)
    assert {name for name, why in found.items() if why} == set(lost)
    assert {why for why in found.values() if why} == {said}


@pytest.mark.parametrize("budget", BUDGETS)
def test_a_lab_can_put_a_budget_on_anything_that_is_measured(tmp_path, budget):
    value = getattr(GOOD, budget)
    allowed, exceeded = (tracks_with([write(tmp_path, **{budget: limit})])[-1] for limit in (value + 1, value))
    assert why_not(allowed, GOOD) == ""
    assert why_not(exceeded, Measured(**{**vars(GOOD), budget: value + 1})).startswith(f"{budget} is ")


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"name": "causal"}, "the name 'causal' is taken"),
        ({"latency": 3}, "latency"),
        ({"p99_bins": -1}, "p99_bins"),
        ({"version": 0}, "version"),
        ({"name": "My Track"}, "name"),
    ],
)
def test_a_wrong_track_is_refused_and_the_key_named(tmp_path, changes, said):
    with pytest.raises(UsageError, match=said):
        tracks_with([write(tmp_path, **changes)])


@pytest.mark.parametrize("budget", BUDGETS)
@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan"), "1e400"])
def test_a_budget_that_is_no_finite_number_is_refused(tmp_path, budget, value):
    with pytest.raises(UsageError, match=f"{budget}: Input should be a finite number"):
        tracks_with([write(tmp_path, **{budget: value})])


@pytest.mark.parametrize("text", ["version: 2020-13-45", "version: [", "version: " + "9" * 5000])
def test_a_file_that_yaml_cannot_read_is_refused(tmp_path, text):
    (tmp_path / "broken.yaml").write_text(text)
    with pytest.raises(UsageError, match="broken.yaml is no valid YAML"):
        tracks_with([tmp_path / "broken.yaml"])


def test_a_missing_track_file_is_refused(tmp_path):
    with pytest.raises(UsageError, match="there is no track file"):
        tracks_with([tmp_path / "nothing.yaml"])


def test_a_track_of_ones_own_is_in_the_record_and_changes_no_finished_work(tmp_path):
    suite = write_tiny_suite(tmp_path)
    tiny_files(load_suite(str(suite)), tmp_path / "data")
    arguments = ["--suite", suite, "--decoder", "train-mean", "--store", tmp_path / "results"]
    arguments += ["--profile", write_quick_profile(tmp_path), "--json"]
    own = write(tmp_path, causal=True, parameters=1)
    first = evaluated(arguments, tmp_path)
    second = evaluated([*arguments, "--track", own], tmp_path)
    assert set(first["tracks"]) == set(NAMES)
    assert second["tracks"]["mine"] == {"ok": False, "why": "parameters is 2; 1 is allowed", "version": 1}
    assert [s["cell"] for s in first["sessions"]] == [s["cell"] for s in second["sessions"]]


def evaluated(arguments, folder):
    command = [sys.executable, "-m", "harness", "eval", *map(str, arguments)]
    environment = {"NEURAL_DECODER_DATA": str(folder / "data"), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_protocol_states_the_shipped_budgets(root):
    text = (root / "docs" / "protocol.md").read_text()
    implant = Track.model_validate(yaml.safe_load((shipped("tracks") / "implant.yaml").read_text()))
    row = next(line for line in text.splitlines() if line.startswith("| `implant`"))
    assert f"{int(implant.artifact_bytes):,} bytes" in row
    assert f"{int(implant.synaptic_operations_per_s):,}" in row


def test_every_rule_that_a_record_can_hold_is_in_the_protocol(root):
    text = (root / "docs" / "protocol.md").read_text()
    source = "".join((root / "harness" / name).read_text() for name in ("judge/audit.py", "judge/cell.py", "work.py"))
    rules = set(
        re.findall(r'findings\["(\w+)"\]|^        "(\w+)": worst|"(\w+_\w+_\w+)": _|\("(\w+)", judge', source, re.M)
    )
    named = {name for found in rules for name in found if name}
    assert len(named) >= 10
    assert {name for name in named if f"`{name}`" not in text} == set()

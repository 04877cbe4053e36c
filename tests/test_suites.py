"""The shipped suites: what they hold, that they can be made again, and what a suite refuses."""

import json
import runpy
from pathlib import Path

import pytest
import yaml

from harness.data.download import local_path
from harness.data.shipped import heading, known_suites
from harness.data.split_rules import RunSplit
from harness.data.suites import METRIC_NAMES, PINNED_TIERS, Dandi, File, Simulated, Suite, Zenodo, load_suite, shipped
from harness.errors import MissingData, UsageError
from harness.score.metrics import METRICS

ROOT = Path(__file__).parents[1]
MANIFEST = ROOT.parent / "shared" / "manifests" / "primate-reaching.json"
tool = runpy.run_path(str(ROOT / "tools" / "suite_from_manifest.py"))
with_manifest = pytest.mark.skipif(not MANIFEST.is_file(), reason="the manifests are not beside the repository")


@pytest.fixture(scope="module")
def reaching():
    return load_suite("primate-reaching")


def minimal(**changes):
    """A suite of one session, as YAML would give it."""
    source = {"host": "zenodo", "record": "1", "path": "a.nwb", "url": "u", "licence": "CC-BY-4.0"}
    session = {
        "id": "a",
        "subject": "A",
        "group": "g",
        "layout": "l",
        "split": "x",
        "tiers": ["extra"],
        "source": source,
    }
    target = {"path": "p", "outputs": ["x"]}
    return {
        "name": "tiny",
        "version": 1,
        "title": "t",
        "task": {"inputs": ["spikes"], "target": "velocity", "bin_s": 0.02},
        "metrics": ["r2"],
        "decoders": ["wiener"],
        "layouts": {"l": {"spikes": {"units": "units"}, "targets": {"velocity": target}}},
        "splits": {"x": {"kind": "time", "fractions": [0.7, 0.1, 0.2]}},
        "sessions": [session | {"source": source} | changes.pop("session", {})],
    } | changes


@with_manifest
def test_the_shipped_suite_is_what_the_tool_makes_of_the_manifest():
    made = tool["suite_text"](json.loads(MANIFEST.read_bytes()))
    assert (shipped("suites") / "primate-reaching.yaml").read_text() == made


@with_manifest
def test_every_row_with_behaviour_is_there_with_its_own_pins(reaching):
    rows = [r for r in json.loads(MANIFEST.read_bytes())["sessions"] if not r["role"].startswith("no-behaviour")]
    remote = {s.source.path: s.source for s in reaching.sessions if not isinstance(s.source, Simulated)}
    assert len(remote) == len(rows) == 271
    for row in rows:
        source = remote[row["path"]]
        assert (source.size, source.sha256) == (row["size"], row["sha256"])
        assert getattr(source, "md5", None) == row.get("md5")


def test_tiers_have_the_recordings_that_the_protocol_names(reaching):
    assert reaching.tiers() == {
        "simulated": 8,
        "mini": 5,
        "core": 34,
        "full": 138,
        "unpinned": 26,
        "neurobench": 6,
        "neurobench-simulated": 2,
        "neurobench-simulated-m1": 2,
        "falcon": 55,
        "falcon-minival": 28,
        "xl": 24,
    }
    mini = reaching.in_tier("mini")
    assert sum(s.source.size for s in mini) == 150_473_820
    assert len({s.subject for s in mini}) == 5
    assert {s.id for s in reaching.in_tier("neurobench")} == {
        "indy_20160622_01-neurobench",
        "indy_20160630_01-neurobench",
        "indy_20170131_02-neurobench",
        "loco_20170210_03-neurobench",
        "loco_20170215_02-neurobench",
        "loco_20170301_05-neurobench",
    }


def test_no_recording_without_a_digest_is_in_a_scored_tier(reaching):
    for session in reaching.sessions:
        if isinstance(session.source, Dandi | Zenodo) and set(session.tiers) & set(PINNED_TIERS):
            assert session.source.sha256 or session.source.md5, session.id


def test_session_names_fit_a_file_system(reaching):
    assert all(s.id.replace("-", "").replace("_", "").isalnum() and len(s.id) < 60 for s in reaching.sessions)


def test_a_variant_holds_the_sessions_that_serve_its_task(reaching):
    main, emg, neurobench = reaching.variants()
    assert emg.name == "primate-reaching/emg" and {s.layout for s in emg.sessions} == {"falcon-m1"}
    assert "falcon-m1" not in {s.layout for s in main.sessions}
    assert {t for s in neurobench.sessions for t in s.tiers} == {t for t in reaching.tiers() if "neurobench" in t}
    assert [v.name for v in reaching.variants("mini")] == ["primate-reaching"]
    assert [v.name for v in reaching.variants("neurobench")] == ["primate-reaching/neurobench"]
    assert [v.name for v in reaching.variants("falcon")] == ["primate-reaching", "primate-reaching/emg"]


def test_every_session_of_a_variant_has_a_layout_with_its_target(reaching):
    for suite in (*reaching.variants(), *load_suite("realdata-reaching").variants()):
        for session in suite.sessions:
            assert suite.task.target in suite.layouts[session.layout].targets, (suite.name, session.id)


def test_a_changed_rule_changes_the_protocol_of_its_sessions_alone(reaching):
    rtt = next(s for s in reaching.sessions if s.id == "mc-rtt")
    maze = next(s for s in reaching.sessions if s.id == "mc-maze-small")
    splits = dict(reaching.splits) | {"nlb-rtt": reaching.splits["nlb-rtt"].model_copy(update={"gap_s": 1.0})}
    changed = reaching.model_copy(update={"splits": splits})
    assert changed.protocol_sha256(rtt) != reaching.protocol_sha256(rtt)
    assert changed.protocol_sha256(maze) == reaching.protocol_sha256(maze)


def test_the_minimal_suite_is_valid():
    assert Suite.model_validate(minimal()).label == "tiny@1"


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"colour": "red"}, "Extra inputs are not permitted"),
        ({"session": {"layout": "m"}}, "layout 'm' is none of l"),
        ({"session": {"split": "y"}}, "split 'y' is none of x"),
        ({"session": {"tiers": ["mini"]}}, "has no digest, so it cannot be in tier 'mini'"),
        ({"session": {"tasks": ["force"]}}, "task 'force' is none of velocity"),
        ({"splits": {"x": {"kind": "trials"}}}, "needs `trials` in layout 'l'"),
        ({"splits": {"x": {"kind": "time", "fractions": [0.7, 0.1, 0.1]}}}, "must sum to 1"),
        ({"metrics": []}, "metrics: .*at least 1 item"),
        ({"metrics": ["r3"]}, "metric 'r3' is none of r2, r2_weighted, pearson, rmse"),
        ({"metrics": ["r2", "rmse", "r2"]}, "metric 'r2' is listed twice"),
        ({"layouts": {"l": {"spikes": {"units": "u", "counts": "c"}, "targets": {}}}}, "not both"),
    ],
)
def test_a_suite_that_cannot_be_meant_is_refused_with_its_file(tmp_path, changes, message):
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(minimal(**changes)))
    with pytest.raises(UsageError, match=message) as refused:
        load_suite(str(path))
    assert str(path) in str(refused.value)


@pytest.mark.parametrize("number", [".inf", "-.inf", ".nan", "1e400", "1.0e+400"])
@pytest.mark.parametrize("key", ["task.bin_s", "calibration_s"])
def test_a_number_that_is_not_finite_is_refused_with_its_key(tmp_path, key, number):
    path = tmp_path / "tiny.yaml"
    name = key.rpartition(".")[2]
    text = yaml.safe_dump(minimal(calibration_s=0.02))
    path.write_text(text.replace(f"{name}: 0.02", f"{name}: {number}"))
    with pytest.raises(UsageError, match=rf"tiny\.yaml: {key}"):
        load_suite(str(path))


def test_an_unknown_tier_is_refused_with_those_there_are(reaching):
    with pytest.raises(UsageError, match="no tier 'huge'; it has: simulated, mini"):
        reaching.in_tier("huge")


@pytest.mark.parametrize("name", ["primate-lfp", "primate-lfp-peer", "realdata-lfp", "primate-reaching-new-session"])
def test_every_shipped_suite_can_be_read(name):
    suite = load_suite(name)
    assert suite.name == name and all(v.sessions for v in suite.variants())


@pytest.mark.parametrize("name", sorted(known_suites()))
def test_the_heading_of_a_shipped_suite_says_what_the_whole_file_does(name):
    whole, found = load_suite(name), heading(known_suites()[name])
    assert (found.label, found.title, found.tiers) == (whole.label, whole.title, whole.tiers())


def test_no_test_of_a_shipped_suite_of_runs_tells_which_classes_are_to_come():
    for suite in map(load_suite, (name for name in known_suites() if name.startswith("eeg"))):
        for session in suite.sessions:
            rule, four = suite.splits[session.split], "four-classes" in session.tasks
            assert not isinstance(rule, RunSplit) or rule.runs == (6 if four else 3)
            assert not isinstance(rule, RunSplit) or not four or rule.test_runs % 2 == 0


def test_recordings_of_unknown_digest_are_in_no_scored_tier_and_a_message_says_what_is_missing():
    suite = load_suite("primate-lfp")
    made = [s for s in suite.sessions if isinstance(s.source, File)]
    assert len(made) == 5 and {s.tiers for s in made} == {("unpinned",)}
    with pytest.raises(UsageError, match=r"no tier 'core'.*indy_20161013_03.mat: size, md5, sha256.*record, size, md5"):
        suite.in_tier("core")
    given = suite.model_dump()
    given["sessions"][-1]["tiers"] = ("core",)
    with pytest.raises(ValueError, match="session 'indy_20170124_01' has no sha256, so it cannot be in tier 'core'"):
        Suite.model_validate(given)


def test_a_file_that_is_to_be_prepared_is_missed_with_the_command_that_makes_it(tmp_path):
    suite = load_suite("primate-lfp")
    session = next(s for s in suite.sessions if s.id == "indy_20160915_01")
    with pytest.raises(MissingData, match="harness data prepare indy_20160915_01 --raw.*record, size, md5, licence"):
        local_path(session, tmp_path)


def test_the_lfp_suites_pretraining_sessions_are_never_scored():
    suite = load_suite("primate-lfp")
    roles = {s.id: s.role for s in suite.sessions}
    assert {roles[name] for name in suite.pretraining} == {"source"} and not suite.pretraining_labels
    assert sum(role == "scored" for name, role in roles.items() if name.startswith("simulated")) == 4


def test_a_suite_may_name_all_metrics_that_there_are():
    regression, classification = METRIC_NAMES["regression"], METRIC_NAMES["classification"]
    assert Suite.model_validate(minimal(metrics=list(regression))).metrics == regression
    assert set(regression) | set(classification) == set(METRICS)


@pytest.mark.parametrize("twice", ["name: tiny", "splits:\n  x: {kind: time, fractions: [0.6, 0.2, 0.2]}"])
def test_a_key_that_is_given_twice_is_refused_with_its_line(tmp_path, twice):
    path = tmp_path / "tiny.yaml"
    path.write_text(f"{yaml.safe_dump(minimal())}{twice}\n")
    key = twice.partition(":")[0]
    with pytest.raises(UsageError, match=rf"(?s)tiny\.yaml is no valid YAML.*key '{key}' is given twice.*line \d+"):
        load_suite(str(path))

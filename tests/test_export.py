"""`harness data export`: splits that other people's tools read, and a card that tells all about them."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import datasets
import numpy as np
import pandas as pd
import pytest
import yaml
from huggingface_hub import DatasetCard
from typer.testing import CliRunner, Result

from harness.cli.data import app
from harness.data.cache import Cache, default_cache
from harness.data.download import locate
from harness.data.export import Order, export, part_columns
from harness.data.prepare import prepare
from harness.data.prepared_room import all_prepared
from harness.data.split_rules import PARTS
from harness.data.suites import load_suite
from harness.errors import UsageError
from tests import nwb_files as files
from tests.same_parts import arrays_of
from tests.test_eeg_evaluation import SUITE as EEG_SUITE
from tests.test_eeg_evaluation import write_subject
from tests.tiny import write_tiny_suite

FORMATS = ("hf", "parquet", "npz")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A data folder with the tiny suite's sessions."""
    return tmp_path_factory.mktemp("export")


@pytest.fixture(autouse=True)
def here(folder, monkeypatch, tmp_path):
    monkeypatch.setenv("NEURAL_DECODER_DATA", str(folder / "data"))
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "hf"))
    monkeypatch.setenv("COLUMNS", "200")


def run(*words: object) -> Result:
    return CliRunner().invoke(app, [str(w) for w in words])


@pytest.fixture(scope="module")
def exported(folder):
    """Format -> the tiny suite, exported by the command."""
    suite, made = write_tiny_suite(folder), {}
    environment = pytest.MonkeyPatch()
    environment.setenv("NEURAL_DECODER_DATA", str(folder / "data"))
    for format in FORMATS:
        made[format] = folder / format
        result = run("export", suite, "--tier", "simulated", "--format", format, "--out", made[format])
        assert result.exit_code == 0, result.exception
    environment.undo()
    return made


def expected(folder: Path, part: str) -> dict[str, np.ndarray]:
    """The columns of a part of the first session, prepared without the cache."""
    suite = load_suite(str(folder / "tiny.yaml"))
    path = Path(run("path", folder / "tiny.yaml", "tiny-0").stdout.strip())
    return part_columns(prepare(suite, suite.sessions[0], path), part)


def read(format: str, folder: Path, part: str, cache: Path) -> dict[str, np.ndarray]:
    """One part as each format's own tool reads it."""
    if format == "npz":
        return dict(np.load(folder / "tiny-0" / f"{part}.npz"))
    if format == "hf":
        found = datasets.load_from_disk(str(folder / "tiny-0"))
    else:
        found = datasets.load_dataset(str(folder), "tiny-0", cache_dir=str(cache))
    return arrays_of(found.with_format("arrow")[part][:].combine_chunks().to_batches()[0])


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("format", FORMATS)
def test_each_format_holds_the_parts_as_decoders_get_them(exported, folder, tmp_path, format, part):
    found, right = read(format, exported[format], part, tmp_path), expected(folder, part)
    assert list(found) == list(right)
    for name, values in right.items():
        np.testing.assert_array_equal(found[name], values)
        assert found[name].dtype == values.dtype


def test_pandas_reads_parquet_and_may_choose_columns(exported, folder):
    path = exported["parquet"] / "tiny-0" / "test.parquet"
    table, right = pd.read_parquet(path, columns=["time_s", "inputs.spikes"]), expected(folder, "test")
    assert list(table) == ["time_s", "inputs.spikes"]
    np.testing.assert_array_equal(np.stack(table["inputs.spikes"]), right["inputs.spikes"])


@pytest.mark.parametrize("format", FORMATS)
def test_the_snippet_on_the_card_runs(exported, format, tmp_path):
    (code,) = re.findall(r"```python\n(.*?)```", (exported[format] / "README.md").read_text(), re.DOTALL)
    code += "\nassert lines.shape == (40, 2) and scored.any() and abs(lines).max() > 0"
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=exported[format], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("format", FORMATS)
def test_the_card_is_one_that_hugging_face_reads(exported, format):
    card = DatasetCard.load(exported[format] / "README.md")
    assert card.data.license == "cc0-1.0"
    assert card.data.size_categories == ["1K<n<10K"]
    front = yaml.safe_load((exported[format] / "README.md").read_text().split("---")[1])
    names = [one["config_name"] for one in front.get("configs", [])]
    assert names == (["tiny-0", "tiny-1"] if format == "parquet" else [])


def test_the_card_says_units_licence_digests_and_that_test_labels_are_in_it(exported):
    text = (exported["parquet"] / "README.md").read_text()
    assert "never train on `test`" in text
    assert "| `inputs.spikes` | float32 | 40 | count | spikes in the bin, per unit |" in text
    assert "| `targets` | float32 | 2 | the recording's, per second | velocity: x, y, at the right edge" in text
    suite = load_suite(str(exported["parquet"].parent / "tiny.yaml"))
    assert suite.protocol_sha256(suite.sessions[0]) in text
    rows = [line for line in text.splitlines() if line.startswith("| tiny-0 | t | simulated")]
    assert len(rows) == 1 and "CC0-1.0" in rows[0] and re.search(r"`[0-9a-f]{64}`", rows[0])


def test_session_json_names_channels_units_and_outputs(exported):
    about = json.loads((exported["npz"] / "tiny-1" / "session.json").read_text())
    assert (about["id"], about["outputs"], about["bin_s"]) == ("tiny-1", ["x", "y"], 0.02)
    assert len(about["streams"]["spikes"]["channels"]) == 40


def test_cards_of_shipped_suites_cite_their_sources(tmp_path):
    suite, session = files.suite_for("nlb-mc_maze_small")
    path = files.mc_maze(tmp_path / "a.nwb").path
    export(Order(suite, [session], {session.id: path}, "npz", tmp_path / "out"))
    text = (tmp_path / "out" / "README.md").read_text()
    assert "license: cc-by-4.0" in text and "doi:10.1016/j.neuron.2010.09.015" in text
    assert "dandi 000140" in text and session.source.sha256 in text


def test_privileged_streams_and_signals_keep_their_shapes(tmp_path):
    suite = load_suite("primate-lfp")
    source = suite.in_tier("simulated")[0].source.model_copy(
        update={"parameters": {"subject_seed": 1, "session": 0, "minutes": 1.25, "n_units": 5, "lfp": True}}
    )
    session = suite.in_tier("simulated")[0].model_copy(update={"source": source, "id": "short"})
    found = locate([session], Cache(tmp_path / "data"))
    order = Order(suite, [session], found, "parquet", tmp_path / "out")
    export(order)
    back = datasets.load_dataset(str(tmp_path / "out"), "short", cache_dir=str(tmp_path / "hf"))
    right = part_columns(prepare(suite, session, found["short"]), "validation")
    rows = back.with_format("numpy")["validation"][:]
    for name in ("inputs.lfp", "inputs.lfp_wide", "privileged.spikes"):
        assert rows[name].shape == right[name].shape
        np.testing.assert_array_equal(rows[name], right[name])
    assert "`privileged.spikes` | float32 | 5 | count" in (tmp_path / "out" / "README.md").read_text()


def test_every_fold_has_a_folder(tmp_path):
    (tmp_path / "eeg.yaml").write_text(EEG_SUITE)
    suite = load_suite(str(tmp_path / "eeg.yaml"))
    session, path = suite.sessions[0], tmp_path / "A.nwb"
    write_subject(path, effect=1.0, seed=0)
    written = export(Order(suite, [session], {session.id: path}, "npz", tmp_path / "out"))
    assert [one.name for one in written] == [f"{session.id}.fold{k}" for k in (1, 2, 3)]
    tests = [np.load(tmp_path / "out" / one.name / "test.npz")["time_s"] for one in written]
    assert tests[0].max() < tests[1].min() and tests[1].max() < tests[2].min()
    assert "one-hot: left, right" in (tmp_path / "out" / "README.md").read_text()


def test_a_folder_that_holds_something_is_left_alone(exported, folder):
    before = (exported["npz"] / "README.md").read_bytes()
    result = run("export", folder / "tiny.yaml", "--tier", "simulated", "--format", "npz", "--out", exported["npz"])
    assert isinstance(result.exception, UsageError) and "is not empty" in str(result.exception)
    assert (exported["npz"] / "README.md").read_bytes() == before


def test_an_export_that_fails_leaves_nothing(folder, tmp_path):
    suite = load_suite(str(folder / "tiny.yaml"))
    (tmp_path / "bad.nwb").write_bytes(b"no recording")
    order = Order(suite, suite.sessions[:1], {"tiny-0": tmp_path / "bad.nwb"}, "npz", tmp_path / "out")
    with pytest.raises(ValueError, match="cannot be read"):
        export(order)
    assert [path.name for path in tmp_path.iterdir()] == ["bad.nwb"]


def test_an_id_that_leads_elsewhere_is_refused(folder, tmp_path):
    suite = load_suite(str(folder / "tiny.yaml"))
    session = suite.sessions[0].model_copy(update={"id": "../elsewhere"})
    with pytest.raises(UsageError, match="would become a folder of that name"):
        export(Order(suite, [session], {}, "npz", tmp_path / "out"))


@pytest.mark.parametrize("words", [["--task", "force"], ["--tier", "huge"], ["--session", "three"]])
def test_unknown_tasks_tiers_and_sessions_are_named(folder, tmp_path, words):
    result = run("export", folder / "tiny.yaml", "--out", tmp_path / "out", *words)
    assert isinstance(result.exception, UsageError) and repr(words[1]) in str(result.exception)


def test_clear_removes_the_prepared_sessions_and_verify_knows_of_them(exported, folder):
    run("export", folder / "tiny.yaml", "--tier", "simulated", "--format", "npz", "--out", folder / "again")
    rows = json.loads(run("verify", "--json").stdout)
    kept = [row for row in rows if row["file"] == "a prepared session"]
    assert len(kept) == 2 and all(row["intact"] for row in kept)
    assert run("clear").stdout.startswith("2 prepared sessions removed, ")
    assert list(all_prepared(default_cache())) == []

"""`harness eval` on a tier that has to be downloaded first: from a good server, and from none."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from harness.data.suites import load_suite
from tests.tiny import tiny_files, write_quick_profile, write_tiny_suite


def pinned_suite(folder: Path, archive) -> Path:
    """The tiny suite with its first session served as a DANDI asset, in tier mini."""
    path = write_tiny_suite(folder)
    files = tiny_files(load_suite(str(path)), folder / "made")
    content = yaml.safe_load(path.read_text())
    source = archive.dandi("sub-t/tiny-0.nwb", files["tiny-0"].read_bytes())
    content["sessions"] = [content["sessions"][0] | {"source": source.model_dump(), "tiers": ["mini"]}]
    path.write_text(yaml.safe_dump(content))
    return path


def evaluate(suite: Path, api: str, *, tier: str) -> subprocess.CompletedProcess:
    arguments = ["--suite", suite, "--tier", tier, "--decoder", "train-mean", "--dandi-api", api, "--json"]
    arguments += ["--profile", write_quick_profile(suite.parent)]
    command = [sys.executable, "-m", "harness", "eval", *map(str, arguments), "--store", str(suite.parent / "results")]
    environment = {**os.environ, "NEURAL_DECODER_DATA": str(suite.parent / "data")}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=False)


def test_a_tier_is_downloaded_verified_and_run(tmp_path, archive):
    suite = pinned_suite(tmp_path, archive)
    result = evaluate(suite, archive.api, tier="mini")
    assert result.returncode == 0, result.stderr
    record = json.loads(result.stdout)
    assert (record["tier"], record["simulated"], record["status"]) == ("mini", False, "ok")
    assert record["sessions"][0]["sha256"] == load_suite(str(suite)).sessions[0].source.sha256
    assert "CC0-1.0" in result.stderr


@pytest.mark.long
def test_a_second_run_asks_the_archive_for_nothing(tmp_path, archive):
    suite = pinned_suite(tmp_path, archive)
    evaluate(suite, archive.api, tier="auto")
    n_requests = len(archive.requests)
    assert evaluate(suite, archive.api, tier="auto").returncode == 0
    assert len(archive.requests) == n_requests


def test_without_a_network_there_is_one_paragraph_and_exit_code_4(tmp_path, archive):
    suite = pinned_suite(tmp_path, archive)
    with socket.create_server(("127.0.0.1", 0)) as unused:
        nowhere = f"http://127.0.0.1:{unused.getsockname()[1]}/api"
    result = evaluate(suite, nowhere, tier="mini")
    assert result.returncode == 4
    assert "Traceback" not in result.stderr
    paragraph = result.stderr.strip().splitlines()[-1]
    assert paragraph.startswith("harness: 1 file, ")
    assert "harness data add PATH" in paragraph


def test_wrong_bytes_are_never_scored(tmp_path, archive):
    suite = pinned_suite(tmp_path, archive)
    name = next(iter(archive.files))
    archive.files[name] = archive.files[name][:-1] + b"?"
    result = evaluate(suite, archive.api, tier="mini")
    assert result.returncode == 4
    assert not list((tmp_path / "results").glob("records/**/*.json"))

"""The page of performance: its ratios, its verdicts, what it says where nothing was measured; and how peers are run."""

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tools import bench_peers, performance_page
from tools.peers import environments
from tools.peers.environments import PEERS, CannotInstall, python_of, said_last
from tools.peers.texts import TEXTS
from tools.peers.timing import timed
from tools.peers.works import OURS, WORKS, Side, Work

DOCS = Path(__file__).parent.parent / "docs"
PAGE = DOCS / "performance.md"
RECORDS = performance_page.records_in(DOCS / "results")
MEASURED, BENCH = RECORDS["peers"], RECORDS["bench"]


def side(who: str, seconds: list[float], **changes):
    given = {"who": who, "seconds": seconds, "cpu_s": seconds, "peak_mb": [100.0], "start_mb": [50.0], "error": ""}
    return given | changes


def record(theirs: list[float], own: list[float], **changes):
    """A record of one work."""
    sides = {"nlb_tools": side("nlb_tools", theirs), OURS: side(OURS, own)}
    work = {"sides": sides, "pairs": [["nlb_tools", OURS]], "agreement": {}}
    return MEASURED | {"works": {"load-rtt": work}} | changes


def page(found, **changes) -> str:
    return performance_page.written(**(RECORDS | {"peers": found} | changes))


def part(text: str, title: str) -> str:
    return re.split(r"\n##+ ", text.split(f"# {title}\n")[1])[0]


def test_the_page_is_what_its_tool_writes_from_the_records():
    assert page(MEASURED) == PAGE.read_text()


def test_every_ratio_of_the_page_is_the_peers_median_over_ours():
    rows = part(PAGE.read_text(), "Beside the peers").partition("| CPU |\n")[2].splitlines()[1:]
    expected = []
    for work in MEASURED["works"].values():
        for peer, ours in work["pairs"]:
            sides = [work["sides"].get(label, {"seconds": []}) for label in (peer, ours)]
            if all(one["seconds"] for one in sides):
                a, b = (float(np.median(one["seconds"])) / one.get("per", 1) for one in sides)
                expected.append((peer, ours, a / b))
    shown = [[cell.strip("* ") for cell in row.strip("|").split("|")] for row in rows]
    assert [(cells[1], cells[2]) for cells in shown] == [(peer, ours) for peer, ours, _ in expected]
    # Two digits are shown.
    assert [float(cells[5]) for cells in shown] == [pytest.approx(ratio, rel=0.06) for *_, ratio in expected]


def test_a_peer_that_is_faster_is_named_with_its_times():
    text = page(record([0.9, 1.0, 1.1], [4.0, 4.2, 4.4]))
    assert "| **0.24** | 0.2 to 0.28 |" in text
    said = part(text, "Where a peer is faster")
    assert "**Load a session and bin it at 5 ms**: nlb_tools takes 1 s a session instead of 4.2 s" in said
    assert "4.2 times as fast" in said and "faster in 0 of 1 rows" in said


def test_rounds_that_overlap_are_no_difference():
    said = part(page(record([0.9, 1.0, 2.0], [1.5, 1.8, 1.9])), "Where a peer is faster")
    assert "In none of the rows above." in said and "No difference beyond that of the rounds: load a session" in said


def test_a_stated_time_is_that_of_one_bin_where_a_round_has_many():
    found = record([2.0], [1.0])
    found["works"]["load-rtt"]["sides"]["nlb_tools"]["per"] = 1000
    (pair,) = performance_page.pairs_of("load-rtt", found["works"]["load-rtt"])
    assert (pair.theirs_s, pair.ratio, pair.cpu) == (0.002, 0.002, 0.002)


def test_what_could_not_be_installed_or_failed_is_said_with_its_error():
    found = record([1.0], [1.0], peers=MEASURED["peers"] | {"moabb": {"why": "", "error": "ERROR: no such wheel"}})
    found["works"]["load-rtt"]["sides"]["nlb_tools"] |= {"seconds": [], "error": "KeyError: 'trials'"}
    said = part(page(found), "Where a peer is faster")
    assert "- moabb could not be installed: `ERROR: no such wheel`" in said
    assert "- Load a session and bin it at 5 ms, nlb_tools: `KeyError: 'trials'`" in said


@pytest.mark.parametrize(("cpu_s", "word"), [(0.95, "a core of one's own"), (0.3, "Other programs ran")])
def test_a_machine_on_which_work_had_to_wait_is_called_busy(cpu_s, word):
    found = record([1.0], [1.0])
    for one in found["works"]["load-rtt"]["sides"].values():
        one["cpu_s"] = [cpu_s]
    assert word in page(found)


def test_targets_are_shown_with_their_verdict():
    row = {"what": "`harness --help`", "target": "<= 0.3 s", "measured": 0.21, "limit": 0.3, "unit": "s"}
    text = part(page(MEASURED, bench=BENCH | {"rows": [row, row | {"measured": 0.31}]}), "Targets")
    assert "| `harness --help` | <= 0.3 s | 0.21 s | yes |" in text and "| 0.31 s | **no** |" in text
    assert "1 of 2 are met" in text


def test_every_target_of_the_design_has_a_row():
    shown = part(PAGE.read_text(), "Targets")
    for what in (
        *(
            "overhead per streamed bin",
            "harness --help",
            "import harness",
            "first run",
            "from finished cells",
            "10,000",
        ),
        *(
            "chunked scan",
            "one thread, a 10 ms bin",
            "counting operations",
            "prepared cache",
            "two local workers",
            "floor",
        ),
    ):
        assert what in shown, what


def test_an_update_is_compared_with_its_arithmetic():
    text = part(PAGE.read_text(), "Training")
    for loop in RECORDS["training"]["loops"]:
        assert f"| {loop['decoder']} | {loop['name']} | {loop['ms']:.1f} |" in text
        assert f"| {loop['ms'] / loop['bare_ms']:.1f} |" in text


def test_every_work_has_a_text_and_its_pairs_are_sides_of_it():
    assert {work.name for work in WORKS} == set(TEXTS)
    for work in WORKS:
        labels = [one.label for one in work.sides]
        assert len(set(labels)) == len(labels)
        assert {label for pair in work.pairs for label in pair} <= set(labels)


def test_all_works_and_all_peers_were_measured():
    assert set(MEASURED["works"]) == set(TEXTS) and set(MEASURED["peers"]) == set(PEERS)
    measured = {one["who"] for work in MEASURED["works"].values() for one in work["sides"].values() if one["seconds"]}
    refused = {name for name, peer in MEASURED["peers"].items() if peer["error"]}
    assert measured | refused == {OURS, *PEERS}


def test_both_sides_did_the_same_work():
    arrays = {(work, name): one for work, of in MEASURED["works"].items() for name, one in _agreed(of)}
    assert len(arrays) >= 5
    for (_, name), one in arrays.items():
        assert one["difference"] <= (0 if name == "counts" else 1e-4)
    for name in ("count-reaching", "count-wide", "count-bins"):
        results = [one["result"] for one in MEASURED["works"][name]["sides"].values()]
        assert len({tuple(r[kind] for kind in ("macs", "acs", "dense")) for r in results}) == 1


def _agreed(work):
    return [pair for arrays in work["agreement"].values() for pair in arrays.items()]


def test_the_record_holds_no_path_and_no_address_of_the_machine_that_made_it():
    text = (DOCS / "results" / "peers.json").read_text()
    assert re.findall(r"(?<![\w.])/\w[\w.-]*/|://", text) == []


@pytest.mark.parametrize(
    ("text", "last"),
    [
        (
            "ERROR: Could not find a version of https://host.example/simple/x\n",
            "ERROR: Could not find a version of ...",
        ),
        ("Traceback\nKeyError: 'a'\nWARNING: nothing\n", "KeyError: 'a'"),
        ("FileNotFoundError: [Errno 2]: '/home/me/x.nwb'\nnote: bye\n", "FileNotFoundError: [Errno 2]: '...'"),
        ("", "no message"),
    ],
)
def test_an_error_is_kept_without_where_it_happened(text, last):
    assert said_last(text) == last


def test_an_environment_is_made_again_only_where_its_list_has_changed(tmp_path, monkeypatch):
    told = []

    def run(command, **kwargs):
        told.append(command)
        if "venv" in command:
            python = Path(command[-1]) / "bin" / "python"
            python.parent.mkdir(parents=True)
            python.touch()
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(environments.subprocess, "run", run)
    python_of("nlb_tools", tmp_path)
    assert [command[-1] for command in told[1:]] == ["pynwb", "nlb_tools==0.0.4"] and "--no-deps" in told[2]
    python_of("nlb_tools", tmp_path)
    assert len(told) == 3
    monkeypatch.setitem(PEERS, "nlb_tools", replace(PEERS["nlb_tools"], alone=("nlb_tools==0.0.3",)))
    python_of("nlb_tools", tmp_path)
    assert told[-1][-1] == "nlb_tools==0.0.3"


def test_an_environment_that_failed_is_tried_again(tmp_path, monkeypatch):
    def refuse(command, **kwargs):
        return subprocess.CompletedProcess(command, int("pip" in command), "", "ERROR: No matching distribution\n")

    monkeypatch.setattr(environments.subprocess, "run", refuse)
    for _ in range(2):
        with pytest.raises(CannotInstall, match="No matching distribution"):
            python_of("moabb", tmp_path)


def test_a_side_that_fails_does_not_end_the_others(tmp_path):
    sides = (
        Side("works", OURS, ("-c", "pass"), whole=True),
        Side("fails", OURS, ("-c", "raise KeyError(1)"), whole=True),
    )
    found = bench_peers._measure(Work("import", sides, ()), {OURS: Path(sys.executable)}, tmp_path, 2)["sides"]
    assert len(found["works"]["seconds"]) == 2 and not found["works"]["error"]
    assert found["fails"]["seconds"] == [] and found["fails"]["error"] == "KeyError: 1"


def test_arrays_are_compared_where_both_sides_know_them():
    theirs, own = np.array([[1.0, 2.0], [np.nan, 4.0]]), np.array([[1.0, 2.5], [3.0, 4.0]])
    assert bench_peers._compared(theirs, own) == {"shapes": [(2, 2), (2, 2)], "equal": 0.75, "difference": 0.125}
    assert bench_peers._compared(theirs, own[:1])["difference"] is None


def test_rounds_that_warm_up_do_not_count():
    calls = []
    rounds = timed(lambda: calls.append(1), rounds=2, warm=1)
    assert len(calls) == 3 and len(rounds.seconds) == len(rounds.cpu_s) == 2

"""Every decoder that is shipped, held to the contract and to the audit; trained for a moment only, for speed."""

import dataclasses
from importlib.metadata import entry_points

import pytest

from harness.judge import cell
from harness.judge.cell import Candidate
from harness.judge.conformance import run_checks
from harness.registry import find
from tests.judging import PACED, recording, strict

SHIPPED = sorted(point.name for point in entry_points(group="harness.decoders") if point.value.startswith("baselines."))
FAMILIES = (
    "hybrid-snn-srt-causal",
    "hybrid-snn-rt",
    "gru-t2",
    "tiny-rsnn",
    "snn3d",
    "transformer",
    "mamba2",
    "possm",
    "mint",
)
MOMENT = {"updates": 6, "pretrain_updates": 4, "read_in_updates": 3}


def briefly(name: str) -> dict[str, int]:
    """As few updates as its fields let it have."""
    kind = next(iter(entry_points(group="harness.decoders", name=name))).load()
    fields = {f.name for f in dataclasses.fields(kind)}
    return {field: n for field, n in MOMENT.items() if field in fields}


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_decoder_keeps_the_contract(name):
    results = run_checks(find(name), briefly(name))
    assert [(r.name, r.message) for r in results if r.status == "failed"] == []
    assert sum(r.status == "ok" for r in results) >= 20


@pytest.mark.parametrize("name", FAMILIES)
def test_each_family_passes_the_audit(name):
    r, one = recording(), Candidate(find(name), briefly(name), True, strict())
    tested = cell.test(one, cell.fit(one, [r], [r]), r, PACED)
    assert tested.status == "ok", tested.error
    assert {rule: f.why for rule, f in tested.findings.items() if not f.ok} == {}
    assert tested.operations.how == "counted", tested.operations.why

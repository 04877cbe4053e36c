"""Every decoder that is shipped, held to the contract and to the audit; trained for a moment only, for speed."""

import dataclasses
from dataclasses import replace
from importlib.metadata import entry_points

import numpy as np
import pytest

from harness import Decoder
from harness.judge import artifact, cell, conformance_case
from harness.judge.cell import Candidate
from harness.judge.conformance import run_checks
from harness.judge.conformance_data import make_data
from harness.registry import find
from harness.score.metrics import metric
from tests.cases import long_but
from tests.judging import ASKED, recording, strict

KINDS = {point.name: point for point in entry_points(group="harness.decoders") if point.value.startswith("baselines.")}
FAMILIES = ("wiener", "gru", "hybrid-snn-srt-causal", "sgru-t2", "tiny-rsnn", "snn3d", "transformer", "possm", "mint")
FAMILIES += ("lfp-ridge", "lfp-lstm", "realm", "crossmodal-causal")
FAMILIES += ("filter-bank-csp", "tangent-space", "eegnet", "dlink")
AUDITED = (
    "wiener",
    "gru",
    "hybrid-snn-srt-causal",
    "possm",
    "mint",
    "lfp-ridge",
    "realm",
    "tangent-space",
    "eegnet",
    "dlink",
)
"""One of each way to stream; the contract, which all families are held to, asks for more than the audit does."""
IN_EVERY_RUN = ("wiener", "realm")
"""The others take long, a network trained several times each."""
IN_REAL_TIME = ("gru", "lfp-ridge", "eegnet")
DECLARED = ("tangent-space",)
"""They need what cannot be counted, such as eigenvalues, and say in `cost()` what it takes."""
MOMENT = {"updates": 6, "pretrain_updates": 4, "adapt_updates": 4, "read_in_updates": 3, "preset": "tiny"}


def briefly(name: str) -> dict[str, int | str]:
    """As few updates, or as small a preset, as its fields let it have."""
    fields = {f.name for f in dataclasses.fields(KINDS[name].load())}
    return {field: value for field, value in MOMENT.items() if field in fields}


@pytest.mark.parametrize("name", sorted(KINDS))
def test_streaming_equals_the_batch_also_from_the_artefact(name):
    data, decoder = make_data(KINDS[name].load().inputs or ("spikes",)), KINDS[name].load()(**briefly(name))
    if not decoder.causal:
        pytest.skip("it looks ahead, so there is no streaming")
    decoder.fit([data.train], [data.validation])
    restored = KINDS[name].load()(**briefly(name))
    learned = artifact.pack(decoder.state(), bits=dict(decoder.cost(data.test.session).bits) if costs(decoder) else {})
    restored.restore(artifact.unpack(learned), [data.train.session])
    batch = decoder.predict(data.test.inputs, data.test.session)
    stream = Decoder.predict(restored, data.test.inputs, data.test.session)
    assert np.abs(batch - stream).max() <= 1e-4 * np.abs(stream).max()


def costs(decoder: Decoder) -> bool:
    return type(decoder).cost is not Decoder.cost


@pytest.mark.parametrize("name", long_but(IN_EVERY_RUN, FAMILIES))
def test_one_of_each_family_keeps_the_contract(name, monkeypatch):
    monkeypatch.setattr(conformance_case, "LONG_LIMIT_S", 1.0)
    results = run_checks(find(name), briefly(name))
    assert [(r.name, r.message) for r in results if r.status == "failed"] == []
    assert sum(r.status == "ok" for r in results) >= 20


@pytest.mark.parametrize("name", long_but(IN_EVERY_RUN, AUDITED))
def test_one_of_each_family_passes_the_audit(name):
    r, one = recording(KINDS[name].load().inputs), Candidate(find(name), briefly(name), True, strict())
    scored_by = metric("balanced_accuracy") if r.session.kind == "classification" else ASKED.metric
    asked = replace(ASKED, metric=scored_by, paced=name in IN_REAL_TIME)
    tested = cell.test(one, cell.fit(one, [r], [r]), r, asked)
    assert tested.status == "ok", tested.error
    assert {rule: f.why for rule, f in tested.findings.items() if not f.ok} == {}
    assert tested.operations.how == ("declared" if name in DECLARED else "counted"), tested.operations.why

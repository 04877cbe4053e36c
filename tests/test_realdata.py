"""The whole way on real recordings: what is known of them must come out."""

import pytest

from harness.data.download import locate
from harness.data.suites import Suite, load_suite
from harness.evaluate import evaluate
from harness.plan import Plan
from harness.registry import find
from harness.results.store import Store
from tests.tiny import Quiet, quick_profile


@pytest.fixture
def stevenson(root) -> Suite:
    """The suite of real recordings, narrowed to one."""
    suite = load_suite(str(root / "datasets" / "suites" / "realdata-reaching.yaml"))
    return suite.model_copy(update={"sessions": tuple(s for s in suite.sessions if s.id == "stevenson-2011")})


@pytest.mark.parametrize("decoder, at_least", [("train-mean", -0.01), ("wiener", 0.74), ("gru", 0.86)])
def test_hand_velocity_is_decoded_as_well_as_is_known(stevenson, realdata, cache, tmp_path, decoder, at_least):
    files = locate(stevenson.sessions, cache, data_root=realdata)
    plan = Plan(stevenson, "local", files, [find(decoder)], quick_profile(), Store(tmp_path), seeds=[42])
    record = evaluate(plan, Quiet())[0]
    assert record.status == "ok", record.error
    assert record.scores["r2"].value >= at_least
    assert record.sessions[0].n_scored_bins == 3107

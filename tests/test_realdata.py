"""The whole way on real recordings: what is known of them must come out."""

import h5py
import numpy as np
import pytest
import scipy.signal

from harness.data.align import align
from harness.data.download import locate
from harness.data.nwb import Wanted, read_contents
from harness.data.protocol import Butterworth, Layout, SignalAt, SignalStream, TargetAt, Task
from harness.data.suites import Suite, load_suite
from harness.evaluate import evaluate
from harness.plan import Plan
from harness.registry import find
from harness.results.store import Store
from tests.cases import long_but
from tests.nwb_files import session
from tests.tiny import Quiet, quick_profile

KNOWN = {"train-mean": -0.01, "wiener": 0.74, "gru": 0.86}


@pytest.fixture
def stevenson(root) -> Suite:
    """The suite of real recordings, narrowed to one."""
    suite = load_suite(str(root / "datasets" / "suites" / "realdata-reaching.yaml"))
    return suite.model_copy(update={"sessions": tuple(s for s in suite.sessions if s.id == "stevenson-2011")})


@pytest.mark.parametrize("decoder, at_least", long_but([("wiener", 0.74)], KNOWN.items()))
def test_hand_velocity_is_decoded_as_well_as_is_known(stevenson, realdata, cache, tmp_path, decoder, at_least):
    files = locate(stevenson.sessions, cache, data_root=realdata)
    plan = Plan(stevenson, "local", files, [find(decoder)], quick_profile(), Store(tmp_path), seeds=[42])
    record = evaluate(plan, Quiet())[0]
    assert record.status == "ok", record.error
    assert record.scores["r2"].value >= at_least
    assert record.sessions[0].n_scored_bins == 3107


@pytest.mark.parametrize("decoder", long_but(["lfp-ridge"], ["lfp-ridge", "lfp-wiener"]))
def test_field_potentials_of_a_person_are_read_filtered_and_streamed(root, realdata, cache, tmp_path, decoder):
    suite = load_suite(str(root / "datasets" / "suites" / "realdata-lfp.yaml"))
    files = locate(suite.sessions, cache, data_root=realdata)
    plan = Plan(suite, "local", files, [find(decoder)], quick_profile(), Store(tmp_path), seeds=[42])
    record = evaluate(plan, Quiet())[0]
    assert record.status == "ok", record.error
    assert record.audit["preparation_is_causal"].ok and record.audit["future_has_no_effect"].ok
    assert record.sessions[0].n_scored_bins == 475
    assert record.delays_ms["filter"] == pytest.approx(9.24 if decoder == "lfp-ridge" else 0, abs=0.01)


def test_trials_of_a_monkey_with_gaps_between_are_filtered_one_by_one(realdata):
    """403 trials of 0.8 s at 2 kHz; the truth is SciPy, trial by trial."""
    path = realdata / "umi_premotor_lfp" / "umi_premotor_lfp.nwb"
    where = "processing/ecephys/LFP/lfp"
    layout = Layout(targets={"v": TargetAt(path=where, outputs=("v",))}, signals={"lfp": SignalAt(path=where)})
    slow = SignalStream(signal="lfp", samples_per_bin=1, low_pass=Butterworth(order=4, hz=45))
    task = Task(inputs=("lfp",), target="v", bin_s=0.01, signals={"lfp": slow})
    contents = read_contents(path, layout, "v", Wanted(spikes=False, signals=("lfp",), trial_columns=()))
    inputs = align(contents, session(), task=task, layout=layout).recording.inputs
    assert inputs.starts.sum() == 403 and len(inputs) == 403 * 80
    with h5py.File(path) as file:
        data = file[where + "/data"]
        raw = data[:1600, 0].astype(float) * data.attrs["conversion"] * 1e6
    sos = scipy.signal.butter(4, 45, fs=2000, output="sos")
    expected, _ = scipy.signal.sosfilt(sos, raw, zi=scipy.signal.sosfilt_zi(sos) * raw[0])
    assert np.allclose(inputs.streams["lfp"][:79, 0, 0], expected[20:1600:20], rtol=1e-4, atol=1e-3)

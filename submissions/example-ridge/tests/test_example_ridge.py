"""The decoder learns what there is to learn, and streams what it says of whole recordings."""

import numpy as np
from example_ridge.decoder import ExampleRidge

from harness import Decoder, Inputs, Recording, SessionInfo, StreamInfo


def recording(n_bins, seed):
    """Counts of ten units, and a velocity that is a line through those of the last bin."""
    counts = np.random.default_rng(seed).poisson(2.0, (n_bins, 10)).astype(np.float32)
    weights = np.random.default_rng(0).normal(size=(10, 2))
    session = SessionInfo("made-up", "nobody", {"spikes": StreamInfo(10)}, 0.02, ("x", "y"))
    inputs = Inputs({"spikes": counts}, np.arange(n_bins) == 0, 0.02)
    return Recording(session, inputs, (counts @ weights).astype(np.float32), np.ones(n_bins, bool))


def test_it_learns_a_line_and_streams_what_it_predicts():
    decoder, test = ExampleRidge(), recording(300, 2)
    decoder.fit([recording(2000, 0)], [recording(400, 1)])
    answers = decoder.predict(test.inputs, test.session)
    error, spread = ((answers - test.targets) ** 2).sum(), ((test.targets - test.targets.mean(0)) ** 2).sum()
    assert 1 - error / spread > 0.7
    np.testing.assert_allclose(Decoder.predict(decoder, test.inputs, test.session), answers, atol=1e-3)

"""Choosing on validation: along an ordered ladder, against looking at every value of it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from baselines.choose import uphill
from baselines.wiener import PENALTIES_PER_BIN, USUAL_PENALTY, Wiener
from harness.judge.conformance_data import make_data

HEIGHTS = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=9, unique=True).map(sorted)


@given(left=HEIGHTS, right=HEIGHTS, start=st.integers(0, 17))
def test_of_one_peak_the_top_is_found_from_everywhere(left, right, start):
    hill = dict(enumerate([*left, 2e6, *right[::-1]]))
    assert uphill(list(hill), min(start, len(hill) - 1), hill.__getitem__) == len(left)


@pytest.mark.parametrize("height", [0.0, -np.inf, np.nan])
def test_where_scores_tell_nothing_the_start_is_kept(height):
    assert uphill("abc", "b", lambda _: height) == "b"


def test_of_two_peaks_the_near_one_is_kept_and_nothing_beyond_it_is_looked_at():
    looked_at = []

    def score(place):
        looked_at.append(place)
        return [9, 0, 1, 2, 1, 0, 9][place]

    assert uphill(range(7), 2, score) == 3
    assert set(looked_at) == {2, 3, 4}


def test_a_wiener_filter_without_validation_takes_the_usual_penalty_and_all_of_its_history():
    data = make_data(("spikes",))
    alone, told = Wiener(), Wiener(alpha=USUAL_PENALTY * data.train.scored.sum())
    alone.fit([data.train], [])
    told.fit([data.train], [])
    assert USUAL_PENALTY in PENALTIES_PER_BIN
    assert list(PENALTIES_PER_BIN) == sorted(PENALTIES_PER_BIN)
    assert np.array_equal(alone.weights_, told.weights_)
    assert alone.weights_.shape[1] == round(alone.history_s / data.train.session.bin_s) * len(alone.mean_)

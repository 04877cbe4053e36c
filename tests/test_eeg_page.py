"""The page of EEG claims: what it compares, what it draws."""

import numpy as np
import pytest

from harness.data.suites import load_suite
from harness.results.records import Trials
from leaderboard_app.published import published
from tests.records_factory import make_decoder, make_record, make_session
from tools import comparisons, eeg_page

OFFSETS_S = tuple((0.1 * np.arange(1, 41)).round(3).tolist())


def record(name: str, scores: list[float], **changes):
    """A record of some subjects whose accuracy rises from chance to this score at 2 s."""
    sessions = []
    for i, score in enumerate(scores):
        curve = tuple(0.5 + (score - 0.5) * min(1.0, t / 2.0) for t in OFFSETS_S)
        trials = Trials(classes=("l", "r"), confusion=((5, 1), (2, 7)), offset_s=OFFSETS_S, balanced_accuracy=curve)
        sessions.append(make_session(f"S{i}", score).model_copy(update={"trials": trials}))
    decoder = make_decoder(name)
    given = {"suite": "eeg-motor-imagery-cross-subject@1", "chance": 0.5, "sessions": sessions, **changes}
    return make_record(name, decoder=decoder, **given)


def test_every_decoder_of_a_comparison_is_in_the_suites_own_set():
    named = {n for group in eeg_page.COMPARED.values() for c in group for n in (c.better, c.worse)}
    for suite in (eeg_page.WITHIN, eeg_page.ACROSS):
        assert named <= set(load_suite(suite).decoders)


def test_claims_are_verdicts_over_subjects():
    records = [record("dlink", [0.8, 0.7, 0.9]), record("dlink-labels", [0.6, 0.52, 0.69])]
    text = "\n".join(comparisons.claims(records, eeg_page.COMPARED, {}, score="bal. acc."))
    assert "| dlink (1) / dlink-labels (1) | 0.800 | 0.603 | +0.197 |" in text and "| 3 of 3 | **holds** |" in text
    assert "not run" in text


def test_the_picture_and_the_table_of_a_real_subject_come_from_the_records(tmp_path):
    records = [record("tangent-space", [0.9], simulated=False, tier="s001")]
    board = eeg_page.Board.of(records[0])
    table, picture = eeg_page.real(board, records, tmp_path)
    assert "| tangent-space | " in table and "| 0.900 |" in table
    (drawn,) = tmp_path.iterdir()
    assert drawn.name in picture and drawn.stat().st_size > 5000


def test_a_curve_is_the_mean_over_subjects_and_seeds():
    at = eeg_page._curve([record("dlink", [0.7, 0.9]), record("dlink", [0.9, 0.9], seed=7)])
    assert at[2.0] == pytest.approx(0.85) and at[1.0] == pytest.approx(0.675) and len(at) == 40


def test_published_numbers_beside_are_of_the_same_data_set():
    across, within = published("eeg-motor-imagery-cross-subject@1"), published("eeg-motor-imagery@1")
    assert set(across["dataset"]) == {"PhysioNet-MI 4-class"} and set(within["dataset"]) == {"PhysionetMI"}
    assert {"CBraMod", "EEGNet"} <= {name.split(" ")[0] for name in across["method"]}

"""Far larger use: what is simulated holds against closed forms, and the page says what was measured."""

import json
from pathlib import Path

import pytest

from tests.records_factory import make_record
from tools import scale, scale_page

ROOT = Path(__file__).parents[1]


def test_places_share_jobs_as_by_hand():
    assert scale.makespan_s([3.0, 3.0, 2.0, 2.0, 2.0], 2) == 7.0  # the longest first: 3 2 2 and 3 2
    assert scale.makespan_s([1.0] * 12, 4) == 3.0
    assert scale.makespan_s([], 4) == 0.0


def test_equal_decoders_take_what_a_division_says():
    costs = [scale.Cost("one", learn_s=36.0, test_s=9.0)]
    found = scale.simulate(costs, n_decoders=16, n_recordings=100, n_machines=2, alone=0.25)
    assert found.cells == 16 * 100 * scale.SEEDS
    assert found.learn_h == pytest.approx(found.cells * 36 / (2 * scale.CORES) / 3600, rel=0.01)
    test_s = 9 * (1 / 4 + 3 / 4 / scale.CORES)
    assert found.test_h == pytest.approx(found.cells * test_s / 2 / 3600, rel=0.01)
    expected = (36 + 9) / (2 * scale.CORES) / (36 / (2 * scale.CORES) + test_s / 2)
    assert found.busy == pytest.approx(expected, rel=0.01)


def test_more_machines_never_take_longer():
    costs = [scale.Cost("slow", 90.0, 20.0), scale.Cost("quick", 1.0, 4.0)]
    hours = [sum(_hours(scale.simulate(costs, 40, 30, n, alone=0.5))) for n in (1, 2, 8)]
    assert hours == sorted(hours, reverse=True) and hours[0] > 7 * hours[2]


def _hours(schedule: scale.Schedule) -> tuple[float, float]:
    return schedule.learn_h, schedule.test_h


def test_the_share_that_is_timed_is_of_whole_runs():
    quick = {"first": {"alone": 5.0, "whole": 6.0}, "others": {"alone": 1.0, "whole": 2.0}}
    slow = {"first": {"alone": 9.0, "whole": 10.0}, "others": {"alone": 1.0, "whole": 10.0}}
    assert scale.alone_share({"quick": quick}, 3) == (5 + 2) / (6 + 4)
    assert scale.alone_share({"quick": quick, "slow": slow, "slower": slow}, 1) == 0.9


def test_a_cost_is_of_one_recording_and_failed_runs_have_none():
    ok, failed = make_record(seconds=50.0, learning=[]), make_record(status="failed", seconds=900.0)
    (cost,) = scale.costs_of([ok, failed])
    assert (cost.learn_s, cost.test_s) == (0.0, 25.0)


def test_the_page_is_what_the_script_writes_from_what_was_measured():
    found = json.loads((ROOT / "docs" / "results" / "scale.json").read_text())
    assert (ROOT / "docs" / "scale.md").read_text() == scale_page.page(found)
    assert {(s["decoders"], s["recordings"]) for s in found["schedules"]} == set(scale.USES)

"""The board over ten thousand records: time to the first table (target: 1.5 s) and after a filter (0.3 s)."""

import sys
from pathlib import Path

import numpy as np
import pytest

from harness.results.store import Store
from leaderboard_app.pairs import tie_groups
from leaderboard_app.reading import listing
from tests.perf.rows import keep
from tests.records_factory import make_decoder, make_judged, make_session
from tests.test_pairs import run

APP = Path(__file__).parents[2] / "leaderboard_app" / "app.py"
N_SUITES, N_TIERS, N_DECODERS, N_SEEDS = 4, 5, 100, 5


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """Twenty boards of a hundred decoders with five seeds each, on five recordings; indexed."""
    root = tmp_path_factory.mktemp("many")
    store = Store(root)
    for i in range(N_SUITES * N_TIERS * N_DECODERS * N_SEEDS):
        rest, seed = divmod(i, N_SEEDS)
        rest, i_decoder = divmod(rest, N_DECODERS)
        i_suite, i_tier = divmod(rest, N_TIERS)
        name, score = f"decoder-{i_decoder:03d}", 0.3 + i_decoder / 400 + seed / 1000
        record = make_judged(
            name,
            score,
            seed=seed,
            suite=f"made-up-{i_suite}@1",
            tier=f"tier-{i_tier}",
            sessions=[make_session(f"made-up-{k}", score + k / 100) for k in range(5)],
            decoder=make_decoder(name, parameters={"seed": seed, "history_bins": 10}),
        )
        path = store.record_path(record)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(record.model_dump_json(by_alias=True))
    assert len(listing(root).rows) == 10_000
    return root


@pytest.fixture
def page(many, monkeypatch):
    from streamlit.testing.v1 import AppTest

    monkeypatch.setattr(sys, "argv", ["app.py", "--store", str(many)])
    return AppTest.from_file(str(APP), default_timeout=60)


def test_first_table(page, benchmark):
    def first():
        import streamlit as st

        st.cache_resource.clear()
        return page.run()

    shown = benchmark.pedantic(first, rounds=5, warmup_rounds=1)
    keep(benchmark, "leaderboard of 10,000 records: first table", benchmark.stats.stats.median, limit=1.5, unit="s")
    assert not shown.exception and len(shown.dataframe[0].value) > 100


def test_filter(page, benchmark):
    page.run()
    limits = iter(["10 k", "100 k", "1 M", "10 M", "any"] * 2)

    def narrow():
        return page.select_slider(key="most-parameters").set_value(next(limits)).run()

    shown = benchmark.pedantic(narrow, rounds=8, warmup_rounds=1)
    keep(benchmark, "leaderboard of 10,000 records: a filter", benchmark.stats.stats.median, limit=0.3, unit="s")
    assert not shown.exception and len(shown.dataframe[0].value) > 100


def test_a_hundred_runs_of_ten_recordings_are_grouped(benchmark):
    noise = np.random.default_rng(8)
    runs = [run(f"d{i}", list(0.008 * i + noise.normal(0, 0.001, 10))) for i in range(100)]
    groups = benchmark(tie_groups, runs, True)
    assert len(groups) > 50
    what = "ranks that are shared: 100 runs of ten recordings in groups"
    keep(benchmark, what, benchmark.stats.stats.median, limit=0.05, unit="s")

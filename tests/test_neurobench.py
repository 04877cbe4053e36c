"""Our counts against NeuroBench's own numbers where that harness is right, and closed forms where it is not."""

import pytest

from tools.cost_table import MARKS, expected, ours, peers, table

PEERS = peers()
WITH_ACTIVATIONS = [name for name, peer in PEERS.items() if peer["activation_sparsity"]]
READ_OFF_STATE = [name for name, peer in PEERS.items() if peer["connection_sparsity"] is not None]


@pytest.mark.parametrize("name", PEERS)
def test_products_of_a_network_are_as_many_as_they_are(name):
    own = ours(name)
    for field in ("effective_macs", "effective_acs", "dense"):
        assert getattr(own, field) == pytest.approx(expected(PEERS[name], field), rel=1e-12), field


@pytest.mark.parametrize("name", WITH_ACTIVATIONS)
def test_activation_sparsity_is_the_peers(name):
    assert ours(name).activation_sparsity == pytest.approx(PEERS[name]["activation_sparsity"], abs=1e-12)


@pytest.mark.parametrize("name", READ_OFF_STATE)
def test_footprint_and_connection_sparsity_are_the_peers(name):
    own, peer = ours(name), PEERS[name]
    assert own.footprint == peer["footprint"]
    assert own.connection_sparsity == pytest.approx(peer["connection_sparsity"], abs=5e-5)


def test_the_peer_is_right_and_wrong_often_enough_for_this_to_mean_something():
    assert sum(peer["right"] for peer in PEERS.values()) >= 10
    assert PEERS["gru"]["dense"] == 64
    assert expected(PEERS["gru"], "dense") == 12_352


def test_the_table_in_the_documentation_is_what_we_count(root):
    text = (root / "docs" / "cost.md").read_text()
    assert text.partition(MARKS[0])[2].partition(MARKS[1])[0].strip() == table()

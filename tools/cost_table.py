"""The table of docs/cost.md, our counts beside NeuroBench's: `PYTHONPATH=. python tools/cost_table.py docs/cost.md`.

It counts the networks of tools/neurobench_oracle.py here and takes the peer's numbers from the committed file.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from harness.judge.count.in_torch import counting, storages
from harness.judge.count.tally import Tally
from harness.score.cost import footprint_bytes
from tools.neurobench_oracle import CASES

PEER = Path(__file__).parent.parent / "tests" / "golden" / "neurobench-2.3.json"
MARKS = ("<!-- counted: begin -->", "<!-- counted: end -->")
COLUMNS = ("network", "MACs", "ACs", "dense", "peer: MACs", "ACs", "dense", "what the peer misses")


@dataclass(frozen=True)
class Ours:
    """What we count of one network, per sample as the peer does; sparsity is None without such a layer."""

    effective_macs: float
    effective_acs: float
    dense: float
    elementwise: float
    activation_sparsity: float | None
    connection_sparsity: float | None
    footprint: int


def ours(name: str) -> Ours:
    """Count one of the networks."""
    network, batches = CASES[name].build()
    tally, learned = Tally(), storages(network)
    with torch.inference_mode():
        for batch in batches:
            with counting(tally, learned):
                network(batch)
    n = sum(len(batch) for batch in batches)
    kept = {key: value.numpy() for key, value in network.state_dict().items() if isinstance(value, torch.Tensor)}
    return Ours(
        tally.macs / n,
        tally.acs / n,
        tally.dense / n,
        tally.elementwise / n,
        tally.activation_sparsity,
        tally.connection_sparsity,
        footprint_bytes(kept),
    )


def peers() -> dict[str, dict[str, Any]]:
    """The peer's committed numbers, by network."""
    found: dict[str, dict[str, Any]] = json.loads(PEER.read_text())["networks"]
    return found


def expected(peer: dict[str, Any], name: str) -> float:
    """A number of contractions: the closed form where the peer is wrong, else the peer's without its gates."""
    right = peer["true"].get(name, peer[name] - peer["gates"].get(name, 0))
    return float(right)


def table() -> str:
    """Markdown."""
    rows = [COLUMNS, ("---",) * len(COLUMNS)]
    for name, peer in peers().items():
        own = ours(name)
        numbers = [own.effective_macs, own.effective_acs, own.dense]
        numbers += [peer[key] for key in ("effective_macs", "effective_acs", "dense")]
        rows.append((name.replace("_", " "), *(f"{n:,.6g}" for n in numbers), peer["why"]))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def main(path: Path) -> None:
    """Write the table between its marks."""
    before, _, rest = path.read_text().partition(MARKS[0])
    after = rest.partition(MARKS[1])[2]
    path.write_text(f"{before}{MARKS[0]}\n{table()}\n{MARKS[1]}{after}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""How long a command takes before it does anything: fresh processes, beside a bare interpreter's start."""

import subprocess
import sys
from pathlib import Path
from statistics import median

import pytest

from tests.perf.rows import keep, seconds

ROUNDS = 11
HARNESS = str(Path(sys.executable).with_name("harness"))
COMMANDS = {
    "harness --help": [HARNESS, "--help"],
    "harness list decoders": [HARNESS, "list", "decoders"],
    "harness list suites": [HARNESS, "list", "suites"],
    "harness list sessions": [HARNESS, "list", "sessions"],
}
IMPORTS = {
    "import harness": "import harness",
    "from harness import Decoder": "from harness import Decoder",
}


def once_s(command: list[str]) -> float:
    return seconds(lambda: subprocess.run(command, check=True, capture_output=True))


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_answers_within_300_ms(name, benchmark):
    bare = median(once_s([sys.executable, "-c", ""]) for _ in range(ROUNDS))
    benchmark.pedantic(once_s, (COMMANDS[name],), rounds=ROUNDS, warmup_rounds=2)
    benchmark.extra_info["bare_interpreter_s"] = bare
    keep(benchmark, f"`{name}`", benchmark.stats.stats.median, limit=0.3, unit="s")


@pytest.mark.parametrize("name", IMPORTS)
def test_the_package_is_imported_within_200_ms(name, benchmark):
    """The import alone: the interpreter's own start is taken off."""
    bare = median(once_s([sys.executable, "-c", ""]) for _ in range(ROUNDS))
    benchmark.pedantic(once_s, ([sys.executable, "-c", IMPORTS[name]],), rounds=ROUNDS, warmup_rounds=2)
    keep(benchmark, f"`{name}`", benchmark.stats.stats.median - bare, limit=0.2, unit="s")

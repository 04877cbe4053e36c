"""Which works are measured, and who does them in which process."""

from dataclasses import dataclass

OURS = "harness"
"""Name of the project's own environment."""


FALCONS_SAMPLE = """
import runpy, sys, decoder_demos
folder = decoder_demos.__path__[0]
sys.path.insert(0, folder)
sys.argv = ["sklearn_sample.py", "--help"]
runpy.run_path(f"{folder}/sklearn_sample.py", run_name="__main__")
"""
"""FALCON's documentation starts it as a file; it is in the package's wheel."""


@dataclass(frozen=True)
class Side:
    """One way to do a work.

    label: Of the row in the results.
    who: OURS, or a peer of `tools.peers.environments.PEERS`.
    arguments: After `python`; WORK, inputs and output are added for a module that times itself.
    whole: The whole process is timed from outside, instead of a part of it by itself.
    """

    label: str
    who: str
    arguments: tuple[str, ...]
    whole: bool = False


@dataclass(frozen=True)
class Work:
    """The same work by all sides.

    pairs: Labels of a peer and of ours that are put beside each other.
    rounds: How often at most; None for as often as asked for.
    """

    name: str
    sides: tuple[Side, ...]
    pairs: tuple[tuple[str, str], ...]
    rounds: int | None = None


def _measured(label: str, who: str, module: str, work: str) -> Side:
    return Side(label, who, ("-m", f"tools.peers.{module}", work))


def _imported(module: str, who: str) -> Side:
    return Side(f"import {module}", who, ("-c", f"import {module}"), whole=True)


def _load(name: str, peer: str, module: str) -> Work:
    sides = (_measured(peer, peer, module, name), _measured(OURS, OURS, "ours_load", name))
    return Work(name, sides, ((peer, OURS),))


def _stream(name: str, peer: str, module: str, also: dict[str, str] | None = None) -> Work:
    """`also`: further labels of the peer, and the works of its module behind them."""
    peers = {peer: _measured(peer, peer, module, name)}
    peers |= {label: _measured(label, peer, module, work) for label, work in (also or {}).items()}
    ours = {f"{OURS}, judged": name, f"{OURS}, in one process": f"{name}-here"}
    sides = (*peers.values(), *(_measured(label, OURS, "ours_stream", work) for label, work in ours.items()))
    return Work(name, sides, tuple((peer, label) for peer in peers for label in ours))


def _count(name: str) -> Work:
    peer = "neurobench"
    sides = (_measured(peer, peer, "with_neurobench", name), _measured(OURS, OURS, "ours_count", name))
    return Work(name, sides, ((peer, OURS),))


def _csp() -> tuple[Work, Work]:
    judged, here, same = f"{OURS}, judged", f"{OURS}, in one process", f"{OURS}, in one process, MOABB's pipeline"
    peer = _measured("moabb", "moabb", "with_moabb", "csp-lda")
    ours = {judged: "csp-lda", here: "csp-lda-here", same: "csp-lda-same"}
    sides = {label: _measured(label, OURS, "ours_eeg", work) for label, work in ours.items()}
    return (
        Work("csp-lda", (peer, sides[here], sides[same]), (("moabb", here), ("moabb", same))),
        Work("csp-lda-judged", (peer, sides[judged]), (("moabb", judged),), rounds=1),
    )


def _imports() -> Work:
    beside = {
        "nlb_tools": ("nlb_tools.nwb_interface", "harness.data.prepare"),
        "falcon-challenge": ("falcon_challenge.evaluator", "harness.evaluate"),
        "neurobench": ("neurobench.benchmarks", "harness.evaluate"),
        "moabb": ("moabb.evaluations", "harness.evaluate"),
    }
    ours = ("harness", "harness.data.prepare", "harness.evaluate")
    sides, pairs = [Side("nothing", OURS, ("-c", "pass"), whole=True), *(_imported(m, OURS) for m in ours)], []
    for who, (working, like) in beside.items():
        top = working.partition(".")[0]
        sides += [_imported(top, who), _imported(working, who)]
        pairs += [(f"import {top}", "import harness"), (f"import {working}", f"import {like}")]
    return Work("import", tuple(sides), tuple(pairs), rounds=2)


def _help() -> Work:
    sides = (
        Side("harness --help", OURS, ("-m", "harness", "--help"), whole=True),
        Side("python -m moabb.run --help", "moabb", ("-m", "moabb.run", "--help"), whole=True),
        Side(
            "python decoder_demos/sklearn_sample.py --help",
            "falcon-challenge",
            ("-c", FALCONS_SAMPLE),
            whole=True,
        ),
    )
    return Work("help", sides, tuple((side.label, "harness --help") for side in sides[1:]), rounds=2)


WORKS = (
    _load("load-rtt", "nlb_tools", "with_nlb_tools"),
    _load("load-m2", "falcon-challenge", "with_falcon"),
    _load("load-mat", "neurobench", "with_neurobench"),
    _stream("stream-m2", "falcon-challenge", "with_falcon"),
    _stream("stream-m2-torch", "neurobench", "with_neurobench", {"neurobench, one batch": "stream-m2-torch-batch"}),
    _count("count-reaching"),
    _count("count-wide"),
    _count("count-bins"),
    *_csp(),
    _imports(),
    _help(),
)

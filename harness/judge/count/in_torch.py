"""Counts what PyTorch computes on the CPU, from its dispatched operations, whoever wrote the layers.

Each operation is booked by a rule, known to be free, broken into smaller ones, or refused. Not seen is what other
Python threads, NumPy or compiled extensions compute.
"""

import gc
import sys
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode

from harness.judge.count.tally import Tally, UncountedOperation
from harness.judge.count.torch_factors import Factors
from harness.judge.count.torch_rules import refuse, rule_of
from harness.judge.memory import reachable

_INSIDE = (str(Path(torch.__file__).parent), str(Path(__file__).parent))
"""How the files begin whose lines are no help in a message."""


_PLAIN = frozenset({torch.Tensor, torch.nn.Parameter})


@contextmanager
def counting(tally: Tally, learned: Collection[int] | Factors) -> Iterator[None]:
    """Book all that this thread computes with PyTorch inside the block; results stay equal but for rounding.

    Args:
        tally: Where it is booked.
        learned: Storage pointers of learned tensors, see `storages`. One that is written to is state, and no weight.
            Many short blocks share one `Factors(tally, storages(decoder))`: then a weight is looked at only once.

    Raises:
        UncountedOperation: If an operation has no rule, even if the decoder caught the error.
    """
    mode = _Counting(tally, learned)
    try:
        with _plain_paths(), mode:
            yield
    except Exception as error:
        # TorchScript wraps a refusal in an error of its own.
        if mode.refusal is None or error is mode.refusal:
            raise
    if mode.refusal is not None:
        raise mode.refusal


def storages(owner: object) -> set[int]:
    """Storage pointers of all dense tensors that are reachable from an object, code left out.

    Call it when a decoder is restored and before its first reset: a tensor of state would be taken for a weight.
    """
    found = {
        thing.untyped_storage().data_ptr()
        for thing in reachable([owner], next_to=_held)
        if isinstance(thing, torch.Tensor) and type(thing) in _PLAIN and thing.layout is torch.strided
    }
    return found - {0}


def _held(thing: Any) -> list[Any]:
    # A scripted module keeps its tensors where the garbage collector does not look.
    scripted = isinstance(thing, torch.jit.ScriptModule)
    return [*(thing.parameters() if scripted else ()), *(thing.buffers() if scripted else ()), *gc.get_referents(thing)]


@contextmanager
def _plain_paths() -> Iterator[None]:
    """Turn off what does many operations as one, or outside the dispatcher."""
    was_fast = torch.backends.mha.get_fastpath_enabled()
    with ExitStack() as undo:
        undo.enter_context(sdpa_kernel(SDPBackend.MATH))
        undo.callback(torch.backends.mha.set_fastpath_enabled, was_fast)
        torch.backends.mha.set_fastpath_enabled(False)
        if "torch._dynamo" in sys.modules and hasattr(torch.compiler, "set_stance"):
            undo.enter_context(torch.compiler.set_stance("force_eager"))
        yield


class _Counting(TorchDispatchMode):  # type: ignore[misc]
    """Sees each operation of its thread. PyTorch turns it off while a rule runs: counting is not counted."""

    def __init__(self, tally: Tally, learned: Collection[int] | Factors) -> None:
        super().__init__()
        self.tally = tally
        self.factors = learned if isinstance(learned, Factors) else Factors(tally, learned)
        self.refusal: UncountedOperation | None = None

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # PyTorch would load its compiler, and pass through it with each operation.
        return False

    def __torch_dispatch__(self, func: Any, kinds: Any, args: Any = (), kwargs: Any = None) -> Any:
        # A subclass of Tensor computes behind its own dispatch, where this mode is off.
        rule = rule_of(func) if _PLAIN.issuperset(kinds) else refuse
        if rule is None:
            return func(*args, **(kwargs or {}))
        try:
            return rule(self, func, args, kwargs or {})
        except UncountedOperation as reason:
            # Of nested operations the innermost speaks.
            if self.refusal is None:
                self.refusal = UncountedOperation(
                    f"{func.name()} {_where()}: {reason}; use other operations, or declare `cost()` in the decoder"
                )
            raise self.refusal from None


def _where() -> str:
    """The innermost layer that is running, and the innermost line outside PyTorch."""
    frame, layer, line = sys._getframe(1), "", ""
    while frame is not None and not (layer and line):
        owner = frame.f_locals.get("self")
        if not layer and isinstance(owner, torch.nn.Module):
            layer = f"in the layer {type(owner).__name__} "
        if not line and not frame.f_code.co_filename.startswith(_INSIDE):
            line = f"({Path(frame.f_code.co_filename).name}:{frame.f_lineno})"
        frame = frame.f_back  # type: ignore[assignment]
    return (layer + line).strip()

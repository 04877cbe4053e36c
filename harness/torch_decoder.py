"""PyTorch for decoder authors: a network that is kept as arrays, and the training of `harness.torch_training`.

Imported by decoders only; the judge never loads torch. Nor does this module before a network is built: a decoder that
answers in NumPy streams without it, and is there a second or two earlier.
"""

import abc
import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from harness.decoder import Decoder
from harness.types import SessionInfo

if TYPE_CHECKING:
    from harness.torch_training import (
        Batch,
        Schedule,
        Segment,
        average,
        batches,
        device_of,
        mean_r2,
        one_cycle,
        repeatable,
        run,
        train,
    )

__all__ = [
    "PREFIX",
    "Batch",
    "Schedule",
    "Segment",
    "TorchDecoder",
    "average",
    "batches",
    "device_of",
    "mean_r2",
    "one_cycle",
    "repeatable",
    "run",
    "train",
]

PREFIX = "network."


def __getattr__(name: str) -> Any:
    """What trains networks, loaded with PyTorch when it is first asked for (PEP 562)."""
    if name in __all__:
        return getattr(importlib.import_module("harness.torch_training"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@dataclass
class TorchDecoder(Decoder):
    """A decoder around one `torch.nn.Module`, which is built from a session's shapes and kept as arrays.

    Subclasses write `build`; their `fit` calls `start`, then `train`. Anything else that is learned is an attribute
    ending in `_`, as in every decoder.

    steps_in_numpy: For a subclass whose `reset` and `step` use `weights()` alone: it is restored without a network, and
        one is built when it is asked for. Its module should load PyTorch in `build` and `fit` only.
    """

    steps_in_numpy: ClassVar[bool] = False
    seed: int = 0

    @abc.abstractmethod
    def build(self, session: SessionInfo) -> Any:
        """A new network for this session: (batch, n_bins, n_features) -> (batch, n_bins, n_outputs)."""

    def start(self, session: SessionInfo) -> None:
        """Put a new network, drawn from the seed, into `self.network`."""
        from harness.torch_training import repeatable

        repeatable(self.seed)
        vars(self).pop("_kept", None)
        self.network = self.build(session).eval()

    @cached_property
    def network(self) -> Any:
        """The network. After `restore` of one that `steps_in_numpy` it is built when it is first asked for."""
        if "_kept" not in vars(self):
            raise AttributeError(f"{type(self).__name__} has no network yet: `start` makes one, `restore` brings one")
        import torch

        weights, session = self._kept
        self.start(session)
        self.network.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in weights.items()})
        return self.network

    def state(self) -> dict[str, np.ndarray]:
        return super().state() | {PREFIX + name: array for name, array in self.weights().items()}

    def restore(self, state: Mapping[str, np.ndarray], sessions: Sequence[SessionInfo]) -> None:
        super().restore({k: v for k, v in state.items() if not k.startswith(PREFIX)}, sessions)
        weights = {k.removeprefix(PREFIX): v for k, v in state.items() if k.startswith(PREFIX)}
        vars(self).pop("network", None)
        self._kept = weights, sessions[0]
        if not self.steps_in_numpy:
            _ = self.network

    def weights(self) -> dict[str, np.ndarray]:
        """The network's parameters and buffers by name, as views; their order is not that of the layers."""
        if "network" not in vars(self) and "_kept" in vars(self):
            return dict(self._kept[0])
        return {k: v.detach().cpu().numpy() for k, v in self.network.state_dict().items()}

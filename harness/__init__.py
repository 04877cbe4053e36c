"""The judge of the Neural Decoder Harness, and the public face for decoder authors."""

import importlib
from typing import TYPE_CHECKING, Any

from harness.decoder import Decoder
from harness.errors import HarnessError
from harness.types import Bin, Cost, Delay, Inputs, Recording, SessionInfo, StreamInfo

if TYPE_CHECKING:
    from harness.adapters.falcon import from_falcon
    from harness.adapters.sklearn import from_sklearn
    from harness.adapters.torch import from_torch

__version__ = "0.1.0"

__all__ = [
    "Bin",
    "Cost",
    "Decoder",
    "Delay",
    "HarnessError",
    "Inputs",
    "Recording",
    "SessionInfo",
    "StreamInfo",
    "from_falcon",
    "from_sklearn",
    "from_torch",
]


def __getattr__(name: str) -> Any:
    """Load an adapter when it is asked for: they bring PyTorch and SciPy."""
    if name in ("from_falcon", "from_sklearn", "from_torch"):
        return getattr(importlib.import_module(f"harness.adapters.{name.removeprefix('from_')}"), name)
    raise AttributeError(f"module 'harness' has no attribute {name!r}")

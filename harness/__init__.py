"""The judge of the Neural Decoder Harness, and the public face for decoder authors."""

from harness.decoder import Decoder
from harness.errors import HarnessError
from harness.types import Bin, Cost, Delay, Inputs, Recording, SessionInfo, StreamInfo

__version__ = "0.1.0"

__all__ = ["Bin", "Cost", "Decoder", "Delay", "HarnessError", "Inputs", "Recording", "SessionInfo", "StreamInfo"]

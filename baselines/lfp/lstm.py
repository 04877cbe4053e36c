"""Long short-term memory on the local field potential."""

from dataclasses import dataclass

from baselines.lfp.decoders import ComponentsFronted, RawFronted
from baselines.lfp.rows import ROWS, Fronted
from baselines.lstm import Lstm
from harness import Decoder


class RowsLstm(Lstm):
    """`Lstm` on rows, which are no counts."""

    inputs = (ROWS,)
    transform = "none"


@dataclass
class LstmBehind(Fronted):
    """Long short-term memory behind any front. Fields as in `Lstm`."""

    hidden: int = 128
    input_dropout: float = 0.4
    dropout: float = 0.3
    updates: int = 150
    learning_rate: float = 6e-3
    batch_size: int = 16
    window_bins: int = 100

    def behind(self, bin_s: float) -> Decoder:
        return RowsLstm(**{k: v for k, v in self.parameters().items() if k in RowsLstm.__dataclass_fields__})


@dataclass
class LfpLstm(LstmBehind, ComponentsFronted):
    """Long short-term memory on the principal components of the features."""


@dataclass
class LfpLstmRaw(LstmBehind, RawFronted):
    """Long short-term memory on the 100 Hz potential (Ahmadi et al. 2019, arXiv 1901.00708)."""

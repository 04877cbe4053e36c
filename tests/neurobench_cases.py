"""NeuroBench's decoders and the recurrent ones, trained briefly: shared by tests of their sizes and of their stages."""

from baselines.neurobench.ann import Ann2d, Ann3d
from baselines.neurobench.rsnn import BigRsnn, TinyRsnn
from baselines.neurobench.snn import Snn2d, Snn3d

DECODERS = [
    Ann2d(updates=25),
    Ann3d(updates=25),
    Snn2d(updates=25),
    Snn3d(updates=25, batch_size=2),
    TinyRsnn(updates=25),
    BigRsnn(updates=12, hidden=80),
]
NAMES = [type(d).__name__ for d in DECODERS]

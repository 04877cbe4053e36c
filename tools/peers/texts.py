"""What each work is, in the words of docs/performance.md: what is the same on both sides, and what is not."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Text:
    """Of one work.

    title: Of its section.
    unit: What a stated time is of; one of `per` in the record.
    same: What both sides do.
    differs: What only one of them does.
    """

    title: str
    unit: str
    same: str
    differs: str


TEXTS = {
    "load-rtt": Text(
        "Load a session and bin it at 5 ms",
        "a session",
        "An NWB file like MC_RTT: 130 units, 600 s, 1.56 million spikes, positions at 1 kHz. nlb_tools: "
        "`NWBDataset(path, split_heldout=False)` and `resample(5)`. Here: `read_contents` and `align`.",
        "nlb_tools keeps all of it as a table on a 1 ms grid in between, makes a table of trials, and low-passes "
        "positions with a filter that looks ahead; velocity is then a difference (not timed). Here positions are "
        "interpolated at the edges of bins without a filter, and times, units and intervals are checked and "
        "refused where they cannot be.",
    ),
    "load-m2": Text(
        "Load a session and bin it at 20 ms",
        "a session",
        "An NWB file in the layout of FALCON's M2: 96 units, 400 s. FALCON: `load_nwb`. Here: `read_contents` and "
        "`align` with the layout `falcon-m2` that is shipped.",
        "FALCON goes through pynwb, pandas and one histogram a unit, and also marks where trials change. Here "
        "HDF5 is read without pynwb, and checked. FALCON labels a bin by its left edge and this project by its "
        "right one: velocities are compared one bin apart.",
    ),
    "load-mat": Text(
        "Load one of O'Doherty's files and bin it at 4 ms",
        "a session",
        "A MATLAB 7.3 file in that layout: 96 channels of 5 units, 300 s. NeuroBench: `PrimateReaching` with the "
        "settings of its own benchmark. Here: `read_contents` and `align` with its protocol (tier `neurobench`).",
        "NeuroBench also finds the rows of train, validation and test in that time, which takes little of it; "
        "here that is a later step.",
    ),
    "stream-m2": Text(
        "Stream a linear decoder, one bin at a time",
        "a bin",
        "20,000 bins of 96 counts, two outputs, a NumPy product of each bin. FALCON: "
        "`FalconEvaluator.predict_files`, less the time in which it reads the file.",
        "FALCON calls the decoder in its own process, with the recording and its labels in reach, and sums up its "
        "time. *Judged* is this project's stream: the decoder in a sandboxed process of its own, which gets a bin "
        "only once it has answered the one before, every round trip timed. *In one process* is the same decoder "
        "through `Decoder.predict`, with a fresh copy of each bin and no clock: as isolated as the peer.",
    ),
    "stream-m2-torch": Text(
        "Stream a linear layer of PyTorch, one bin at a time",
        "a bin",
        "The first 5,000 of those bins, the same weights as `torch.nn.Linear`. NeuroBench: `Benchmark.run` with "
        "batches of one and the metric R2.",
        "NeuroBench's runner is made for batches, and its reaching benchmark takes all bins of a part in one: no "
        "stream, since all of the future is there, but it is what its users run (*one batch*). With batches of one "
        "it collates a tensor and updates a metric for each bin; no latency is measured. *Judged* and *in one "
        "process*: as above.",
    ),
    "count-reaching": Text(
        "Count operations of a small network",
        "a sample",
        "2048 samples of spike counts through 96-32-48-2 with ReLU, in batches of 256. NeuroBench: "
        "`Benchmark.run` with `SynapticOperations`. Here: `counting`.",
        "Time includes the pass itself, and in NeuroBench its runner. Here activation and connection sparsity and "
        "element-wise products are counted in the same pass.",
    ),
    "count-wide": Text(
        "Count operations of a wide network",
        "a sample",
        "The same samples through 96-1024-1024-2, where arithmetic takes most of the time.",
        "As above.",
    ),
    "count-bins": Text(
        "Count operations bin by bin",
        "a bin",
        "256 samples through 96-32-48-2, one at a time: how operations of a streamed decoder are counted.",
        "As above. In an evaluation, the judge counts 32 of 256 bins, in the worker, and looks for work that it "
        "cannot count.",
    ),
    "csp-lda": Text(
        "CSP and LDA, without a judge",
        "a fold",
        "One made-up subject: 3 runs of 30 trials, 16 channels at 160 Hz; each run tested by a decoder that was "
        "fitted on the other two. MOABB: `CrossSessionEvaluation` of `Covariances(oas)`, `CSP(6)`, LDA in 8 to 30 "
        "Hz. Here: load, fit `csp-lda`, step through every bin of the test run in this process, score; and the same "
        "with MOABB's pipeline, part for part, through `from_sklearn`.",
        "MOABB filters with a filter that looks ahead, cuts trials, and answers once a trial (30 answers a fold). "
        "Here filters are causal and every 0.1 s is answered (some 2,500 answers a fold), which MOABB's pipeline pays "
        "for with a covariance of 2 s at each; `csp-lda` carries its own on, and learns from several windows of a "
        "trial. So this is the same evaluation, not the same arithmetic: scores need not be equal.",
    ),
    "csp-lda-judged": Text(
        "CSP and LDA, as a judged evaluation",
        "a fold",
        "The same subject and folds. Here: `harness eval` of `csp-lda` into an empty store.",
        "Only here: a sandboxed process for each fit and each test, the audit (future replaced, restart), "
        "counting, and a stretch of bins fed *at the pace of the recording* to measure latency, which is waiting "
        "by design. MOABB stays in one process, holds labels and data together, and measures no latency.",
    ),
    "import": Text(
        "Import",
        "a process",
        "A fresh Python that imports one module and ends, in each one's own environment.",
        "Beside the top of each package stands the module that does the work. The tops of nlb_tools, FALCON and "
        "NeuroBench load next to nothing. FALCON's and NeuroBench's modules load PyTorch, which this project loads "
        "only where a decoder uses it.",
    ),
    "help": Text(
        "Help",
        "a process",
        "The help of a command. NeuroBench and nlb_tools have no command; FALCON's is that of its scikit-learn sample.",
        "",
    ),
}

"""The dataset card of an export: README.md, with the front matter that Hugging Face reads."""

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

import yaml

from harness.data.export import TICK, TIME, Exported, Order
from harness.data.prepared_key import preparation
from harness.data.protocol import ClassesAt
from harness.data.shipped import shipped
from harness.data.table import INPUTS, PRIVILEGED

LICENCES = {"CC-BY-4.0": "cc-by-4.0", "CC0-1.0": "cc0-1.0", "ODC-BY-1.0": "odc-by", "not stated": "unknown"}
"""What suites call a licence -> Hugging Face's word for it; any other is `other`."""
SOURCES = "## Sources"
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
MOST = "1M<n<10M"

LOADING = {
    "hf": (
        "import datasets\nimport numpy as np\n\n"
        'splits = datasets.load_from_disk("{name}").with_format("numpy")\n'
        'train = splits["train"][:]'
    ),
    "parquet": (
        "from pathlib import Path\n\nimport datasets\nimport numpy as np\n\n"
        'splits = datasets.load_dataset(str(Path.cwd()), "{name}").with_format("numpy")\n'
        'train = splits["train"][:]'
    ),
    "npz": 'import numpy as np\n\ntrain = dict(np.load("{name}/train.npz"))',
}
FIT = """
inputs, targets = train["{inputs}"], train["targets"]  # {shapes}
scored = train["scored"]
lines = np.linalg.lstsq(inputs[scored].reshape(scored.sum(), -1), targets[scored], rcond=None)[0]
"""


def card(order: Order, written: Sequence[Exported]) -> str:
    """The text of README.md."""
    front = yaml.safe_dump(_front(order, written), sort_keys=False, allow_unicode=True)
    body = [
        f"# {order.suite.title}",
        f"Bins of {order.suite.task.bin_s * 1e3:g} ms of {len({one.session.id for one in written})} sessions of "
        f"`{order.suite.label}`, as the Neural Decoder Harness gives them to decoders. One row is one bin.",
        _test_part(),
        "## Columns",
        _columns(order, written[0]),
        "## Splits",
        _splits(written),
        "## Load it",
        _loading(order, written[0]),
        "## How it was made",
        _made(order),
        "## Where the recordings are from",
        _sources(written),
        _citations(order),
    ]
    return f"---\n{front}---\n\n" + "\n\n".join(part for part in body if part) + "\n"


def _front(order: Order, written: Sequence[Exported]) -> dict[str, Any]:
    found = dict.fromkeys(LICENCES.get(one.session.source.licence, "other") for one in written)
    licences = list(found)
    front: dict[str, Any] = {"license": licences[0] if len(licences) == 1 else licences}
    if "other" in licences:
        front["license_name"] = "see-below"
    n_rows = sum(n for one in written for n, _ in one.rows.values())
    front |= {
        "pretty_name": order.suite.title,
        "tags": ["neuroscience", "brain-computer-interface", "neural-decoding", *order.suite.task.streams],
        "size_categories": [next((name for most, name in SIZES if n_rows < most), MOST)],
    }
    if order.format == "parquet":
        front["configs"] = [
            {
                "config_name": one.name,
                "data_files": [{"split": part, "path": f"{one.name}/{part}.parquet"} for part in one.rows],
            }
            for one in written
        ]
    return front


def _test_part() -> str:
    return (
        "**The test part is here with its labels.** It is what the benchmark scores. Choose and tune on `validation`, "
        "never train on `test`: the score of a decoder that has seen it means nothing, and such a decoder may not be "
        "submitted. "
        f"Columns `{PRIVILEGED}*` are for training alone: in the benchmark no decoder gets them in the test."
    )


def _columns(order: Order, one: Exported) -> str:
    rows = ["| column | type | shape of a row | unit | what |", "|---|---|---|---|---|"]
    for name, values in one.columns.items():
        unit, what = _meaning(order, one, name)
        shape = " x ".join(map(str, values.shape[1:])) or "-"
        rows.append(f"| `{name}` | {values.dtype} | {shape} | {unit} | {what} |")
    rows += [
        "",
        f"Shapes are those of `{one.name}`: numbers of channels differ between sessions, so each has a folder of its "
        f"own, and `session.json` in it names channels, units and outputs. {_causality(order)}",
    ]
    return "\n".join(rows)


def _causality(order: Order) -> str:
    if any(rule.chain == "peer" for rule in order.suite.task.signals.values()):
        return "Signals were filtered over the whole session, as published: they look ahead."
    return "A bin is known at its right edge, and nothing in its inputs is later than that."


def _meaning(order: Order, one: Exported, name: str) -> tuple[str, str]:
    """Unit of a column, and what it is."""
    task = order.suite.task
    if name == TICK:
        return f"1/{one.clock_hz} s", "right edge of the bin, on the recording's clock"
    if name == TIME:
        return "s", "the same in seconds; a reader that makes float32 of it loses digits, and `tick` keeps them"
    if name == "start":
        return "-", "the recording begins anew here: forget what was before"
    if name == "scored":
        return "-", "whether the benchmark scores this bin"
    if name == "targets":
        return _target(order, one)
    stream = name.removeprefix(INPUTS).removeprefix(PRIVILEGED)
    info = one.recording.session.streams.get(stream)
    unit = info.unit if info else "count" if stream == "spikes" else "as stored"
    if stream in task.signals:
        return unit, f"samples of `{task.signals[stream].signal}`, the last one at the right edge"
    return unit, "spikes in the bin, per unit" if stream == "spikes" else "1 in the bin in which a cue appears"


def _target(order: Order, one: Exported) -> tuple[str, str]:
    task, at = order.suite.task, order.suite.layouts[one.session.layout].targets[order.suite.task.target]
    outputs = ", ".join(at.outputs)
    if isinstance(at, ClassesAt):
        return "1", f"one-hot: {outputs}; NaN outside of trials"
    unit = {
        "as_is": "the recording's",
        "difference": "the recording's, per second",
        "gradient": "the recording's, per bin",
    }
    lag = f" with a lag of {task.lag_s:g} s" if task.lag_s else ""
    return unit.get(
        at.derive, "1 (z-scored)"
    ), f"{task.target}: {outputs}, at the right edge{lag}; NaN where not measured"


def _splits(written: Sequence[Exported]) -> str:
    rows = ["| folder | split | bins | scored bins | seconds |", "|---|---|---:|---:|---:|"]
    for one in written:
        bin_s = one.recording.session.bin_s
        rows += [f"| {one.name} | {part} | {n} | {k} | {n * bin_s:.1f} |" for part, (n, k) in one.rows.items()]
    return "\n".join(rows)


def _loading(order: Order, one: Exported) -> str:
    first = next(name for name in one.columns if name.startswith(INPUTS))
    shapes = (
        f"(n_bins, {', '.join(map(str, one.columns[first].shape[1:]))}), (n_bins, {one.columns['targets'].shape[1]})"
    )
    code = LOADING[order.format].format(name=one.name) + FIT.format(inputs=first, shapes=shapes)
    return f"In this folder:\n\n```python\n{code}```"


def _made(order: Order) -> str:
    made = preparation()
    libraries = ", ".join(f"{name} {number}" for name, number in made["libraries"].items())
    suite, _, task = order.suite.name.partition("/")
    rules = {order.suite.protocol_sha256(session) for session in order.sessions}
    return (
        f"By `harness data export {suite}{f' --task {task}' if task else ''} --format {order.format}` of "
        f"neural-decoder-harness {version('neural-decoder-harness')} on {platform.machine()} with "
        f"{libraries}. Source of the preparation: "
        f"sha256 `{made['code']}`. Rules of the suite (task, layout, split): sha256 "
        f"{', '.join(f'`{one}`' for one in sorted(rules))}. The same recordings, rules and source give the same "
        f"numbers."
    )


def _sources(written: Sequence[Exported]) -> str:
    rows = ["| session | subject | host | licence | digest of the recording |", "|---|---|---|---|---|"]
    for session, data in {one.session.id: (one.session, one.data) for one in written}.values():
        source = session.source
        rows.append(f"| {session.id} | {session.subject} | {_place(source)} | {source.licence} | `{data}` |")
    rows += [
        "",
        "The digest is the sha256 of the file; of a simulated session that of the generator's code and parameters, of "
        "a converted one that of its files' digests. Keep to each licence: most ask for credit.",
    ]
    if any(one.session.source.licence == "not stated" for one in written):
        rows[-1] += " Where none is stated, nobody has allowed you to pass the recording on: ask its authors first."
    return "\n".join(rows)


def _place(source: Any) -> str:
    return " ".join(str(part) for part in (source.host, *_more(source)) if part)


def _more(source: Any) -> Mapping[str, None]:
    """What names a recording at its host."""
    names = [getattr(source, name, None) for name in ("dandiset", "record", "dataset", "version")]
    return dict.fromkeys(str(name) for name in names if name)


def _citations(order: Order) -> str:
    """The section on sources of the suite's own card, where it has one."""
    path = shipped("cards") / f"{order.suite.name.partition('/')[0]}.md"
    text = path.read_text() if path.is_file() else ""
    _, heading, rest = text.partition(SOURCES)
    return f"{heading}{rest.partition(chr(10) + '## ')[0]}".strip() if heading else ""
